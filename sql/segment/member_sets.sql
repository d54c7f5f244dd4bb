-- Who is in which segment, as sets of ordinals. A state: each refresh adds who entered and who left since the last
-- generation; sets of one segment and instant follow each other by generation, those who left before those who entered.
-- Computed by the engine from profiles and measures, all segments in one pass.
--
-- key: segment, generation, change, at
-- strategy: full
-- unique: members
-- columns:
--   segment     text       the segment
--   generation  bigint     the generation in which it changed
--   change      text       `entered` or `left`
--   at          timestamp  since when they are in it, or are not
--   size        bigint     how many they are
--   members     binary     ordinals of profiles: a Roaring bitmap of 32 bits in its portable format
--   is_change   boolean    false where the members only go by another ordinal: they logged in, or their profiles were merged
select segments.segment, generation, change, at, size, members, is_change
from last.segment.member_sets
join segment.segments on segments.segment = member_sets.segment
-- {segments}: as profiles are now
where exists (select 1 from profile.profiles)
    or exists (select 1 from last.segment.segments)
    or exists (select 1 from behavior.touched_measures)
    or exists (select 1 from behavior.measures)
    or exists (select 1 from behavior.defined_measures)
    or exists (select 1 from behavior.instants)
    or exists (select 1 from new.identity.identities)
    or exists (select 1 from new.identity.gone)
    or exists (select 1 from new.identity.changes)
    or exists (select 1 from segment.listed)
    or exists (select 1 from profile.consents)
    or exists (select 1 from segment.lists)
