-- When events were of which sequences ask what followed what, which no figure of a day can tell. A state, as
-- `behavior.defined_measures` is one: new events are read once, a new sequence reads earlier events once, for itself alone.
--
-- key: measure_id, ordinal, at
-- strategy: append
-- unique: ordinal, at
-- columns:
--   measure_id  bigint     number in `behavior.measure_definitions`
--   ordinal     bigint     ordinal of the event's own identifier
--   at          timestamp  when it happened
with found as (
    select
        namespace,
        value,
        occurred_at,
        unnest(instants(
            event_name, source, touchpoint, party, event_type, page_path, page_title, page_section, referrer, utm_source,
            utm_medium, utm_campaign, currency, revenue, occurred_at, properties
        )) as measure_id
    from new.staging.events
    where has_instants(event_name)
),

-- if incremental
found_anew as (
    select
        namespace,
        value,
        occurred_at,
        unnest(new_instants(
            event_name, source, touchpoint, party, event_type, page_path, page_title, page_section, referrer, utm_source,
            utm_medium, utm_campaign, currency, revenue, occurred_at, properties
        )) as measure_id
    from previous.staging.events
    where event_name in (select distinct event_name from config.measures where is_new and is_instant)
),

-- end
numbered as (
    select found.measure_id, identities.ordinal, found.occurred_at
    from new.identity.identities identities  -- whoever did something new is among those that this refresh resolved
    join found on found.namespace = identities.namespace and found.value = identities.value
    -- if incremental
    union all
    select found.measure_id, identities.ordinal, found.occurred_at
    from identity.identities  -- fewer rows than what is found: the side that a hash join holds in memory
    join found_anew found on found.namespace = identities.namespace and found.value = identities.value
    where new_measures() > 0  -- known before it runs: otherwise nothing of this is read
    -- end
)

select measure_id, ordinal, occurred_at as at from numbered
