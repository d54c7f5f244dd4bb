-- Records as they are now: of each source and key, the newest version. A deleted record stays as a mark, so that an
-- older version that lands late does not bring it back.
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
        landed.source,
        landed.record_key,
        sources.touchpoint,
        sources.party,
        landed.updated_at,
        landed.landed_at,
        landed.is_deleted,
        resolve_identifiers(landed.identifiers) as identifiers,
        landed.attributes,
        landed.payload,
        landed.sequence * 549755813888 + landed.position as landed_order
    from new.landing.records landed
    join config.sources on sources.source = landed.source
    -- if incremental
    union all
    select
        source, record_key, touchpoint, party, updated_at, landed_at, is_deleted, identifiers, attributes, payload, landed_order
    from previous.staging.records known
    where exists (
        select 1 from new.landing.records landed
        where landed.source = known.source and landed.record_key = known.record_key
    )
    -- end
),

ranked as (
    select
        *,
        -- A deletion that says no time is of when it came.
        row_number() over (
            partition by source, record_key
            order by case when is_deleted then coalesce(updated_at, landed_at) else updated_at end desc nulls last, landed_order desc
        ) as newest
    from candidates
)

select
    source, record_key, touchpoint, party, updated_at, landed_at, is_deleted, identifiers, attributes, payload, landed_order
from ranked
where newest = 1
