-- All identifier sets that count now: those of events, and those of the records that are not deleted.
--
-- strategy: view
-- columns:
--   identifiers    text       the identifier set
--   source         text       the source that brought it
--   first_seen_at  timestamp  earliest time
--   last_seen_at   timestamp  latest time
--   first_landed   bigint     place of the first to land in the order of landing
--   event_count    bigint     number of events and records with it
select identifiers, source, first_seen_at, last_seen_at, first_landed, event_count
from identity.event_sets
union all
select
    identifiers,
    source,
    coalesce(updated_at, landed_at) as first_seen_at,
    coalesce(updated_at, landed_at) as last_seen_at,
    landed_order as first_landed,
    1 as event_count
from staging.records
where not is_deleted and identifiers is not null
