-- The identifier sets of the touched identifiers: read once here for all that identities need of them.
--
-- strategy: scratch
-- columns:
--   kind           text       seen, or always for a correction
--   identifiers    text       the identifier set
--   source         text       the source that brought it
--   first_seen_at  timestamp  earliest time
--   last_seen_at   timestamp  latest time
--   first_landed   bigint     place of the first to land in the order of landing
--   event_count    bigint     number of events and records with it
select kind, identifiers, source, first_seen_at, last_seen_at, first_landed, event_count
from identity.sets
where first_identifier(identifiers) in (select identifier from identity.touched)
