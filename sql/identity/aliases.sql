-- Ids of profiles that are no more, each with the profile that has its anchor now. An id is a function of its anchor, so
-- an id that was merged into several profiles, one after the other, leads to the last of them. Where nobody has the anchor
-- any more, who was with it leads on: the last who left, and of those the most trusted; if nobody has these either, the
-- profile that they went to.
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

-- Who left the profile: with whom they are now; or, where they are gone, too, the profile that they went to, or that has its
-- anchor now.
companions as (
    select
        retired.profile_id,
        coalesce(identities.profile_id, living.profile_id, onward.successor_id) as successor_id,
        changes.generation,
        changes.namespace,
        changes.value
    from retired  -- few rows: the side that a hash join holds in memory
    join identity.changes on changes.from_profile_id = retired.profile_id
    left join identity.identities on identities.namespace = changes.namespace and identities.value = changes.value
    left join identity.identities living
        on living.profile_id = changes.to_profile_id and living.ordinal = living.profile_ordinal
    left join retired onward on onward.profile_id = changes.to_profile_id
    where retired.successor_id is null
),

heirs as (
    select
        profile_id,
        first_value(
            successor_id
            order by generation desc, namespace_rank(namespace || ':' || value), namespace, value
        ) as successor_id
    from companions
    where successor_id is not null
    group by profile_id
)

select retired.profile_id, coalesce(retired.successor_id, heirs.successor_id) as successor_id
from retired
left join heirs on heirs.profile_id = retired.profile_id
where coalesce(retired.successor_id, heirs.successor_id) is not null
