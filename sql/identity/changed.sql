-- Identifiers that the events and records of this refresh bring, and those that a changed record had before.
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
)

select identifier_namespace(identifier) as namespace, identifier_value(identifier) as value
from (select distinct unnest(identifiers_of(identifiers)) as identifier from changed_sets)
