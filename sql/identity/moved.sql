-- Identifiers whose profile is another one than in the last generation. Of profiles that are new as a whole, only the
-- anchor; and those that nobody has any more.
--
-- key: namespace, value
-- strategy: step
-- columns:
--   namespace        text  the identifier's namespace
--   value            text  its value
--   from_profile_id  text  its profile in the last generation, null if it had none
--   to_profile_id    text  its profile now, null if it has none
with earlier as (
    -- if full
    select namespace, value, profile_id from last.identity.identities
    -- end
    -- if incremental
    select namespace, value, earlier_profile_id as profile_id from identity.touched where earlier_profile_id is not null
    -- end
)

select
    coalesce(identities.namespace, earlier.namespace) as namespace,
    coalesce(identities.value, earlier.value) as value,
    earlier.profile_id as from_profile_id,
    identities.profile_id as to_profile_id
from earlier
full join new.identity.identities on identities.namespace = earlier.namespace and identities.value = earlier.value
where
    earlier.profile_id <> identities.profile_id
    or identities.profile_id is null
    or (
        earlier.profile_id is null
        and profile_id(identities.namespace || ':' || identities.value) = identities.profile_id
    )
