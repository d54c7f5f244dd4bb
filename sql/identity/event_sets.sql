-- What events say of identity: each identifier set that events of a source brought, with when and how often. A state:
-- appended to, folded when read. Every version of a record whose source has `keep_links = true` is remembered here too, but not
-- counted.
--
-- key: identifiers, source
-- strategy: fold
-- unique: identifiers, first_landed, first_seen_at, last_seen_at
-- fold: min(first_seen_at), max(last_seen_at), min(first_landed), sum(event_count)
-- columns:
--   identifiers    text       the identifier set
--   source         text       the source that brought it
--   first_seen_at  timestamp  time of the earliest event with it
--   last_seen_at   timestamp  time of the latest event with it
--   first_landed   bigint     place of the first to land in the order of landing
--   event_count    bigint     number of events with it; 0 if only versions of records have it, which `keep_links` keeps
select
    identifiers,
    source,
    min(occurred_at) as first_seen_at,
    max(occurred_at) as last_seen_at,
    min(landed_order) as first_landed,
    count(*) as event_count
from new.staging.events
group by identifiers, source
union all
select
    resolve_identifiers(landed.identifiers) as identifiers,
    landed.source,
    coalesce(landed.updated_at, landed.landed_at) as first_seen_at,
    coalesce(landed.updated_at, landed.landed_at) as last_seen_at,
    landed.sequence * 549755813888 + landed.position as first_landed,
    0 as event_count  -- the record as it is now counts in `identity.sets`, and what lands again and again is no more of them
from new.landing.records landed
join config.sources on sources.source = landed.source
where sources.keep_links and not landed.is_deleted and resolve_identifiers(landed.identifiers) is not null
