-- What traits and segments define beside the number of events: events under a condition, numbers and values of their
-- properties, for each identifier and day. A state: appended to, folded when read. New events are read once for all
-- measures; a new measure reads earlier events once, for itself alone.
--
-- key: measure_id, ordinal, date, property_value
-- strategy: fold
-- unique: ordinal, first_at, last_at
-- fold: sum(event_count), min(first_at), max(last_at), sum(number_count), sum(total), min(least), max(most)
-- columns:
--   measure_id      bigint     number in `behavior.measure_definitions`
--   ordinal         bigint     ordinal of the events' own identifier
--   date            date       day in UTC
--   property_value  text       the property's value, if values are kept
--   event_count     bigint     number of events
--   first_at        timestamp  the first of them
--   last_at         timestamp  the last of them
--   number_count    bigint     of them with a number, if numbers are kept
--   total           decimal    sum of the numbers
--   least           decimal    the least of them
--   most            decimal    the greatest of them
with found as (
    -- What `measured` lists is taken apart here, below the joins: DataFusion 55 fails to bring it there by itself.
    select
        namespace,
        value,
        occurred_at,
        kept['measure_id'] as measure_id,
        kept['property_value'] as property_value,
        kept['number'] as number
    from (
        select
            namespace,
            value,
            occurred_at,
            unnest(measured(
                event_name, source, touchpoint, party, event_type, page_path, page_title, page_section, referrer, utm_source,
                utm_medium, utm_campaign, currency, revenue, occurred_at, properties
            )) as kept
        from new.staging.events
        where is_measured(event_name)
    )
),

-- if incremental
found_anew as (
    select
        namespace,
        value,
        occurred_at,
        kept['measure_id'] as measure_id,
        kept['property_value'] as property_value,
        kept['number'] as number
    from (
        select
            namespace,
            value,
            occurred_at,
            unnest(newly_measured(
                event_name, source, touchpoint, party, event_type, page_path, page_title, page_section, referrer, utm_source,
                utm_medium, utm_campaign, currency, revenue, occurred_at, properties
            )) as kept
        from previous.staging.events
        where event_name in (select distinct event_name from config.measures where is_new and not is_instant)
    )
),

-- end
numbered as (
    select identities.ordinal, found.*
    from new.identity.identities identities  -- whoever did something new is among those that this refresh resolved
    join found on found.namespace = identities.namespace and found.value = identities.value
    -- if incremental
    union all
    select identities.ordinal, found.*
    from identity.identities  -- fewer rows than what is found: the side that a hash join holds in memory
    join found_anew found on found.namespace = identities.namespace and found.value = identities.value
    where new_measures() > 0  -- known before it runs: otherwise nothing of this is read
    -- end
)

select
    measure_id,
    ordinal,
    cast(occurred_at as date) as date,
    property_value,
    count(*) as event_count,
    min(occurred_at) as first_at,
    max(occurred_at) as last_at,
    count(number) as number_count,
    sum(number) as total,
    min(number) as least,
    max(number) as most
from numbered
group by 1, 2, 3, 4
