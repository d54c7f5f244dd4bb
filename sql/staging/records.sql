-- Records as they are now: of each source and key, the newest version. A deleted record stays as a mark, so that an
-- older version that lands late does not bring it back. Where the source has `updated_at`, a deletion that says no time is of
-- when it came; where it has none, the version that landed last is the newest. One that lands again as it was stays of when it
-- landed first.
--
-- key: source, record_key
-- strategy: merge
-- columns:
--   source        text       the source in `tessera.toml`
--   record_key    text       the record's key in its source
--   touchpoint    text       where the source's data come from
--   party         text       first or third
--   updated_at    timestamp  when the source last changed it, if it says so
--   landed_at     timestamp  when this version landed
--   is_deleted    boolean    true if the source deleted it
--   identifiers   text       the identifier set, null if none is usable
--   attributes    attributes what the record says of the person: name and value
--   payload       text       all columns, a JSON object as it arrived
--   landed_order  bigint     place in the order of landing, over all batches
with candidates as (
    select
        source,
        record_key,
        updated_at,
        landed_at,
        is_deleted,
        resolve_identifiers(identifiers) as identifiers,
        attributes,
        payload,
        sequence * 549755813888 + position as landed_order
    from new.landing.records
    -- if incremental
    union all
    select source, record_key, updated_at, landed_at, is_deleted, identifiers, attributes, payload, landed_order
    from previous.staging.records known
    where exists (
        select 1 from new.landing.records landed
        where landed.source = known.source and landed.record_key = known.record_key
    )
    -- end
),

versions as (
    select
        candidates.*,
        sources.touchpoint,
        sources.party,
        case
            when not sources.has_updated_at then null  -- the order of landing decides
            when candidates.is_deleted then coalesce(candidates.updated_at, candidates.landed_at)
            else candidates.updated_at
        end as version
    from config.sources  -- few rows: the side that a hash join holds in memory
    join candidates on candidates.source = sources.source
),

-- A version that lands again as it was is not told anew: exports hold all rows, whatever has changed. A deletion may be of
-- when it came, and counts each time.
beside as (
    select
        *,
        lead(landed_order) over versions_back as landed_before,
        lead(is_deleted) over versions_back as was_deleted,
        lead(updated_at) over versions_back as updated_before,
        lead(identifiers) over versions_back as identifiers_before,
        lead(attributes) over versions_back as attributes_before,
        lead(payload) over versions_back as payload_before
    from versions
    window versions_back as (
        partition by source, record_key order by version desc nulls last, landed_order desc
    )
),

ranked as (
    select
        *,
        row_number() over (partition by source, record_key order by version desc nulls last, landed_order desc) as newest
    from beside
    where
        landed_before is null
        or is_deleted
        or was_deleted
        or (updated_at is distinct from updated_before)
        or (identifiers is distinct from identifiers_before)
        or (attributes is distinct from attributes_before)
        or (payload is distinct from payload_before)
)

select
    source, record_key, touchpoint, party, updated_at, landed_at, is_deleted, identifiers, attributes, payload, landed_order
from ranked
where newest = 1
