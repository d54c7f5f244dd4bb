-- What each person agreed to: for each purpose the answer that stands, of those that events and the attributes named by
-- `[[consent]]` tell. First parties stand before third ones; then the latest; of two at the same time, the withdrawal.
-- Whoever has no row never said anything: that is no consent.
--
-- key: profile_id, purpose
-- strategy: merge
-- replaces: select profile_id from identity.touched_profiles
-- columns:
--   profile_id  text       the profile
--   ordinal     bigint     the profile's number, as `profile.persons` has it
--   purpose     text       what for, such as `email` or `advertising`
--   status      text       granted, withdrawn, or unclear: an answer that is neither yes nor no
--   updated_at  timestamp  when it was said
--   source      text       who said so
--   party       text       first or third
with answered as (
    select
        attributes.profile_id,
        consents.purpose,
        consent_status(attributes.attribute, consents.is_granted) as status,
        attributes.updated_at,
        attributes.source,
        attributes.party
    from config.consents  -- few rows: the side that a hash join holds in memory
    join new.profile.attributes attributes on attributes.name = consents.attribute
),

told as (
    select profile_id, purpose, status, updated_at, source, party
    from answered
    union all
    select identities.profile_id, said.purpose, said.status, said.updated_at, said.source, said.party
    from new.identity.identities identities
    join profile.consent_sayings said on said.ordinal = identities.ordinal
),

ranked as (
    select
        *,
        row_number() over (
            partition by profile_id, purpose
            order by
                party,  -- first before third
                updated_at desc,
                case status when 'withdrawn' then 0 when 'unclear' then 1 else 2 end,
                source
        ) as place
    from told
    where status is not null
)

select
    ranked.profile_id,
    anchors.ordinal,
    ranked.purpose,
    ranked.status,
    ranked.updated_at,
    ranked.source,
    ranked.party
from ranked
join (
    select profile_id, min(profile_ordinal) as ordinal from new.identity.identities group by profile_id
) anchors on anchors.profile_id = ranked.profile_id
where ranked.place = 1
