-- The highest ordinal that an identifier ever had: those that are new have higher ones.
--
-- key: ordinal
-- strategy: full
-- columns:
--   ordinal  bigint  the highest
select coalesce(max(ordinal), 0) as ordinal
from (
    select ordinal from new.identity.identities
    union all
    select ordinal from last.identity.ordinals
)
