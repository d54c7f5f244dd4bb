-- Two identifiers seen together in one event or record, and two that a correction makes one person (`always_link`), seen together
-- or not. The more trusted one is `a`.
--
-- key: a_namespace, a_value, b_namespace, b_value
-- strategy: view
-- columns:
--   a_namespace    text       namespace of the more trusted identifier
--   a_value        text       its value
--   b_namespace    text       namespace of the other
--   b_value        text       its value
--   first_seen_at  timestamp  time of the earliest event or record with both, null if only a correction has them
--   last_seen_at   timestamp  time of the latest, null likewise
--   event_count    bigint     number of events, and of records as they are now, with both; 0 if only a correction has them, or only earlier versions of records, which `keep_links` keeps
--   sources        texts      the sources that saw them together; `correction by` and who decided it
with pairs as (
    select unnest(identifier_pairs(identifiers)) as pair, source, first_seen_at, last_seen_at, event_count
    from identity.sets
    where kind = 'seen'
    union all
    -- A correction that waits for an identifier is no link yet.
    select
        named_struct('a', corrections.a, 'b', corrections.b) as pair,
        'correction by ' || corrections.decided_by as source,
        arrow_cast(null, 'Timestamp(Microsecond, Some("UTC"))') as first_seen_at,
        arrow_cast(null, 'Timestamp(Microsecond, Some("UTC"))') as last_seen_at,
        0 as event_count
    from identity.corrections
    left semi join identity.identities of_a on of_a.namespace || ':' || of_a.value = corrections.a
    left semi join identity.identities of_b on of_b.namespace || ':' || of_b.value = corrections.b
    where corrections.verdict = 'always'
),

folded as (
    select
        pair['a'] as a,
        pair['b'] as b,
        source,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        sum(event_count) as event_count
    from pairs
    group by 1, 2, 3
)

select
    identifier_namespace(a) as a_namespace,
    identifier_value(a) as a_value,
    identifier_namespace(b) as b_namespace,
    identifier_value(b) as b_value,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at,
    sum(event_count) as event_count,
    array_agg(source order by source) as sources
from folded
group by a, b
