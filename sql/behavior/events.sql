-- Every event with the profile that did it and the visit it belongs to.
--
-- key: source, event_id
-- strategy: view
-- columns:
--   profile_id     text       the profile
--   session_id     text       the visit
--   event_id       text       and all columns of `staging.events`
--   source         text       the source in `tessera.toml`
select identities.profile_id, sessions.session_id, events.*
from staging.events events
join identity.identities on identities.namespace = events.namespace and identities.value = events.value
left join behavior.sessions
    on sessions.profile_id = identities.profile_id
    and sessions.touchpoint = events.touchpoint
    and events.occurred_at between sessions.started_at and sessions.ended_at
