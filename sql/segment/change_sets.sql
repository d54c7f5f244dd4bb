-- Who entered and who left each segment in each refresh, as sets of ordinals.
--
-- key: segment, generation, change
-- strategy: history
-- unique: members
-- columns:
--   segment     text       the segment
--   generation  bigint     the generation in which it changed
--   change      text       `entered` or `left`
--   at          timestamp  when
--   members     binary     ordinals of profiles: a Roaring bitmap of 32 bits in its portable format
select segment, generation, change, at, members
from new.segment.member_sets
where is_change and generation = (select number from config.generation)
