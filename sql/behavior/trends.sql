-- The business day by day, with the change against the same weekday of the week before.
--
-- key: date
-- strategy: full
-- columns:
--   date                    date     day in UTC
--   event_count             bigint   events
--   active_profiles         bigint   profiles with at least one event
--   order_count             bigint   `Order Completed` events
--   revenue                 decimal  sum of revenue
--   event_count_change      double   event_count against seven days before, 0.1 is 10 % more; null if there was none
--   active_profiles_change  double   active_profiles against seven days before
--   order_count_change      double   order_count against seven days before
--   revenue_change          double   revenue against seven days before
with days as (
    select
        date,
        sum(event_count) as event_count,
        count(distinct profile_id) as active_profiles,
        coalesce(sum(event_count) filter (where event_name = 'Order Completed'), 0) as order_count,
        coalesce(sum(revenue), 0) as revenue
    from behavior.daily_activity
    group by date
)

select
    days.date,
    days.event_count,
    days.active_profiles,
    days.order_count,
    days.revenue,
    cast(days.event_count as double) / nullif(before.event_count, 0) - 1 as event_count_change,
    cast(days.active_profiles as double) / nullif(before.active_profiles, 0) - 1 as active_profiles_change,
    cast(days.order_count as double) / nullif(before.order_count, 0) - 1 as order_count_change,
    cast(days.revenue as double) / nullif(cast(before.revenue as double), 0) - 1 as revenue_change
from days
left join days before on before.date = days.date - interval '7 days'
