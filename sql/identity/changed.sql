-- Identifiers that the events and records of this refresh bring, those that a changed record had before, those of corrections
-- that are new or no more, and those that a correction makes one person with any of them.
--
-- key: namespace, value
-- strategy: scratch
-- columns:
--   namespace  text  the identifier's namespace
--   value      text  its value
with changed_sets as (
    select identifiers from new.identity.event_sets
    union all
    select identifiers from new.staging.records where identifiers is not null
    union all
    select known.identifiers
    from previous.staging.records known
    join new.staging.records changed on changed.source = known.source and changed.record_key = known.record_key
    where known.identifiers is not null
),

corrected as (
    (
        select verdict, a, b, decided_by, decided_at from identity.corrections
        except
        select verdict, a, b, decided_by, decided_at from previous.identity.corrections
    )
    union all
    (
        select verdict, a, b, decided_by, decided_at from previous.identity.corrections
        except
        select verdict, a, b, decided_by, decided_at from identity.corrections
    )
),

known as (
    select unnest(identifiers_of(identifiers)) as identifier from changed_sets
    union all
    select unnest(make_array(a, b)) as identifier from corrected
),

-- What a correction makes one person with any of these: it may have waited for it, or waits again.
identifiers as (
    select identifier from known
    union all
    select unnest(make_array(ends.a, ends.b)) as identifier
    from (
        select a, b, unnest(make_array(a, b)) as identifier from identity.corrections where verdict = 'always'
    ) ends  -- few rows: the side that a hash join holds in memory
    join known on known.identifier = ends.identifier
)

select distinct identifier_namespace(identifier) as namespace, identifier_value(identifier) as value
from identifiers
