-- The links that made identifiers change their profile: of the links between what came from one profile and the rest of
-- its new profile, the most trusted, then the earliest. Where a profile fell apart, the dropped link that parts it.
--
-- key: from_profile_id, to_profile_id
-- strategy: step
-- columns:
--   from_profile_id  text  profile in the last generation
--   to_profile_id    text  profile now
--   link_a           text  the more trusted end of the link that joined them, null if none did
--   link_b           text  its other end
--   dropped_a        text  the more trusted end of the dropped link that parts them, null if none does
--   dropped_b        text  its other end
with moved as (
    select namespace || ':' || value as identifier, from_profile_id, to_profile_id
    from identity.moved
    where from_profile_id is not null and to_profile_id is not null
),

joined as (
    select identities.namespace || ':' || identities.value as identifier
    from (
        select distinct to_profile_id from moved
    ) receiving  -- few rows: the side that a hash join holds in memory
    join new.identity.identities on identities.profile_id = receiving.to_profile_id
),

dropped as (
    select a_namespace || ':' || a_value as a, b_namespace || ':' || b_value as b, last_seen_at
    from identity.dropped_links
),

-- What is first in sets with these identifiers: one of them, or one that only dropped links lead to.
leading as (
    select identifier from joined
    union
    select dropped.a as identifier from dropped join joined on joined.identifier = dropped.b
    union
    select dropped.b as identifier from dropped join joined on joined.identifier = dropped.a
),

pairs as (
    select unnest(identifier_pairs(sets.identifiers)) as pair, sets.first_seen_at
    from leading
    -- if full
    join identity.sets on first_identifier(sets.identifiers) = leading.identifier
    -- end
    -- if incremental
    join identity.touched_sets sets on first_identifier(sets.identifiers) = leading.identifier
    -- end
),

links as (
    select pairs.pair['a'] as a, pairs.pair['b'] as b, min(pairs.first_seen_at) as first_seen_at
    from pairs
    -- A correction may name what nobody has.
    left semi join joined of_a on of_a.identifier = pairs.pair['a']
    left semi join joined of_b on of_b.identifier = pairs.pair['b']
    left anti join dropped on dropped.a = pairs.pair['a'] and dropped.b = pairs.pair['b']
    group by 1, 2
),

crossing as (
    select moved.from_profile_id, moved.to_profile_id, links.a, links.b, links.first_seen_at
    from moved
    join links on links.a = moved.identifier
    left join moved other on other.identifier = links.b
    where other.from_profile_id is distinct from moved.from_profile_id
    union all
    select moved.from_profile_id, moved.to_profile_id, links.a, links.b, links.first_seen_at
    from moved
    join links on links.b = moved.identifier
    left join moved other on other.identifier = links.a
    where other.from_profile_id is distinct from moved.from_profile_id
),

-- Each dropped link from a moved identifier to another one.
leaving as (
    select moved.from_profile_id, moved.to_profile_id, dropped.a, dropped.b, dropped.last_seen_at, dropped.b as other
    from moved
    join dropped on dropped.a = moved.identifier
    union all
    select moved.from_profile_id, moved.to_profile_id, dropped.a, dropped.b, dropped.last_seen_at, dropped.a as other
    from moved
    join dropped on dropped.b = moved.identifier
),

earlier as (
    -- if full
    select namespace || ':' || value as identifier, profile_id from last.identity.identities
    -- end
    -- if incremental
    select identifier, earlier_profile_id as profile_id from identity.touched
    -- end
),

parting as (
    select leaving.from_profile_id, leaving.to_profile_id, leaving.a, leaving.b, leaving.last_seen_at
    from leaving  -- few rows: the side that a hash join holds in memory
    join earlier on earlier.identifier = leaving.other and earlier.profile_id = leaving.from_profile_id
),

joins as (
    select
        from_profile_id,
        to_profile_id,
        first_value(a order by namespace_rank(a) + namespace_rank(b), first_seen_at, a, b) as a,
        first_value(b order by namespace_rank(a) + namespace_rank(b), first_seen_at, a, b) as b
    from crossing
    group by from_profile_id, to_profile_id
),

parts as (
    select
        from_profile_id,
        to_profile_id,
        first_value(a order by namespace_rank(a) + namespace_rank(b), last_seen_at desc, a, b) as a,
        first_value(b order by namespace_rank(a) + namespace_rank(b), last_seen_at desc, a, b) as b
    from parting
    group by from_profile_id, to_profile_id
)

select
    coalesce(joins.from_profile_id, parts.from_profile_id) as from_profile_id,
    coalesce(joins.to_profile_id, parts.to_profile_id) as to_profile_id,
    joins.a as link_a,
    joins.b as link_b,
    parts.a as dropped_a,
    parts.b as dropped_b
from joins
full join parts on parts.from_profile_id = joins.from_profile_id and parts.to_profile_id = joins.to_profile_id
