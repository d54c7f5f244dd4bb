-- Visits: a profile's events on one touchpoint with no gap as long as the session timeout (`[behavior]
-- session_timeout_minutes`, 30). A session is made of fragments: an event is one, and so is a session of the last
-- generation, since sessions of more events are unions of sessions of fewer. Only profiles that were split start again
-- from their events.
--
-- key: session_id
-- strategy: merge
-- replaces: select profile_id from identity.touched_profiles
-- unique: session_id, profile_id, first_event, started_at, ended_at, entered_at, exited_at
-- columns:
--   session_id    text       the session: a function of its first event
--   profile_id    text       whose it is
--   touchpoint    text       where
--   started_at    timestamp  its first event
--   ended_at      timestamp  its last event
--   event_count   bigint     number of events
--   page_views    bigint     number of pages and screens viewed
--   entered_at    timestamp  when the first page was viewed
--   entry_page    text       path of the first page
--   referrer      text       where the visitor came from to that page
--   exited_at     timestamp  when the last page was viewed
--   exit_page     text       path of the last page
--   campaign_at   timestamp  time of the first event with a campaign
--   utm_source    text       its campaign source
--   utm_medium    text       its campaign medium
--   utm_campaign  text       its campaign name
--   order_count   bigint     number of `Order Completed` events
--   revenue       decimal    sum of revenue
--   first_event   text       source and id of the first event
with chosen as (  -- whoever did something new is among the identifiers that this refresh resolved
    select identities.profile_id, events.*
    from new.staging.events events
    join new.identity.identities identities on identities.namespace = events.namespace and identities.value = events.value
    -- if incremental
    where identities.profile_id not in (select distinct to_profile_id from identity.moves where is_split)
    union all
    select identities.profile_id, events.*
    from staging.events events
    join new.identity.identities identities on identities.namespace = events.namespace and identities.value = events.value
    where identities.profile_id in (select distinct to_profile_id from identity.moves where is_split)
    -- end
),

fragments as (
    select
        profile_id,
        touchpoint,
        occurred_at as started_at,
        occurred_at as ended_at,
        1 as event_count,
        case when event_type in ('page', 'screen') then 1 else 0 end as page_views,
        case when page_path is not null then occurred_at end as entered_at,
        page_path as entry_page,
        referrer,
        case when page_path is not null then occurred_at end as exited_at,
        page_path as exit_page,
        case when utm_source is not null then occurred_at end as campaign_at,
        utm_source,
        utm_medium,
        utm_campaign,
        case when event_name = 'Order Completed' then 1 else 0 end as order_count,
        revenue,
        source || ':' || event_id as first_event
    from chosen
    -- if incremental
    union all
    select
        moves.to_profile_id as profile_id,
        sessions.touchpoint,
        sessions.started_at,
        sessions.ended_at,
        sessions.event_count,
        sessions.page_views,
        sessions.entered_at,
        sessions.entry_page,
        sessions.referrer,
        sessions.exited_at,
        sessions.exit_page,
        sessions.campaign_at,
        sessions.utm_source,
        sessions.utm_medium,
        sessions.utm_campaign,
        sessions.order_count,
        sessions.revenue,
        sessions.first_event
    from previous.behavior.sessions sessions
    join identity.moves on moves.from_profile_id = sessions.profile_id
    where not moves.is_split
    -- end
)

select *, session_id(first_event) as session_id
from sessionize((select * from fragments))
