-- What the project's traits say of each person: a column for each file of `traits/`, of the type of its expression.
-- Computed by the engine from `profile.persons`, `behavior.measures`, `behavior.defined_measures` and
-- `behavior.instants`, as of the refresh.
--
-- key: profile_id
-- strategy: merge
-- replaces: select profile_id from identity.touched_profiles
-- unique: profile_id, ordinal
-- columns:
--   profile_id  text    the profile
--   ordinal     bigint  the profile's number, as `profile.persons` has it
select profile_id, ordinal
from profile.persons
-- {traits}: of what is kept of events
where exists (select 1 from profile.trait_definitions)
    or exists (select 1 from last.profile.trait_definitions)
    or exists (select 1 from last.profile.traits)
    or exists (select 1 from behavior.touched_measures)
    or exists (select 1 from profile.consents)
    or exists (select 1 from behavior.measures)
    or exists (select 1 from behavior.defined_measures)
    or exists (select 1 from behavior.instants)
    or exists (select 1 from behavior.measure_definitions)
