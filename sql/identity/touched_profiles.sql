-- Profiles to compute again: those of the touched identifiers, as they were and as they are.
--
-- key: profile_id
-- strategy: scratch
-- columns:
--   profile_id  text  the profile
select profile_id from new.identity.identities
union
select earlier_profile_id from identity.touched where earlier_profile_id is not null
