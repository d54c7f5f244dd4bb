-- The identifier sets of the touched identifiers: read once here for all that identities need of them.
--
-- strategy: scratch
-- columns:
--   identifiers    text       the identifier set
--   first_seen_at  timestamp  earliest time
--   last_seen_at   timestamp  latest time
--   first_landed   bigint     place of the first to land in the order of landing
select identifiers, first_seen_at, last_seen_at, first_landed
from identity.sets
where first_identifier(identifiers) in (select identifier from identity.touched)
