-- Events that may be copies: hashes that occur more than once in what landed, or were there before. Only events with
-- these have to be compared by their ids.
--
-- key: event_hash
-- strategy: scratch
-- columns:
--   event_hash  bigint  hash of source and event id
select event_hash from new.landing.events group by event_hash having count(*) > 1
union
select event_hash from new.landing.events where event_hash in (select event_hash from previous.staging.events)
