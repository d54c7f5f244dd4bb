-- The profiles are those that identifiers belong to, each once.
with counted as (
    select profile_id, sum(of_profiles) as of_profiles, max(of_identities) as of_identities
    from (
        select profile_id, 1 as of_profiles, 0 as of_identities from profile.profiles
        union all
        select profile_id, 0 as of_profiles, 1 as of_identities from identity.identities
    )
    group by profile_id
)

select profile_id from counted where of_profiles <> 1 or of_identities <> 1
