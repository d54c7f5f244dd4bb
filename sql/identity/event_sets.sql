-- What events say of identity: each identifier set that events of a source brought, with when and how often. A state:
-- appended to, folded when read. Every version of a record whose source has `keep_links = true` is remembered here too, but not
-- counted.
--
-- key: identifiers, source
-- strategy: fold
-- unique: identifiers, first_landed, first_seen_at, last_seen_at
-- fold: min(first_seen_at), max(last_seen_at), min(first_landed), sum(event_count)
-- columns:
--   identifiers    text       the identifier set
--   source         text       the source that brought it
--   first_seen_at  timestamp  time of the earliest event with it
--   last_seen_at   timestamp  time of the latest event with it
--   first_landed   bigint     place of the first to land in the order of landing
--   event_count    bigint     number of events with it; 0 if only versions of records have it, which `keep_links` keeps
with versions as (
    select
        landed.source,
        landed.record_key,
        landed.updated_at,
        landed.landed_at,
        landed.is_deleted,
        resolve_identifiers(landed.identifiers) as identifiers,
        landed.attributes,
        landed.payload,
        landed.sequence * 549755813888 + landed.position as landed_order,
        sources.has_updated_at,
        true as is_new
    from config.sources  -- few rows: the side that a hash join holds in memory
    join new.landing.records landed on landed.source = sources.source
    where sources.keep_links
    -- if incremental
    union all
    select
        known.source,
        known.record_key,
        known.updated_at,
        known.landed_at,
        known.is_deleted,
        known.identifiers,
        known.attributes,
        known.payload,
        known.landed_order,
        sources.has_updated_at,
        false as is_new
    from config.sources
    join previous.staging.records known on known.source = sources.source
    where
        sources.keep_links
        and not sources.has_updated_at
        and exists (
            select 1 from new.landing.records landed
            where landed.source = known.source and landed.record_key = known.record_key
        )
    -- end
),

-- Without `updated_at` a version that lands again as it was stays of when it landed first, as in `staging.records`.
beside as (
    select
        *,
        lag(landed_order) over versions_before as landed_before,
        lag(is_deleted) over versions_before as was_deleted,
        lag(identifiers) over versions_before as identifiers_before,
        lag(attributes) over versions_before as attributes_before,
        lag(payload) over versions_before as payload_before
    from versions
    window versions_before as (partition by source, record_key order by landed_order)
)

select
    identifiers,
    source,
    min(occurred_at) as first_seen_at,
    max(occurred_at) as last_seen_at,
    min(landed_order) as first_landed,
    count(*) as event_count
from new.staging.events
group by identifiers, source
union all
select
    identifiers,
    source,
    coalesce(updated_at, landed_at) as first_seen_at,
    coalesce(updated_at, landed_at) as last_seen_at,
    landed_order as first_landed,
    0 as event_count  -- the record as it is now counts in `identity.sets`, and what lands again and again is no more of them
from beside
where
    is_new
    and not is_deleted
    and identifiers is not null
    and (
        has_updated_at
        or landed_before is null
        or was_deleted
        or (identifiers is distinct from identifiers_before)
        or (attributes is distinct from attributes_before)
        or (payload is distinct from payload_before)
    )
