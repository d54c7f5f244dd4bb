//! `tessera identity`: how well it is known who is who, and what another configuration would make of it.

use std::path::Path;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;

use super::scratch::in_scratch;
use crate::cli::IdentityCommand;
use crate::output::say;
use crate::table::table;
use crate::{progress, project};

/// What a report shows: a title and a query; `{limit}` is how many rows a list has.
const REPORT: [(&str, &str); 10] = [
    (
        "Coverage by namespace",
        "select namespace, identifier_count, lone_count, profile_count, round(profile_share, 4) as profile_share
         from identity.coverage order by profile_count desc, namespace",
    ),
    (
        "Sizes of profiles",
        "select
             case when identifier_count < 5 then cast(identifier_count as text) when identifier_count < 10 then '5 - 9'
                 when identifier_count < 20 then '10 - 19' when identifier_count < 100 then '20 - 99' else '100 or more'
             end as identifiers,
             sum(profile_count) as profiles
         from identity.profile_sizes group by 1 order by min(identifier_count)",
    ),
    (
        "The largest profiles", // found before their namespaces are: a set of these for every profile takes gigabytes
        "select largest.profile_id, largest.identifier_count, count(distinct namespace) as namespaces,
             min(first_seen_at) as first_seen_at, max(last_seen_at) as last_seen_at
         from (
             select profile_id, count(*) as identifier_count
             from identity.identities group by profile_id order by identifier_count desc, profile_id limit {limit}
         ) largest
         join identity.identities members on members.profile_id = largest.profile_id
         group by largest.profile_id, largest.identifier_count order by identifier_count desc, profile_id",
    ),
    (
        "The most-linked identifiers",
        "select namespace, value, linked_count, event_count, last_seen_at from identity.link_counts
         order by linked_count desc, namespace, value limit {limit}",
    ),
    (
        "Suspicious joins: one identifier joins several of a more trusted namespace",
        "select namespace, value, joined_count, joined_namespace, event_count, last_seen_at, profile_id
         from identity.suspicious_joins order by joined_count desc, event_count, namespace, value limit {limit}",
    ),
    (
        "Dropped links by reason",
        "select reason, count(*) as links, sum(event_count) as event_count, max(last_seen_at) as last_seen_at
         from identity.dropped_links group by reason order by links desc, reason limit {limit}",
    ),
    (
        "Refused by the rules of now, which were others when it landed",
        "select kind, source, reason, count(*) as rows, max(landed_at) as landed_at
         from identity.refused group by kind, source, reason order by rows desc, kind, source, reason limit {limit}",
    ),
    (
        "Corrections that wait for an identifier that nobody has",
        "select verdict, a, b, decided_by, decided_at from identity.corrections
         left anti join identity.identities of_a on of_a.namespace || ':' || of_a.value = corrections.a
         union
         select verdict, a, b, decided_by, decided_at from identity.corrections
         left anti join identity.identities of_b on of_b.namespace || ':' || of_b.value = corrections.b
         order by a, b limit {limit}",
    ),
    (
        "Corrections by calls that are not applied: they came after the last refresh, or the configuration drops an identifier",
        "select last.verdict, last.a, last.b, last.changed_by as decided_by, last.changed_at as decided_at
         from (
             select
                 *, least(a, b) as one, greatest(a, b) as other,
                 row_number() over (
                     partition by least(a, b), greatest(a, b) order by changed_at desc, correction_id desc
                 ) as place
             from ops.corrections
         ) last
         left anti join (
             select least(a, b) as one, greatest(a, b) as other from identity.corrections
         ) applied on applied.one = last.one and applied.other = last.other
         where last.place = 1 and last.verdict is not null
         order by last.a, last.b limit {limit}",
    ),
    (
        "What the last refresh changed",
        "with current as (select * from identity.changes where generation = {generation}),
         came as (
             select to_profile_id as profile_id, max(generation) as generation
             from identity.changes where generation < {generation} group by 1
         ),
         went as (
             select from_profile_id as profile_id, max(generation) as generation
             from identity.changes where generation < {generation} and change in ('merge', 'gone') group by 1
         ),
         earlier as (
             select came.profile_id from came left join went on went.profile_id = came.profile_id
             where went.generation is null or went.generation <= came.generation
         )
         {kinds} {counts}",
    ),
];

/// The changes of `current` by kind. A profile that goes on under another id, and nobody else with it, is told apart from
/// what merged.
const KINDS: &str = "
    , merged as (
        select to_profile_id, count(distinct from_profile_id) as origin_count from current group by to_profile_id
    ),
    kinds as (
        select
            current.*,
            case when change = 'merge' and origin_count = 1 and earlier.profile_id is null then 'rename' else change end as kind
        from current
        left join merged on merged.to_profile_id = current.to_profile_id
        left join earlier on earlier.profile_id = current.to_profile_id
    )";
const COUNTS: &str = "
    select kind as change, count(distinct coalesce(from_profile_id, to_profile_id)) as profiles, count(*) as identifiers
    from kinds group by kind order by kind";
const SOURCES_LEFT_OUT: &str = "
    select landed.source
    from (select source from landing.events union select source from landing.records) landed
    left anti join config.sources on sources.source = landed.source
    order by landed.source";
const SIZES: &str =
    "select 'published' as configuration, count(distinct profile_id) as profiles, count(*) as identifiers
    from last.identity.identities
    union all
    select 'simulated' as configuration, count(distinct profile_id) as profiles, count(*) as identifiers
    from identity.identities
    order by configuration";
const SIMULATED: &str = "
    with current as (select * from identity.changes),
    earlier as (select distinct profile_id from last.identity.identities)
    {kinds}";
const EXAMPLES: &str =
    "select namespace || ':' || value as identifier, from_profile_id, to_profile_id, link_a || ' - ' || link_b as link
    from kinds where kind = '{kind}' order by from_profile_id, to_profile_id, identifier limit {limit}";
const DROPPED: &str = "select reason, count(*) as links from identity.dropped_links group by reason order by links desc, reason limit {limit}";

/// Runs one of the identity commands.
pub(crate) async fn run(folder: &Path, command: IdentityCommand) -> Result<()> {
    match command {
        IdentityCommand::Report { limit, as_of } => report(folder, limit, as_of).await,
        IdentityCommand::Simulate { config, limit } => {
            in_scratch(async |scratch: &Path| simulate(folder, config.as_deref(), limit, scratch).await).await
        }
    }
}

async fn report(folder: &Path, limit: u64, as_of: Option<u64>) -> Result<()> {
    let engine = project::open(folder)?;
    let snapshot = match as_of {
        Some(generation) => engine.snapshot(generation).await?,
        None => engine.reload().await?,
    };
    let generation = snapshot.number().context("nothing is published to report on: run `tessera refresh` first")?;
    say(format_args!("Generation {generation}"))?;
    for (title, query) in REPORT {
        let query = query.replace("{kinds}", KINDS).replace("{counts}", COUNTS).replace("{limit}", &limit.to_string());
        let query = query.replace("{generation}", &generation.to_string());
        section(title, &engine.rows(&snapshot, &query, &[], Default::default()).await?)?;
    }
    Ok(())
}

async fn simulate(folder: &Path, config: Option<&Path>, limit: u64, scratch: &Path) -> Result<()> {
    let engine = match config {
        Some(config) => project::open_as(folder, config)?,
        None => project::open(folder)?,
    };
    let (progress, bar) = progress::refresh();
    let simulated = engine.simulate(scratch, &progress).await;
    bar.finish_and_clear();
    let simulated = simulated?;
    let without = simulated.collect(SOURCES_LEFT_OUT).await?;
    if without.iter().any(|batch| batch.num_rows() > 0) {
        section("Sources that the configuration has not, so what they landed is left out", &without)?;
        say("To change only the rules, copy all of tessera.toml and change its [identity].")?;
    }
    section("Profiles", &simulated.collect(SIZES).await?)?;
    let changes = SIMULATED.replace("{kinds}", KINDS);
    section("What would change", &simulated.collect(&format!("{changes} {COUNTS}")).await?)?;
    if let Some(reason) = simulated.stopped() {
        say(format_args!("\nA refresh would stop, unless it is run with --allow-merges: {reason}"))?;
    }
    let kinds =
        [("merge", "Merges"), ("split", "Splits"), ("move", "Moves"), ("rename", "Another id only"), ("gone", "Gone")];
    for (kind, title) in kinds {
        let query = EXAMPLES.replace("{kind}", kind).replace("{limit}", &limit.to_string());
        let examples = simulated.collect(&format!("{changes} {query}")).await?;
        if examples.iter().any(|batch| batch.num_rows() > 0) {
            section(&format!("{title}, the first {limit}"), &examples)?;
        }
    }
    section("Dropped links by reason", &simulated.collect(&DROPPED.replace("{limit}", &limit.to_string())).await?)?;
    say("\nNothing was published.")?;
    Ok(())
}

fn section(title: &str, batches: &[RecordBatch]) -> Result<()> {
    if batches.iter().all(|batch| batch.num_rows() == 0) {
        say(format_args!("\n{title}\nnone"))?;
    } else {
        say(format_args!("\n{title}\n{}", table(batches)?))?;
    }
    Ok(())
}
