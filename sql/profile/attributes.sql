-- What each source says of each profile, and which of it stands: by the rule of the attribute in `tessera.toml`, the
-- latest without one. First-party values stand before third-party ones unless a rule trusts these; then, by the rule; then
-- the latest, then the last to land. Of a source only its latest value is kept, unless the rule needs every one, or the
-- attribute tells consent: of two records of one source a newer `no objection` does not hide an objection.
--
-- key: profile_id, name, source, attribute
-- strategy: merge
-- replaces: select profile_id from identity.touched_profiles
-- columns:
--   profile_id     text       the profile
--   name           text       the attribute, in snake case
--   attribute      text       its value, in the form of the attribute
--   source         text       the source that says so
--   party          text       first or third
--   first_told_at  timestamp  when the source first said anything of it; where every value is kept, when it first said this
--   updated_at     timestamp  when the source last said so
--   told_count     bigint     how often the source said anything of it; where every value is kept, how often it said this
--   is_current     boolean    true for what `profile.profiles` shows: one value, or several of an attribute that is a list
with said as (
    select
        identities.profile_id,
        sayings.name,
        normalize_attribute(sayings.name, sayings.said) as attribute,
        sayings.source,
        sayings.party,
        sayings.updated_at,
        sayings.landed_order
    from profile.sayings
    join new.identity.identities on identities.namespace = sayings.namespace and identities.value = sayings.value
    union all
    select
        identities.profile_id,
        records.name,
        normalize_attribute(records.name, records.said) as attribute,
        records.source,
        records.party,
        records.told_at as updated_at,
        records.landed_order
    from (
        select
            source,
            party,
            told_at,
            landed_order,
            identifier,
            snake_case(attribute['name']) as name,
            attribute['value'] as said
        from (
            select
                source, party, coalesce(updated_at, landed_at) as told_at, landed_order,
                first_identifier(identifiers) as identifier, unnest(attributes) as attribute
            from staging.records
            where not is_deleted and identifiers is not null
        )
    ) records
    join new.identity.identities
        on identities.namespace = identifier_namespace(records.identifier) and identities.value = identifier_value(records.identifier)
),

kept as (
    select
        profile_id,
        name,
        source,
        party,
        last_value(attribute order by updated_at, landed_order, attribute) as attribute,
        min(updated_at) as first_told_at,
        max(updated_at) as updated_at,
        last_value(landed_order order by updated_at, landed_order, attribute) as landed_order,
        count(*) as told_count
    from said
    where attribute is not null
    group by
        profile_id,
        name,
        source,
        party,
        case when attribute_keeps_each(name) then attribute end
),

-- By all sources that are trusted alike.
told as (
    select profile_id, name, attribute_rank(name, source, party) as rank, attribute, sum(told_count) as told_count
    from kept
    where attribute_rule(name) = 'most_frequent'
    group by 1, 2, 3, 4
),

ranked as (
    select
        kept.*,
        attribute_rank(kept.name, kept.source, kept.party) as rank,
        case attribute_rule(kept.name)
            when 'first' then cast(kept.first_told_at as bigint)
            when 'most_frequent' then -told.told_count
            when 'longest' then -cast(character_length(kept.attribute) as bigint)
        end as place
    from told  -- few rows: the side that a hash join holds in memory
    right join kept
        on told.profile_id = kept.profile_id
        and told.name = kept.name
        and told.rank = attribute_rank(kept.name, kept.source, kept.party)
        and told.attribute = kept.attribute
)

select
    profile_id,
    name,
    attribute,
    source,
    party,
    first_told_at,
    updated_at,
    told_count,
    1 = row_number() over (
        partition by profile_id, name
        order by rank, place, updated_at desc, landed_order desc, source, attribute
    ) as is_current
from ranked
where attribute_rule(name) <> 'all'
union all  -- apart: a window over all rows, for the few that need it, takes as long as all the rest
select
    profile_id,
    name,
    attribute,
    source,
    party,
    first_told_at,
    updated_at,
    told_count,
    rank = min(rank) over (partition by profile_id, name) as is_current
from (
    -- several may be told in one list
    select
        profile_id,
        name,
        attribute,
        source,
        party,
        rank,
        min(first_told_at) as first_told_at,
        max(updated_at) as updated_at,
        sum(told_count) as told_count
    from (
        select
            profile_id,
            name,
            unnest(attribute_entries(name, attribute)) as attribute,
            source,
            party,
            rank,
            first_told_at,
            updated_at,
            told_count
        from ranked
        where attribute_rule(name) = 'all'
    )
    group by profile_id, name, attribute, source, party, rank
)
