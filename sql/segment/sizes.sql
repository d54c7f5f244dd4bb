-- How many people were in each segment after each refresh.
--
-- key: segment, generation
-- strategy: history
-- columns:
--   segment     text       the segment
--   size        bigint     its members
--   at          timestamp  when the refresh began
--   generation  bigint     the generation
with sizes as (
    select
        segment,
        sum(case change when 'entered' then size else -size end) as size
    from segment.member_sets
    group by segment
)

select segments.segment, coalesce(sizes.size, 0) as size, generation.started_at as at, generation.number as generation
from segment.segments
left join sizes on sizes.segment = segments.segment
cross join config.generation
