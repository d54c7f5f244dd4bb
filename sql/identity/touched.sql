-- Identifiers that this refresh has to resolve again: the changed ones, and all others that links connected to those in
-- the last generation, dropped links included. A server finds them without this query, in the graph that it keeps in memory.
--
-- key: identifier
-- strategy: scratch
-- columns:
--   identifier               text    `namespace:value`
--   namespace                text    its namespace
--   value                    text    its value
--   earlier_profile_id       text    the profile to which it belonged in the last generation, null if it is new
--   earlier_ordinal          bigint  its number in the last generation, null if it is new
--   earlier_profile_ordinal  bigint  the number of that profile's anchor, null if it is new
with earlier as (
    select others.namespace, others.value, others.profile_id, others.ordinal, others.profile_ordinal
    from identity.changed_components changed  -- few rows: the side that a hash join holds in memory
    join previous.identity.identities others on coalesce(others.cluster, others.profile_id) = changed.component
)

select
    coalesce(changed.namespace, earlier.namespace) || ':' || coalesce(changed.value, earlier.value) as identifier,
    coalesce(changed.namespace, earlier.namespace) as namespace,
    coalesce(changed.value, earlier.value) as value,
    earlier.profile_id as earlier_profile_id,
    earlier.ordinal as earlier_ordinal,
    earlier.profile_ordinal as earlier_profile_ordinal
from identity.changed
full join earlier on earlier.namespace = changed.namespace and earlier.value = changed.value
