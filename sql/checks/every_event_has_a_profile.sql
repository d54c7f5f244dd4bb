-- Every event's own identifier belongs to a profile.
select measures.namespace, measures.value
from behavior.measures
where not exists (
    select 1 from identity.identities where identities.namespace = measures.namespace and identities.value = measures.value
)
