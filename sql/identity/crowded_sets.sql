-- The identifier sets of the crowded components: read once here for all that need them.
--
-- strategy: step
-- columns:
--   component      text       the component
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
