-- The business day by day, with the change against the same weekday of the week before. Every figure of a day is a sum
-- over profiles, so a refresh takes out what the touched profiles had added before and puts in what they add now.
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
with profile_days as (  -- what each profile that this refresh resolved adds to each of its days
    select
        measures.date,
        profile_id,
        sum(measures.event_count) as event_count,
        coalesce(sum(measures.event_count) filter (where measures.event_name = 'Order Completed'), 0) as order_count,
        coalesce(sum(measures.revenue), 0) as revenue
    -- if full
    from behavior.measures
    join identity.identities on identities.ordinal = measures.ordinal
    -- end
    -- if incremental
    from behavior.touched_measures measures
    -- end
    group by measures.date, profile_id
),

-- if incremental
earlier_profile_days as (  -- what the same profiles had added before
    select
        date,
        earlier_profile_id as profile_id,
        sum(earlier_event_count) as event_count,
        coalesce(sum(earlier_event_count) filter (where event_name = 'Order Completed'), 0) as order_count,
        coalesce(sum(earlier_revenue), 0) as revenue
    from behavior.touched_measures
    where earlier_profile_id is not null
    group by date, earlier_profile_id
    having sum(earlier_event_count) > 0
),

-- end
changes as (
    select date, event_count, 1 as active_profiles, order_count, revenue from profile_days
    -- if incremental
    union all
    select date, -event_count, -1 as active_profiles, -order_count, -revenue from earlier_profile_days
    union all
    select date, event_count, active_profiles, order_count, revenue from previous.behavior.trends
    -- end
),

days as (
    select
        date,
        sum(event_count) as event_count,
        sum(active_profiles) as active_profiles,
        sum(order_count) as order_count,
        sum(revenue) as revenue
    from changes
    group by date
    having sum(active_profiles) > 0
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
