-- What became of profiles and identifiers from one generation to the next, and which link did it.
--
-- key: generation, namespace, value
-- strategy: history
-- columns:
--   generation       bigint     the first generation that has it so
--   changed_at       timestamp  when the refresh that made that generation began
--   change           text       new, merge, split, move or gone
--   namespace        text       the identifier's namespace; for a new profile, its anchor's
--   value            text       the identifier's value
--   from_profile_id  text       its profile before, null for a new one
--   to_profile_id    text       its profile since, null if it is gone
--   link_a           text       the more trusted end of the link that did it: one that joined, or for a split one that was dropped; null if a link went or a rule changed
--   link_b           text       the other end
with moved as (
    select namespace, value, from_profile_id, to_profile_id
    from identity.moved
    where from_profile_id is not null and to_profile_id is not null
),

-- A profile goes on as long as its anchor is in it.
going_on as (
    select distinct profile_id
    from new.identity.identities
    where profile_id in (select distinct from_profile_id from moved)
),

fates as (
    select from_profile_id, count(distinct to_profile_id) as part_count from moved group by from_profile_id
),

origins as (
    select to_profile_id, count(distinct from_profile_id) as origin_count from moved group by to_profile_id
),

known as (
    -- if full
    select distinct profile_id from last.identity.identities
    -- end
    -- if incremental
    select distinct earlier_profile_id as profile_id from identity.touched where earlier_profile_id is not null
    -- end
),

kinds as (
    select
        moved.namespace,
        moved.value,
        moved.from_profile_id,
        moved.to_profile_id,
        case
            when moved.from_profile_id is null then 'new'
            when moved.to_profile_id is null then 'gone'
            when fates.part_count = 1 and going_on.profile_id is null then 'merge'
            when known.profile_id is not null or origins.origin_count > 1 then 'move'
            else 'split'
        end as change
    from identity.moved
    left join fates on fates.from_profile_id = moved.from_profile_id
    left join going_on on going_on.profile_id = moved.from_profile_id
    left join origins on origins.to_profile_id = moved.to_profile_id
    left join known on known.profile_id = moved.to_profile_id
    -- An identifier that is new and anchors what others brought along makes no new profile.
    where moved.from_profile_id is not null or origins.to_profile_id is null
)

select
    generation.number as generation,
    generation.started_at as changed_at,
    kinds.change,
    kinds.namespace,
    kinds.value,
    kinds.from_profile_id,
    kinds.to_profile_id,
    case when kinds.change = 'split' then causes.dropped_a else causes.link_a end as link_a,
    case when kinds.change = 'split' then causes.dropped_b else causes.link_b end as link_b
from kinds
left join identity.causes
    on causes.from_profile_id = kinds.from_profile_id and causes.to_profile_id = kinds.to_profile_id
cross join config.generation
