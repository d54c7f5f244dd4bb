-- What each identifier did on each day. A state: appended to, folded when read. A merge of two profiles never touches
-- it: profiles fold the measures of their identifiers.
--
-- key: date, namespace, value, event_name, touchpoint
-- strategy: fold
-- unique: value, first_at, last_at
-- fold: sum(event_count), sum(revenue), min(first_at), max(last_at)
-- columns:
--   date         date       day in UTC
--   namespace    text       namespace of the events' own identifier
--   value        text       value of the events' own identifier
--   event_name   text       what happened
--   touchpoint   text       where
--   event_count  bigint     number of events
--   revenue      decimal    sum of their revenue
--   first_at     timestamp  the first of them
--   last_at      timestamp  the last of them
select
    cast(occurred_at as date) as date,
    namespace,
    value,
    event_name,
    touchpoint,
    count(*) as event_count,
    sum(revenue) as revenue,
    min(occurred_at) as first_at,
    max(occurred_at) as last_at
from new.staging.events
group by 1, 2, 3, 4, 5
