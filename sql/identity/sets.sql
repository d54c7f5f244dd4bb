-- All identifier sets of now: those of events, those of the records that are not deleted, and the pairs that corrections make
-- one person, also those that wait for an identifier.
--
-- strategy: view
-- columns:
--   kind           text       seen, or always for a correction
--   identifiers    text       the identifier set
--   source         text       the source that brought it; `correction by` and who decided it
--   first_seen_at  timestamp  earliest time, null for a correction
--   last_seen_at   timestamp  latest time, null for a correction
--   first_landed   bigint     place of the first to land in the order of landing, null for a correction
--   event_count    bigint     number of events, and of records as they are now, with it; 0 for a correction, and for what `keep_links` keeps
select 'seen' as kind, identifiers, source, first_seen_at, last_seen_at, first_landed, event_count
from identity.event_sets
union all
select
    'seen' as kind,
    identifiers,
    source,
    coalesce(updated_at, landed_at) as first_seen_at,
    coalesce(updated_at, landed_at) as last_seen_at,
    landed_order as first_landed,
    1 as event_count
from staging.records
where not is_deleted and identifiers is not null
union all
select
    'always' as kind,
    a || chr(31) || b as identifiers,
    'correction by ' || decided_by as source,
    arrow_cast(null, 'Timestamp(Microsecond, Some("UTC"))') as first_seen_at,
    arrow_cast(null, 'Timestamp(Microsecond, Some("UTC"))') as last_seen_at,
    cast(null as bigint) as first_landed,
    0 as event_count
from identity.corrections
where verdict = 'always'
