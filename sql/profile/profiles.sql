-- One row per person: when seen, what done, every attribute that any source tells, and every trait that the project
-- defines, one column each. The columns of attributes and traits are named by data and project; they follow those below.
--
-- key: profile_id
-- strategy: view
-- columns:
--   profile_id        text       the profile
--   first_seen_at     timestamp  time of the earliest event or record of any of its identifiers
--   last_seen_at      timestamp  time of the latest
--   identifier_count  bigint     number of its identifiers
--   event_count       bigint     number of its events
--   order_count       bigint     number of its `Order Completed` events
--   revenue           decimal    sum of the revenue of all its events
--   lifetime_value    decimal    revenue of `Order Completed` less that of `Order Refunded`
--   first_order_at    timestamp  its first `Order Completed`
--   last_order_at     timestamp  its last `Order Completed`
select
    persons.profile_id
    -- {columns}
from profile.persons
-- if traits
left join profile.traits on traits.profile_id = persons.profile_id
-- end traits
