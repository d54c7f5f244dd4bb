-- How many identifiers of each namespace there are, and how many people have one.
--
-- key: namespace
-- strategy: view
-- columns:
--   namespace         text    the namespace
--   identifier_count  bigint  number of its identifiers
--   lone_count        bigint  of these, the ones that are a profile by themselves
--   profile_count     bigint  number of profiles with at least one
--   profile_share     double  that number, of all profiles
with sized as (
    select namespace, profile_id, count(*) over (partition by profile_id) as identifier_count from identity.identities
)

select
    namespace,
    count(*) as identifier_count,
    count(*) filter (where identifier_count = 1) as lone_count,
    count(distinct profile_id) as profile_count,
    cast(count(distinct profile_id) as double) / (select count(distinct profile_id) from identity.identities) as profile_share
from sized
group by namespace
