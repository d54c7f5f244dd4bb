-- The profiles are those that identifiers belong to, each once.
with listed as (
    select profile_id, 1 as of_profiles, 0 as of_identities from profile.persons
    union all
    select profile_id, 0 as of_profiles, 1 as of_identities from identity.identities
)

select listed.profile_id
from listed
-- if incremental
where listed.profile_id in (select touched.profile_id from identity.touched_profiles touched)
-- end
group by listed.profile_id
having sum(listed.of_profiles) <> 1 or max(listed.of_identities) <> 1
