-- One row per event or record and identifier.
--
-- key: source, kind, id, namespace, value
-- strategy: view
-- columns:
--   source       text       the source in `tessera.toml`
--   kind         text       event or record
--   id           text       event id or record key
--   seen_at      timestamp  when the event happened or the record was last changed
--   namespace    text       the identifier's namespace
--   value        text       the identifier's value, normalised
with named as (
    select source, 'event' as kind, event_id as id, occurred_at as seen_at, unnest(identifiers_of(identifiers)) as identifier
    from staging.events
    union all
    select source, 'record' as kind, record_key as id, coalesce(updated_at, landed_at) as seen_at, unnest(identifiers_of(identifiers)) as identifier
    from staging.records
    where not is_deleted and identifiers is not null
)

select source, kind, id, seen_at, identifier_namespace(identifier) as namespace, identifier_value(identifier) as value
from named
