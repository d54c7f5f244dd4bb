-- What landed under other rules of identity than those of now, which refuse it: as long as they do, it is nobody's, and in no
-- table of events or profiles. What was refused when it landed is in `landing.quarantine`.
--
-- strategy: view
-- columns:
--   kind       text       event or record
--   source     text       the source in `tessera.toml`
--   id         text       the event's id or the record's key
--   landed_at  timestamp  when it landed
--   reason     text       why, as in `landing.quarantine`
select 'event' as kind, source, event_id as id, landed_at, refusal(identifiers) as reason
from landing.events
where refusal(identifiers) is not null
union all
select 'record' as kind, landed.source, landed.record_key as id, landed.landed_at, refusal(landed.identifiers) as reason
from staging.records known
join landing.records landed
    on landed.source = known.source
    and landed.record_key = known.record_key
    and landed.sequence * 549755813888 + landed.position = known.landed_order
where known.identifiers is null and cardinality(landed.identifiers) > 0 and not known.is_deleted
