-- Records as they are now: of each source and key, the newest version. A deleted record stays as a mark, so that an
-- older version that lands late does not bring it back. Where the source has `updated_at`, a deletion that says no time is of
-- when it came; where it has none, the version that landed last is the newest.
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

ranked as (
    select
        candidates.*,
        sources.touchpoint,
        sources.party,
        row_number() over (
            partition by candidates.source, candidates.record_key
            order by
                case
                    when not sources.has_updated_at then null  -- the order of landing decides
                    when candidates.is_deleted then coalesce(candidates.updated_at, candidates.landed_at)
                    else candidates.updated_at
                end desc nulls last,
                candidates.landed_order desc
        ) as newest
    from config.sources  -- few rows: the side that a hash join holds in memory
    join candidates on candidates.source = sources.source
)

select
    source, record_key, touchpoint, party, updated_at, landed_at, is_deleted, identifiers, attributes, payload, landed_order
from ranked
where newest = 1
