-- Identifiers that this refresh has to resolve again: those that its events and changed records bring, and all others of
-- the profiles to which those belonged.
--
-- key: identifier
-- strategy: scratch
-- columns:
--   identifier  text  `namespace:value`
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

changed as (
    select distinct unnest(identifiers_of(identifiers)) as identifier from changed_sets
)

select identifier from changed
union
select others.namespace || ':' || others.value as identifier
from previous.identity.identities others
where others.profile_id in (
    select known.profile_id
    from previous.identity.identities known
    join changed on known.namespace = identifier_namespace(changed.identifier) and known.value = identifier_value(changed.identifier)
)
