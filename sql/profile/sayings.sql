-- What events said of a person: each attribute of each identify call, by the event's own identifier.
--
-- key: source, event_id, name
-- strategy: append
-- columns:
--   namespace     text       namespace of the event's own identifier
--   value         text       value of the event's own identifier
--   name          text       the attribute, in snake case
--   said          text       what it is said to be
--   source        text       who says so
--   party         text       first or third
--   updated_at    timestamp  when
--   event_id      text       in which event
--   landed_order  bigint     place in the order of landing
select
    namespace,
    value,
    snake_case(attribute['name']) as name,
    attribute['value'] as said,
    source,
    party,
    occurred_at as updated_at,
    event_id,
    landed_order
from (
    select namespace, value, unnest(attributes) as attribute, source, party, occurred_at, event_id, landed_order
    from new.staging.events
    where event_type = 'identify'
)
where not starts_with(attribute['name'], 'consent.')  -- those are in profile.consent_sayings
