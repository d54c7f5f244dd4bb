-- How many profiles have how many identifiers.
--
-- key: identifier_count
-- strategy: view
-- columns:
--   identifier_count  bigint  number of identifiers
--   profile_count     bigint  number of profiles that have so many
select identifier_count, count(*) as profile_count
from (select profile_id, count(*) as identifier_count from identity.identities group by profile_id)
group by identifier_count
