-- Which profile each identifier belongs to. Identifiers that were seen together belong together, as far as the limits of
-- namespaces allow. A profile is named by its anchor: of its identifiers the most trusted, and of equally trusted ones
-- the first that landed. So its id is a function of the data.
--
-- key: namespace, value
-- strategy: merge
-- replaces: select namespace, value from identity.touched
-- unique: value, profile_id, first_seen_at, last_seen_at, ordinal, profile_ordinal
-- columns:
--   namespace        text       the identifier's namespace
--   value            text       the identifier's value, normalised
--   profile_id       text       the profile it belongs to
--   first_seen_at    timestamp  time of the earliest event or record with it
--   last_seen_at     timestamp  time of the latest event or record with it
--   ordinal          bigint     the identifier's number: its own for good, also if it goes and comes back
--   profile_ordinal  bigint     the ordinal of the profile's anchor, by which states and segments know the profile
--   cluster          text       where a limit stood against links, or may have: the smallest identifier of all that links connect, dropped ones too; else null
with laid as (
    select a as identifier, a_component as person from identity.replayed
    union
    select b as identifier, b_component as person from identity.replayed
),

members as (
    select
        components.identifier,
        coalesce(laid.person, components.component) as person,
        case when laid.person is not null then components.component end as cluster,
        components.first_seen_at,
        components.last_seen_at,
        components.first_landed
    from laid  -- few rows: the side that a hash join holds in memory
    right join identity.components on components.identifier = laid.identifier
),

-- Who comes back has the number of before: of a person's identifiers the one with the lowest counts as the first.
returning as (
    select namespace || ':' || value as identifier, max(ordinal) as ordinal from last.identity.gone group by namespace, value
),

known_members as (
    select members.*, coalesce(known.ordinal, returning.ordinal) as known_ordinal
    from returning  -- few rows: the side that a hash join holds in memory
    right join members on members.identifier = returning.identifier
    -- if full
    left join (
        select namespace || ':' || value as identifier, ordinal from last.identity.identities
    ) known on known.identifier = members.identifier
    -- end
    -- if incremental
    left join (
        select identifier, earlier_ordinal as ordinal from identity.touched
    ) known on known.identifier = members.identifier
    -- end
),

numbered as (
    select
        known_members.*,
        coalesce(
            known_ordinal,
            -- those without a number come first
            (select coalesce(max(ordinal), 0) from last.identity.ordinals)
                + row_number() over (order by known_ordinal is not null, first_landed, identifier)
        ) as ordinal
    from known_members
),

anchors as (
    select
        person,
        first_value(identifier order by namespace_rank(identifier), first_landed, identifier) as anchor,
        first_value(ordinal order by namespace_rank(identifier), first_landed, identifier) as profile_ordinal
    from numbered
    group by person
)

select
    identifier_namespace(members.identifier) as namespace,
    identifier_value(members.identifier) as value,
    profile_id(anchors.anchor) as profile_id,
    members.first_seen_at,
    members.last_seen_at,
    members.ordinal,
    anchors.profile_ordinal,
    members.cluster
from numbered members
join anchors on anchors.person = members.person
