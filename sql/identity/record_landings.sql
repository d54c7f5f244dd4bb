-- When each identifier of a record landed first, whatever its source tells since: records are sent again and again, and who is
-- named by one must not be renamed for that. A state: appended to, folded when read.
--
-- key: identifier
-- strategy: fold
-- unique: identifier, first_landed
-- fold: min(first_landed)
-- columns:
--   identifier    text    `namespace:value`
--   first_landed  bigint  place of the first to land in the order of landing
select identifier, min(landed_order) as first_landed
from (
    select
        unnest(identifiers_of(resolve_identifiers(identifiers))) as identifier,
        sequence * 549755813888 + position as landed_order  -- 2^39 rows a batch
    from config.sources  -- few rows: the side that a hash join holds in memory
    join new.landing.records records on records.source = sources.source  -- not of one that is no more
)
group by identifier
