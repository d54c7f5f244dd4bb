-- Ids of profiles that are no more, each with the profile that has its anchor now. An id is a function of its anchor, so
-- an id that was merged into several profiles, one after the other, leads to the last of them.
--
-- key: profile_id
-- strategy: view
-- columns:
--   profile_id    text  the id that is no more
--   successor_id  text  the profile that has its anchor
select distinct changes.from_profile_id as profile_id, identities.profile_id as successor_id
from identity.changes
join identity.identities on identities.namespace = changes.namespace and identities.value = changes.value
where
    profile_id(changes.namespace || ':' || changes.value) = changes.from_profile_id
    and identities.profile_id <> changes.from_profile_id
