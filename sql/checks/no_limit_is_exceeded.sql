-- No profile has more values of a namespace than its limit.
select identities.profile_id, identities.namespace
from identity.identities
where namespace_limit(identities.namespace || ':') is not null
-- if incremental
and identities.profile_id in (select touched.profile_id from identity.touched_profiles touched)
-- end
group by identities.profile_id, identities.namespace
having count(*) > min(namespace_limit(identities.namespace || ':'))
