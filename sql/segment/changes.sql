-- Who entered and who left which segment, in every refresh. A profile that was merged into another one since, or is gone,
-- is there under the id that it had.
--
-- key: segment, profile_id, generation
-- strategy: view
-- columns:
--   segment     text       the segment
--   profile_id  text       who
--   change      text       `entered` or `left`
--   at          timestamp  when
--   generation  bigint     the generation in which it changed
with anchors as (
    select ordinal, namespace, value from identity.identities
    union all
    select ordinal, namespace, value from identity.gone
)

select
    changed.segment,
    profile_id(anchors.namespace || ':' || anchors.value) as profile_id,
    changed.change,
    changed.at,
    changed.generation
from set_members((select segment, change, at, generation, members from segment.change_sets)) changed
join anchors on anchors.ordinal = changed.ordinal
