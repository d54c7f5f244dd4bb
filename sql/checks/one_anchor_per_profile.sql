-- No two anchors have the same profile id: every profile has the id of one of its own identifiers.
select profile_id
from identity.identities
group by profile_id
having count(*) filter (where profile_id(namespace || ':' || value) = profile_id) <> 1
