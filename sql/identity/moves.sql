-- How profiles of the last generation went on: each earlier profile of a touched identifier with the profile it has
-- now. A profile whose identifiers now belong to several is split, and so is every profile that received a part.
--
-- key: from_profile_id, to_profile_id
-- strategy: scratch
-- columns:
--   from_profile_id  text     profile in the last generation
--   to_profile_id    text     profile now
--   is_split         boolean  true if the profile now holds a part of a profile that was split
with pairs as (
    select touched.earlier_profile_id as from_profile_id, identities.profile_id as to_profile_id
    from new.identity.identities identities
    join identity.touched on touched.namespace = identities.namespace and touched.value = identities.value
    where touched.earlier_profile_id is not null
    group by touched.earlier_profile_id, identities.profile_id
),

split_profiles as (
    select from_profile_id from pairs group by from_profile_id having count(*) > 1
),

parts as (
    select distinct to_profile_id from pairs where from_profile_id in (select from_profile_id from split_profiles)
)

select pairs.from_profile_id, pairs.to_profile_id, parts.to_profile_id is not null as is_split
from pairs
left join parts on parts.to_profile_id = pairs.to_profile_id
