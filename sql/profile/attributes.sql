-- What each source says of each profile, the latest of each source; and which of them stands. First-party values stand
-- before third-party ones, then the latest, then the last to land.
--
-- key: profile_id, name, source
-- strategy: merge
-- replaces: select profile_id from identity.touched_profiles
-- columns:
--   profile_id    text       the profile
--   name          text       the attribute, in snake case
--   attribute     text       its value
--   source        text       the source that says so
--   party         text       first or third
--   updated_at    timestamp  when the source said so
--   is_current    boolean    true for the one value that `profile.profiles` shows
with said as (
    select identities.profile_id, sayings.name, sayings.said, sayings.source, sayings.party, sayings.updated_at, sayings.landed_order
    from profile.sayings
    join new.identity.identities on identities.namespace = sayings.namespace and identities.value = sayings.value
    union all
    select
        identities.profile_id,
        snake_case(records.attribute['name']) as name,
        records.attribute['value'] as said,
        records.source,
        records.party,
        records.told_at as updated_at,
        records.landed_order
    from (
        select
            source, party, coalesce(updated_at, landed_at) as told_at, landed_order,
            first_identifier(identifiers) as identifier, unnest(attributes) as attribute
        from staging.records
        where not is_deleted and identifiers is not null
    ) records
    join new.identity.identities
        on identities.namespace = identifier_namespace(records.identifier) and identities.value = identifier_value(records.identifier)
),

latest as (
    select
        profile_id,
        name,
        source,
        party,
        last_value(said order by updated_at, landed_order, said) as said,
        max(updated_at) as updated_at,
        last_value(landed_order order by updated_at, landed_order, said) as landed_order
    from said
    group by profile_id, name, source, party
)

select
    profile_id,
    name,
    said as attribute,
    source,
    party,
    updated_at,
    row_number() over (partition by profile_id, name order by party, updated_at desc, landed_order desc, source) = 1 as is_current
from latest
