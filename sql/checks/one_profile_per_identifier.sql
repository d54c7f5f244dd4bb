-- Every identifier belongs to exactly one profile.
select namespace, value from identity.identities group by namespace, value having count(*) > 1
