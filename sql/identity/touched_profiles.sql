-- Profiles to compute again: those of the touched identifiers, as they were and as they are.
--
-- key: profile_id
-- strategy: scratch
-- columns:
--   profile_id  text  the profile
select profile_id from new.identity.identities
union
select known.profile_id
from previous.identity.identities known
join identity.touched
    on known.namespace = identifier_namespace(touched.identifier) and known.value = identifier_value(touched.identifier)
