-- Who entered and who left which segment, in every refresh. A profile that was merged into another one since, or is gone,
-- is there under the id that it had. A member who goes by another id, having logged in or been merged, is no change of the
-- segment, but of its ids: `renamed_from` is the one of before, `renamed_to` the one of now. Within a generation, `left` and
-- `renamed_from` are to be applied first, for an id may be in both: where two members became one person, the id that stays is a
-- member since the earlier of both.
--
-- key: segment, profile_id, generation, change
-- strategy: view
-- columns:
--   segment     text       the segment
--   profile_id  text       who
--   change      text       `entered` or `left`, `renamed_from` or `renamed_to`
--   at          timestamp  when; of `renamed_to`, since when it is a member
--   generation  bigint     the generation in which it changed
with anchors as (
    select ordinal, namespace, value from identity.identities
    union all
    select distinct ordinal, namespace, value
    from identity.gone
    where not exists (  -- some have come back
        select 1 from identity.identities
        where identities.ordinal = gone.ordinal
    )
)

select
    changed.segment,
    profile_id(anchors.namespace || ':' || anchors.value) as profile_id,
    changed.change,
    changed.at,
    changed.generation
from set_members((select segment, change, at, generation, members from segment.change_sets)) changed
join anchors on anchors.ordinal = changed.ordinal
