-- Which profile each identifier belongs to. Identifiers that were seen together belong together: the connected
-- components over all sets. A profile is named by its anchor: of its identifiers the most trusted, and of equally
-- trusted ones the first that landed. So its id is a function of the data.
--
-- key: namespace, value
-- strategy: merge
-- replaces: select namespace, value from identity.touched
-- unique: value, profile_id, first_seen_at, last_seen_at
-- columns:
--   namespace      text       the identifier's namespace
--   value          text       the identifier's value, normalised
--   profile_id     text       the profile it belongs to
--   first_seen_at  timestamp  time of the earliest event or record with it
--   last_seen_at   timestamp  time of the latest event or record with it
with sets as (
    select identifiers, first_seen_at, last_seen_at, first_landed
    -- if full
    from identity.sets
    -- end
    -- if incremental
    from identity.touched_sets
    -- end
),

edges as (
    select unnest(identifier_edges(identifiers)) as edge from sets
),

members as (
    select node as identifier, component
    from connected_components((select edge['a'] as a, edge['b'] as b from edges))
),

seen as (
    select identifier, min(first_seen_at) as first_seen_at, max(last_seen_at) as last_seen_at, min(first_landed) as first_landed
    from (select unnest(identifiers_of(identifiers)) as identifier, first_seen_at, last_seen_at, first_landed from sets)
    group by identifier
),

ranked as (
    select members.identifier, members.component, seen.first_seen_at, seen.last_seen_at, seen.first_landed
    from members
    join seen on seen.identifier = members.identifier
),

anchors as (
    select
        component,
        first_value(identifier order by namespace_rank(identifier), first_landed, identifier) as anchor
    from ranked
    group by component
)

select
    identifier_namespace(ranked.identifier) as namespace,
    identifier_value(ranked.identifier) as value,
    profile_id(anchors.anchor) as profile_id,
    ranked.first_seen_at,
    ranked.last_seen_at
from ranked
join anchors on anchors.component = ranked.component
