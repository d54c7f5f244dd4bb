-- What all links connect, be it one person or not: the connected components over the identifier sets.
--
-- key: identifier
-- strategy: step
-- unique: identifier, component, first_seen_at, last_seen_at, first_landed
-- columns:
--   identifier     text       `namespace:value`
--   component      text       the smallest of the identifiers that links connect it to
--   is_crowded     boolean    whether those have more values of a namespace than its limit, or are so many that one may be linked to too many others
--   first_seen_at  timestamp  time of the earliest event or record with it
--   last_seen_at   timestamp  time of the latest event or record with it
--   first_landed   bigint     place of the first to land in the order of landing
with sets as (
    select kind, identifiers, first_seen_at, last_seen_at, first_landed
    -- if full
    from identity.sets
    -- end
    -- if incremental
    from identity.touched_sets
    -- end
),

seen as (
    select identifier, min(first_seen_at) as first_seen_at, max(last_seen_at) as last_seen_at, min(first_landed) as first_landed
    from (
        select unnest(identifiers_of(identifiers)) as identifier, first_seen_at, last_seen_at, first_landed
        from sets
        where kind = 'seen'
        union all
        select
            identifier,
            arrow_cast(null, 'Timestamp(Microsecond, Some("UTC"))') as first_seen_at,
            arrow_cast(null, 'Timestamp(Microsecond, Some("UTC"))') as last_seen_at,
            first_landed
        from identity.record_landings
        -- if incremental
        where identifier in (select identifier from identity.touched)
        -- end
    )
    group by identifier
),

edges as (
    select unnest(identifier_edges(identifiers)) as edge from sets where kind = 'seen'
),

-- A correction waits until both of its identifiers were seen.
ends as (
    select a, b, unnest(make_array(a, b)) as identifier from identity.corrections where verdict = 'always'
),

decided as (
    select ends.a, ends.b
    from ends  -- few rows: the side that a hash join holds in memory
    join (
        select unnest(identifiers_of(identifiers)) as identifier from sets where kind = 'seen'
    ) present on present.identifier = ends.identifier
    group by ends.a, ends.b
    having count(distinct ends.identifier) = 2
),

members as (
    select node as identifier, component, is_crowded
    from connected_components((
        select edge['a'] as a, edge['b'] as b from edges
        union all
        select a, b from decided
    ))
)

select members.identifier, members.component, members.is_crowded, seen.first_seen_at, seen.last_seen_at, seen.first_landed
from members
join seen on seen.identifier = members.identifier
