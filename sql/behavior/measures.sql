-- What each identifier did on each day. A state: appended to, folded when read. A merge of two profiles never touches
-- it: profiles fold the measures of their identifiers, which are known by their ordinals.
--
-- key: event_name, ordinal, date, touchpoint
-- strategy: fold
-- unique: ordinal, first_at, last_at
-- fold: sum(event_count), sum(revenue), min(first_at), max(last_at)
-- columns:
--   event_name   text       what happened
--   ordinal      bigint     ordinal of the events' own identifier
--   date         date       day in UTC
--   touchpoint   text       where
--   event_count  bigint     number of events
--   revenue      decimal    sum of their revenue
--   first_at     timestamp  the first of them
--   last_at      timestamp  the last of them
with counted as (
    select
        event_name,
        namespace,
        value,
        cast(occurred_at as date) as date,
        touchpoint,
        count(*) as event_count,
        sum(revenue) as revenue,
        min(occurred_at) as first_at,
        max(occurred_at) as last_at
    from new.staging.events
    group by 1, 2, 3, 4, 5
)

select
    counted.event_name,
    identities.ordinal,
    counted.date,
    counted.touchpoint,
    counted.event_count,
    counted.revenue,
    counted.first_at,
    counted.last_at
from counted
join new.identity.identities identities  -- whoever did something new is among those that this refresh resolved
    on identities.namespace = counted.namespace and identities.value = counted.value
