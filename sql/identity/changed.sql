-- Identifiers that the events and records of this refresh bring, those that a changed record had before, and those of
-- corrections that are new or no more.
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
    (select verdict, a, b from identity.corrections except select verdict, a, b from previous.identity.corrections)
    union all
    (select verdict, a, b from previous.identity.corrections except select verdict, a, b from identity.corrections)
),

identifiers as (
    select unnest(identifiers_of(identifiers)) as identifier from changed_sets
    union all
    select unnest(make_array(a, b)) as identifier from corrected
)

select distinct identifier_namespace(identifier) as namespace, identifier_value(identifier) as value
from identifiers
