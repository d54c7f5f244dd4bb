-- The identifier sets of the crowded components, and the pairs in them of which corrections say something: read once here for
-- all that need them.
--
-- strategy: step
-- columns:
--   component      text       the component
--   kind           text       seen, always or never
--   identifiers    text       the identifier set
--   source         text       the source that brought it
--   first_seen_at  timestamp  earliest time
--   last_seen_at   timestamp  latest time
--   event_count    bigint     number of events and records with it
with crowd as (
    select components.identifier, components.component
    from identity.crowded  -- few rows: the side that a hash join holds in memory
    join identity.components on components.component = crowded.component
)

select
    crowd.component,
    sets.kind,
    sets.identifiers,
    sets.source,
    sets.first_seen_at,
    sets.last_seen_at,
    sets.event_count
from crowd
-- if full
join identity.sets on first_identifier(sets.identifiers) = crowd.identifier
-- end
-- if incremental
join identity.touched_sets sets on first_identifier(sets.identifiers) = crowd.identifier
-- end
where sets.kind = 'seen'
union all
select
    crowd.component,
    corrections.verdict as kind,
    corrections.a || chr(31) || corrections.b as identifiers,
    'correction by ' || corrections.decided_by as source,
    arrow_cast(null, 'Timestamp(Microsecond, Some("UTC"))') as first_seen_at,
    arrow_cast(null, 'Timestamp(Microsecond, Some("UTC"))') as last_seen_at,
    0 as event_count
from identity.corrections
join crowd on crowd.identifier = corrections.a
join crowd other on other.identifier = corrections.b and other.component = crowd.component
