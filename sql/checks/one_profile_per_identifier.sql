-- Every identifier belongs to exactly one profile.
select identities.namespace, identities.value
from identity.identities
-- if incremental
where identities.value in (select distinct changed.value from new.identity.identities changed)
-- end
group by identities.namespace, identities.value
having count(*) > 1
