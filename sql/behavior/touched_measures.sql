-- What the profiles that this refresh resolved did on each day, as it is now and as it was in the last generation. The
-- measures are read once here for all models that need either.
--
-- key: date, profile_id, earlier_profile_id, event_name
-- strategy: scratch
-- columns:
--   date                 date       day in UTC
--   profile_id           text       the profile now
--   ordinal              bigint     the ordinal of the profile
--   earlier_profile_id   text       the profile in the last generation, null if the identifier is new
--   event_name           text       what happened
--   event_count          bigint     number of events
--   revenue              decimal    sum of their revenue
--   first_at             timestamp  the first of them
--   last_at              timestamp  the last of them
--   earlier_event_count  bigint     number of events in the last generation
--   earlier_revenue      decimal    sum of their revenue
with persons as (
    select identities.ordinal, identities.profile_ordinal, identities.profile_id, touched.earlier_profile_id
    from new.identity.identities identities
    join identity.touched on touched.namespace = identities.namespace and touched.value = identities.value
),

counted as (
    select
        date, ordinal, event_name, event_count, revenue, first_at, last_at,
        event_count as earlier_event_count,
        revenue as earlier_revenue
    from behavior.measures
    union all
    select  -- takes out of the earlier figures what this refresh added
        date, ordinal, event_name, 0 as event_count, null as revenue, null as first_at, null as last_at,
        -event_count as earlier_event_count,
        -revenue as earlier_revenue
    from new.behavior.measures
)

select
    counted.date,
    persons.profile_id,
    persons.profile_ordinal as ordinal,
    persons.earlier_profile_id,
    counted.event_name,
    sum(counted.event_count) as event_count,
    sum(counted.revenue) as revenue,
    min(counted.first_at) as first_at,
    max(counted.last_at) as last_at,
    sum(counted.earlier_event_count) as earlier_event_count,
    sum(counted.earlier_revenue) as earlier_revenue
from counted
join persons on persons.ordinal = counted.ordinal
group by counted.date, persons.profile_id, persons.profile_ordinal, persons.earlier_profile_id, counted.event_name
