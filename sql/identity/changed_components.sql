-- What links connected in the last generation and this refresh changes. A table, not a part of the query that needs it: how
-- few rows these are is not known otherwise, and that query would hold all identifiers in memory to join them. Empty where a
-- server keeps the graph in memory.
--
-- key: component
-- strategy: scratch
-- columns:
--   component  text  the smallest identifier of all that links connected, where a limit stood against some; else the profile
select distinct coalesce(known.cluster, known.profile_id) as component
from identity.changed
join previous.identity.identities known on known.namespace = changed.namespace and known.value = changed.value
