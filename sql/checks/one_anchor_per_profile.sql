-- No two anchors have the same profile id: every profile has the id of one of its own identifiers.
select identities.profile_id
from identity.identities
-- if incremental
where identities.profile_id in (select touched.profile_id from identity.touched_profiles touched)
-- end
group by identities.profile_id
having count(*) filter (where profile_id(identities.namespace || ':' || identities.value) = identities.profile_id) <> 1
