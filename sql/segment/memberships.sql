-- Who is in which segment, and since when.
--
-- key: segment, profile_id
-- strategy: view
-- columns:
--   segment     text       the segment
--   profile_id  text       the member
--   entered_at  timestamp  the refresh in which it entered
select members.segment, persons.profile_id, members.entered_at
from members_of((select segment, generation, change, at, members from segment.member_sets)) members
join profile.persons on persons.ordinal = members.ordinal
