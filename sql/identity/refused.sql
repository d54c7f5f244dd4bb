-- What landed under other rules of identity than those of now, which refuse it: as long as they do, it is nobody's, and in no
-- table of events or profiles. What was refused when it landed is in `landing.quarantine`.
--
-- strategy: view
-- columns:
--   kind       text       event or record
--   source     text       the source in `tessera.toml`
--   id         text       the event's id or the record's key
--   landed_at  timestamp  when it landed
--   reason     text       why, as in `landing.quarantine`
with events as (
    select source, event_id, min(landed_at) as landed_at, min(refusal(identifiers)) as reason
    from landing.events
    where refusal(identifiers) is not null
    group by source, event_id
)

select 'event' as kind, events.source, events.event_id as id, events.landed_at, events.reason
from events  -- few rows: the side that a hash join holds in memory
join config.sources on sources.source = events.source
left anti join staging.events known on known.source = events.source and known.event_id = events.event_id
union all
select 'record' as kind, landed.source, landed.record_key as id, landed.landed_at, refusal(landed.identifiers) as reason
from staging.records known
join config.sources on sources.source = known.source
join landing.records landed
    on landed.source = known.source
    and landed.record_key = known.record_key
    and landed.sequence * 549755813888 + landed.position = known.landed_order
where known.identifiers is null and cardinality(landed.identifiers) > 0 and not known.is_deleted
