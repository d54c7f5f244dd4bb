-- Measures, sessions and profiles count every event once; so every event has a profile.
with counted as (
    select
        (select count(*) from staging.events) as events,
        (select sum(event_count) from behavior.measures) as of_measures,
        (select sum(event_count) from behavior.sessions) as of_sessions,
        (select sum(event_count) from profile.persons) as of_profiles
)

select * from counted
where events <> coalesce(of_measures, 0) or events <> coalesce(of_sessions, 0) or events <> coalesce(of_profiles, 0)
