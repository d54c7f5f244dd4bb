-- What events said of consent: by consent managers that stamp calls (Segment's `context.consent`, RudderStack's
-- `context.consentManagement`), and by attributes that `[[consent]]` names, of which `profile.attributes` has the last value
-- only. A state: appended to, folded when read.
--
-- key: ordinal, purpose, status, source
-- strategy: fold
-- unique: updated_at
-- fold: max(updated_at), max(party)
-- columns:
--   ordinal     bigint     ordinal of the event's own identifier
--   purpose     text       what for: for a stamp the category, in snake case
--   status      text       granted, withdrawn or unclear
--   source      text       who said so
--   party       text       first or third
--   updated_at  timestamp  when last
with stamps as (
    select namespace, value, unnest(attributes) as attribute, source, party, occurred_at
    from new.staging.events
    where cardinality(attributes) > 0
),

said as (
    select
        namespace,
        value,
        snake_case(substr(attribute['name'], 9)) as purpose,  -- what follows `consent.`
        coalesce(consent_status(attribute['value'], true), 'unclear') as status,
        source,
        party,
        occurred_at as updated_at
    from stamps
    where starts_with(attribute['name'], 'consent.')
    union all
    select
        sayings.namespace,
        sayings.value,
        consents.purpose,
        consent_status(sayings.said, consents.is_granted) as status,
        sayings.source,
        sayings.party,
        sayings.updated_at
    from config.consents  -- few rows: the side that a hash join holds in memory
    join new.profile.sayings sayings on sayings.name = consents.attribute
),

answered as (
    select namespace, value, purpose, status, source, max(party) as party, max(updated_at) as updated_at
    from said
    where status is not null
    group by 1, 2, 3, 4, 5
)

select identities.ordinal, answered.purpose, answered.status, answered.source, answered.party, answered.updated_at
from answered
join new.identity.identities identities  -- whoever did something new is among those that this refresh resolved
    on identities.namespace = answered.namespace and identities.value = answered.value
