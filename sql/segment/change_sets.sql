-- Who entered and who left each segment in each refresh, as sets of ordinals.
--
-- key: segment, generation, change, at
-- strategy: history
-- unique: members
-- columns:
--   segment     text       the segment
--   generation  bigint     the generation in which it changed
--   change      text       `entered` or `left`; `renamed_to` or `renamed_from` where a member goes by another id
--   at          timestamp  when; of `renamed_to`, since when they are in it
--   members     binary     ordinals of profiles: a Roaring bitmap of 32 bits in its portable format
select
    segment,
    generation,
    case when is_change then change when change = 'entered' then 'renamed_to' else 'renamed_from' end as change,
    at,
    members
from new.segment.member_sets
where generation = (select number from config.generation)
