-- One row per person: when seen, what done, every attribute that any source tells, and every trait that the project
-- defines, one column each. The columns of attributes and traits are named by data and project; they follow those below.
-- A project without traits has no `profile.persons` beside it: it is the same table, brought up to date where it changes.
--
-- key: profile_id
-- strategy: full
-- unique: profile_id, ordinal, first_identifier, first_seen_at, last_seen_at
-- columns:
--   profile_id        text       the profile
--   ordinal           bigint     the profile's number: the ordinal of its anchor
--   first_seen_at     timestamp  time of the earliest event or record of any of its identifiers
--   last_seen_at      timestamp  time of the latest
--   first_identifier  text       its identifier with the lowest `ordinal`, `namespace:value`: the first that was known; splits go by it
--   identifier_count  bigint     number of its identifiers
--   event_count       bigint     number of its events
--   order_count       bigint     number of its `Order Completed` events
--   revenue           decimal    sum of the revenue of all its events
--   lifetime_value    decimal    revenue of `Order Completed` less that of `Order Refunded`
--   first_order_at    timestamp  its first `Order Completed`
--   last_order_at     timestamp  its last `Order Completed`
select persons.* -- {traits}
from profile.persons persons
left join profile.traits traits on traits.ordinal = persons.ordinal
