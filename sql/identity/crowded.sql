-- Components that cannot be one person: they have more values of a namespace than its limit.
--
-- key: component
-- strategy: step
-- columns:
--   component  text  the smallest of its identifiers
with limited as (
    select component, identifier_namespace(identifier) as namespace, namespace_limit(identifier) as values_max
    from identity.components
    where namespace_limit(identifier) is not null
)

select distinct component
from (
    select component from limited group by component, namespace having count(*) > min(values_max)
)
