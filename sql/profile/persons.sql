-- What `profile.profiles` shows of each person beside traits: when seen, what done, and every attribute that any source
-- tells, one column each. The columns of attributes are named by the data and follow those below; a name that is taken
-- gets the suffix `_attribute`. In a project without traits, a view of `profile.profiles`.
--
-- key: profile_id
-- strategy: merge
-- replaces: select profile_id from identity.touched_profiles
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
with persons as (
    select
        profile_id,
        min(profile_ordinal) as ordinal,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        first_value(namespace || ':' || value order by ordinal) as first_identifier,
        count(*) as identifier_count
    from new.identity.identities
    group by profile_id
),

doings as (
    select
        profile_id,
        sum(event_count) as event_count,
        sum(event_count) filter (where event_name = 'Order Completed') as order_count,
        sum(revenue) as revenue,
        sum(case event_name when 'Order Completed' then revenue when 'Order Refunded' then -revenue end) as lifetime_value,
        min(first_at) filter (where event_name = 'Order Completed') as first_order_at,
        max(last_at) filter (where event_name = 'Order Completed') as last_order_at
    -- if full
    from behavior.measures
    join identity.identities on identities.ordinal = measures.ordinal
    -- end
    -- if incremental
    from behavior.touched_measures
    -- end
    group by profile_id
),

attributes as (
    select profile_id -- {attributes}
    from (
        select profile_id, pivot_attributes(array_agg(named_struct('name', name, 'attribute', attribute))) as told
        from new.profile.attributes
        where is_current
        group by profile_id
    )
)

select
    persons.profile_id,
    persons.ordinal,
    persons.first_seen_at,
    persons.last_seen_at,
    persons.first_identifier,
    persons.identifier_count,
    coalesce(doings.event_count, 0) as event_count,
    coalesce(doings.order_count, 0) as order_count,
    coalesce(doings.revenue, 0) as revenue,
    coalesce(doings.lifetime_value, 0) as lifetime_value,
    doings.first_order_at,
    doings.last_order_at
    -- {attribute_names}
from persons
left join doings on doings.profile_id = persons.profile_id
left join attributes on attributes.profile_id = persons.profile_id
