-- Components that may not be one person: they have more values of a namespace than its limit, or two identifiers that a
-- correction keeps apart, or so many identifiers that one may be linked to too many others.
--
-- key: component
-- strategy: step
-- columns:
--   component  text  the smallest of its identifiers
select component from identity.components where is_crowded
union
select left_end.component
from identity.corrections  -- few rows: the side that a hash join holds in memory
join identity.components left_end on left_end.identifier = corrections.a
join identity.components right_end on right_end.identifier = corrections.b
where corrections.verdict = 'never' and right_end.component = left_end.component
