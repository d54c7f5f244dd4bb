-- Every event once: cleaned, with its own identifier. Of copies with one source and event id, the one that landed first stays,
-- of those that name somebody.
--
-- key: source, event_id
-- strategy: append
-- unique: event_id, event_hash, landed_order, occurred_at, properties
-- columns:
--   event_id       text       the sender's message id, or a hash of the row and its number among equal rows of its file
--   source         text       the source in `tessera.toml`
--   touchpoint     text       where the customer was: web, mobile, pos, ...
--   party          text       first (collected by us) or third (from a provider)
--   event_type     text       track, page, screen, identify, group or alias
--   event_name     text       what happened, such as `Order Completed`; `Page Viewed` for pages
--   occurred_at    timestamp  when it happened
--   received_at    timestamp  when a collector received it, if one did
--   namespace      text       namespace of the event's own identifier, the most trusted one it brings
--   value          text       value of the event's own identifier, normalised
--   identifiers    text       the identifier set: all its identifiers, `namespace:value`, joined by U+001F
--   attributes     attributes what an identify call says of the person, and any call of consent (`consent.<category>`): name and value
--   page_path      text       path of the page
--   page_title     text       title of the page
--   page_section   text       first step of the path
--   referrer       text       where the visitor came from
--   utm_source     text       campaign source
--   utm_medium     text       campaign medium
--   utm_campaign   text       campaign name
--   revenue        decimal    revenue of the event, in `currency`
--   currency       text       ISO 4217 code
--   properties     text       the event's properties, a JSON object as it arrived; a page's or screen's with its name and category
--   event_hash     bigint     hash of source and event id: speeds up the search for copies
--   landed_order   bigint     place in the order of landing, over all batches
with landed as (
    select *, sequence * 549755813888 + position as landed_order  -- 2^39 rows a batch
    from new.landing.events
),

first_copies as (
    select
        source,
        event_id,
        -- One that is refused would keep out the others, but not those of later refreshes.
        min(landed_order) filter (where resolve_identifiers(identifiers) is not null) as landed_order
    from landed
    -- if full
    where event_hash in (select event_hash from new.landing.events group by event_hash having count(*) > 1)
    -- end
    -- if incremental
    where event_hash in (select event_hash from staging.suspects)
    -- end
    group by source, event_id
),

resolved as (
    select landed.*, resolve_identifiers(landed.identifiers) as identifier_set
    from first_copies  -- few rows: the side that a hash join holds in memory
    right join landed
        on landed.source = first_copies.source and landed.event_id = first_copies.event_id
    where (first_copies.landed_order is null or first_copies.landed_order = landed.landed_order)
)

select
    resolved.event_id,
    resolved.source,
    sources.touchpoint,
    sources.party,
    resolved.event_type,
    resolved.event_name,
    resolved.occurred_at,
    resolved.received_at,
    identifier_namespace(first_identifier(identifier_set)) as namespace,
    identifier_value(first_identifier(identifier_set)) as value,
    identifier_set as identifiers,
    resolved.attributes,
    resolved.page_path,
    resolved.page_title,
    nullif(split_part(resolved.page_path, '/', 2), '') as page_section,
    resolved.referrer,
    resolved.utm_source,
    resolved.utm_medium,
    resolved.utm_campaign,
    resolved.revenue,
    resolved.currency,
    resolved.properties,
    resolved.event_hash,
    resolved.landed_order
from resolved
join config.sources on sources.source = resolved.source
-- if incremental
left anti join (
    select source, event_id from previous.staging.events where event_hash in (select event_hash from staging.suspects)
) known on known.source = resolved.source and known.event_id = resolved.event_id
-- end
where identifier_set is not null
