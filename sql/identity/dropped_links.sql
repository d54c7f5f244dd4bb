-- Links that do not count: they would have given one person more values of a namespace than its limit, or made one
-- person of what a correction keeps apart.
--
-- key: a_namespace, a_value, b_namespace, b_value
-- strategy: merge
-- replaces: select namespace as a_namespace, value as a_value from identity.touched
-- columns:
--   a_namespace    text       namespace of the more trusted identifier
--   a_value        text       its value
--   b_namespace    text       namespace of the other
--   b_value        text       its value
--   reason         text       why it was dropped, in words
--   exceeded       text       the limit that it would have broken: a namespace, or `links_max`; null if a correction is the reason
--   first_seen_at  timestamp  time of the earliest event or record with both, null if only a correction has them
--   last_seen_at   timestamp  time of the latest, null likewise
--   event_count    bigint     number of events, and of records as they are now, with both, as in `identity.links`
--   sources        texts      the sources that saw them together; `correction by` and who decided it
with dropped as (
    select a, b, reason, exceeded from identity.replayed where reason is not null
),

pairs as (
    select unnest(identifier_pairs(identifiers)) as pair, source, first_seen_at, last_seen_at, event_count
    from identity.crowded_sets
    where kind <> 'never'
),

seen as (
    select
        dropped.a,
        dropped.b,
        dropped.reason,
        dropped.exceeded,
        pairs.source,
        min(pairs.first_seen_at) as first_seen_at,
        max(pairs.last_seen_at) as last_seen_at,
        sum(pairs.event_count) as event_count
    from dropped
    join pairs on pairs.pair['a'] = dropped.a and pairs.pair['b'] = dropped.b
    group by dropped.a, dropped.b, dropped.reason, dropped.exceeded, pairs.source
)

select
    identifier_namespace(a) as a_namespace,
    identifier_value(a) as a_value,
    identifier_namespace(b) as b_namespace,
    identifier_value(b) as b_value,
    reason,
    exceeded,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at,
    sum(event_count) as event_count,
    array_agg(source order by source) as sources
from seen
group by a, b, reason, exceeded
