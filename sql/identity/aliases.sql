-- Ids of profiles that are no more, each with the profile that has its anchor now. An id is a function of its anchor, so
-- an id that was merged into several profiles, one after the other, leads to the last of them. Where nobody has the anchor
-- any more, who was with it leads on: the last who left, and of those the most trusted.
--
-- key: profile_id
-- strategy: view
-- columns:
--   profile_id    text  the id that is no more
--   successor_id  text  the profile that has its anchor, or who was with it
with retired as (
    select distinct changes.from_profile_id as profile_id, identities.profile_id as successor_id
    from identity.changes
    left join identity.identities on identities.namespace = changes.namespace and identities.value = changes.value
    where
        profile_id(changes.namespace || ':' || changes.value) = changes.from_profile_id
        and (identities.profile_id is distinct from changes.from_profile_id)
),

companions as (
    select
        retired.profile_id,
        first_value(
            identities.profile_id
            order by
                changes.generation desc,
                namespace_rank(changes.namespace || ':' || changes.value),
                changes.namespace,
                changes.value
        ) as successor_id
    from retired  -- few rows: the side that a hash join holds in memory
    join identity.changes on changes.from_profile_id = retired.profile_id
    join identity.identities on identities.namespace = changes.namespace and identities.value = changes.value
    where retired.successor_id is null
    group by retired.profile_id
)

select retired.profile_id, coalesce(retired.successor_id, companions.successor_id) as successor_id
from retired
left join companions on companions.profile_id = retired.profile_id
where coalesce(retired.successor_id, companions.successor_id) is not null
