-- What each profile did on each day.
--
-- key: date, profile_id, event_name, touchpoint
-- strategy: view
-- columns:
--   date         date     day in UTC
--   profile_id   text     the profile
--   event_name   text     what happened
--   touchpoint   text     where
--   event_count  bigint   number of events
--   revenue      decimal  sum of their revenue
select
    measures.date,
    identities.profile_id,
    measures.event_name,
    measures.touchpoint,
    sum(measures.event_count) as event_count,
    sum(measures.revenue) as revenue
from behavior.measures
join identity.identities on identities.ordinal = measures.ordinal
group by 1, 2, 3, 4
