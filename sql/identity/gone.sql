-- Identifiers that nobody had any more, since their source deleted or changed what told them: by these, history still names
-- whom it is about.
--
-- key: ordinal, generation
-- strategy: history
-- columns:
--   ordinal     bigint  the number that the identifier had, and has again if it comes back
--   namespace   text    the identifier's namespace
--   value       text    its value
--   generation  bigint  the first generation without it
with earlier as (
    -- if full
    select namespace, value, ordinal from last.identity.identities
    -- end
    -- if incremental
    select namespace, value, earlier_ordinal as ordinal from identity.touched where earlier_ordinal is not null
    -- end
)

select earlier.ordinal, earlier.namespace, earlier.value, generation.number as generation
from earlier
left join new.identity.identities identities
    on identities.namespace = earlier.namespace and identities.value = earlier.value
cross join config.generation
where identities.value is null
