-- Identifiers that may have made one person of several: each joins, within its profile, several values of one more
-- trusted namespace. A laptop with two logins is one; so is an address with two customer numbers.
--
-- key: namespace, value, joined_namespace
-- strategy: view
-- columns:
--   namespace         text       namespace of the identifier that joins
--   value             text       its value
--   profile_id        text       the profile
--   joined_namespace  text       namespace of what it joins
--   joined_count      bigint     number of values that it joins
--   event_count       bigint     number of events and records that link it to them
--   first_seen_at     timestamp  time of the earliest of these
--   last_seen_at      timestamp  time of the latest
select
    links.b_namespace as namespace,
    links.b_value as value,
    of_b.profile_id,
    links.a_namespace as joined_namespace,
    count(*) as joined_count,
    sum(links.event_count) as event_count,
    min(links.first_seen_at) as first_seen_at,
    max(links.last_seen_at) as last_seen_at
from identity.links
join identity.identities of_b on of_b.namespace = links.b_namespace and of_b.value = links.b_value
join identity.identities of_a
    on of_a.namespace = links.a_namespace and of_a.value = links.a_value and of_a.profile_id = of_b.profile_id
left anti join identity.dropped_links dropped
    on dropped.a_namespace = links.a_namespace and dropped.a_value = links.a_value
    and dropped.b_namespace = links.b_namespace and dropped.b_value = links.b_value
where namespace_rank(links.a_namespace || ':') < namespace_rank(links.b_namespace || ':')
group by 1, 2, 3, 4
having count(*) > 1
