-- Ids of profiles that are no more, each with the profile that has its anchor now. An id is a function of its anchor, so
-- an id that was merged into several profiles, one after the other, leads to the last of them. Where nobody has the anchor
-- any more, who was with it leads on: the last who left, and of those the most trusted; if nobody has these either, the
-- profile that they went to, or whoever that one leads to.
--
-- key: profile_id
-- strategy: view
-- columns:
--   profile_id    text  the id that is no more
--   successor_id  text  the profile that has its anchor, or who was with it
with recursive retired as (
    select distinct changes.from_profile_id as profile_id, identities.profile_id as successor_id
    from identity.changes
    left join identity.identities on identities.namespace = changes.namespace and identities.value = changes.value
    where
        profile_id(changes.namespace || ':' || changes.value) = changes.from_profile_id
        and (identities.profile_id is distinct from changes.from_profile_id)
),

-- Who left a profile whose anchor nobody has: with whom they are now, and where they went.
companions as (
    select
        retired.profile_id,
        identities.profile_id as successor_id,
        changes.to_profile_id,
        changes.generation,
        namespace_rank(changes.namespace || ':' || changes.value) as rank,
        changes.namespace,
        changes.value
    from retired  -- few rows: the side that a hash join holds in memory
    join identity.changes on changes.from_profile_id = retired.profile_id
    left join identity.identities on identities.namespace = changes.namespace and identities.value = changes.value
    where retired.successor_id is null
),

heirs as (
    select
        profile_id,
        first_value(successor_id order by successor_id is null, generation desc, rank, namespace, value) as successor_id,
        first_value(to_profile_id order by to_profile_id is null, generation desc, rank, namespace, value) as onward_id,
        max(generation) filter (where to_profile_id is not null) as onward_generation
    from companions
    group by profile_id
),

-- Where they went whom nobody has any more, and on from there as long as nobody is found: forward in time, so in no circle.
onward as (
    select profile_id, onward_id, onward_generation
    from heirs
    where successor_id is null and onward_id is not null
    union all
    select onward.profile_id, heirs.onward_id, heirs.onward_generation
    from onward
    join heirs on heirs.profile_id = onward.onward_id
    where heirs.successor_id is null and heirs.onward_generation > onward.onward_generation
),

followed as (
    select
        onward.profile_id,
        last_value(
            coalesce(living.profile_id, retired.successor_id, heirs.successor_id) order by onward.onward_generation
        ) as successor_id
    from onward
    left join identity.identities living
        on living.profile_id = onward.onward_id and living.ordinal = living.profile_ordinal
    left join retired on retired.profile_id = onward.onward_id
    left join heirs on heirs.profile_id = onward.onward_id
    group by onward.profile_id
)

select retired.profile_id, coalesce(retired.successor_id, heirs.successor_id, followed.successor_id) as successor_id
from retired
left join heirs on heirs.profile_id = retired.profile_id
left join followed on followed.profile_id = retired.profile_id
where coalesce(retired.successor_id, heirs.successor_id, followed.successor_id) is not null
