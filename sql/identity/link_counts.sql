-- How many others each identifier was seen together with: what many are linked to is often nobody's own.
--
-- key: namespace, value
-- strategy: view
-- columns:
--   namespace      text       the identifier's namespace
--   value          text       its value
--   linked_count   bigint     number of others that it was seen together with
--   event_count    bigint     number of events and records with it and another one, counted once for each other
--   last_seen_at   timestamp  when it was last seen together with one
with ends as (
    select a_namespace as namespace, a_value as value, event_count, last_seen_at from identity.links where last_seen_at is not null
    union all
    select b_namespace as namespace, b_value as value, event_count, last_seen_at from identity.links where last_seen_at is not null
)

select namespace, value, count(*) as linked_count, sum(event_count) as event_count, max(last_seen_at) as last_seen_at
from ends
group by namespace, value
