//! `tessera demo`: a sample shop through the same commands that a user has, and what it shows.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use indicatif::HumanCount;
use tessera_engine::{Engine, RefreshOptions, ServeConfig};
use tessera_generator::Shop;

use super::{ingest, refresh};
use crate::cli::{DemoArguments, ServeArguments};
use crate::output::say;
use crate::table::table;
use crate::{project, serve};

/// Where it is made if nobody says.
const FOLDER: &str = "tessera-demo";
/// How many days of the shop's life are made; the last one ends now.
const DAYS: u32 = 120;

/// A title, and the query whose answer is the table under it.
const FINDINGS: [(&str, &str); 7] = [
    (
        "Who is who: identifiers that resolved to people",
        "select count(*) as identifiers, count(distinct profile_id) as people,
                count(*) filter (where namespace = 'anonymous_id') as browsers, count(*) filter (where namespace = 'email') as emails
         from identity.identities",
    ),
    (
        "What could not be accepted, and why",
        "select source, reason, count(*) as rows, min(line) as first_line from landing.quarantine group by 1, 2 order by 3 desc, 1, 2",
    ),
    (
        "The last week",
        "select date, event_count, active_profiles, order_count, revenue, round(revenue_change * 100) as revenue_change_percent
         from behavior.trends order by date desc limit 7",
    ),
    (
        "Where visits begin, and what they bring",
        "select touchpoint, count(*) as visits, round(avg(page_views), 1) as pages, sum(order_count) as orders, sum(revenue) as revenue
         from behavior.sessions group by 1 order by 2 desc",
    ),
    (
        "The best customers, known from several places",
        "select profiles.profile_id, profiles.identifier_count, profiles.order_count, profiles.lifetime_value, profiles.last_order_at
         from profile.profiles order by profiles.lifetime_value desc, profiles.profile_id limit 5",
    ),
    (
        "Stages of life: a trait, in traits/lifecycle.sql",
        "select lifecycle, count(*) as people, round(avg(orders), 1) as orders, round(avg(average_order), 2) as average_order, sum(spent) as spent
         from profile.profiles group by 1 order by 2 desc",
    ),
    (
        "Segments",
        "select segments.segment, segments.title, count(memberships.profile_id) as people
         from segment.segments left join segment.memberships on memberships.segment = segments.segment group by 1, 2 order by 1",
    ),
];

/// Makes the demo.
pub(crate) async fn run(arguments: DemoArguments) -> Result<()> {
    let folder = arguments.folder.as_deref().unwrap_or(Path::new(FOLDER));
    if folder.join(project::CONFIG_FILE).exists() {
        bail!("`{}` holds a project already: remove it, or name another folder: tessera demo DIR", folder.display());
    }
    let started = Instant::now();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the machine's clock is before 1970")?.as_secs();
    let shop = Shop::ending_at(arguments.people, arguments.events, arguments.seed, i64::try_from(now)?, DAYS);
    let files = shop.write(folder).with_context(|| format!("cannot write the sample to `{}`", folder.display()))?;
    say(format_args!(
        "A shop in {}: {} people, {} files of data.\n",
        folder.display(),
        HumanCount(files.people),
        files.data.len()
    ))?;

    let engine = project::open(folder)?;
    for file in &files.data {
        let landed = land(&engine, file.source, &file.path).await?;
        say(format_args!("  {landed}"))?;
    }
    let report = refresh::refresh(&engine, RefreshOptions::default()).await?;
    say(format_args!(
        "\nRefreshed {} tables in {:.1} s: generation {}.",
        report.steps.len(),
        report.seconds,
        report.generation
    ))?;
    for (title, query) in FINDINGS {
        say(format_args!("\n{title}\n{}", table(&engine.collect(query, &[], None).await?)?))?;
    }
    say(format_args!("\nDone in {:.1} s. Try next:", started.elapsed().as_secs_f64()))?;
    for line in next_steps(&engine, folder).await? {
        say(format_args!("  {line}"))?;
    }
    if arguments.exit {
        return Ok(());
    }
    say("\nServing it now; Ctrl-C ends. Paste into another terminal, or see docs/CONNECT.md:")?;
    for line in connections(&engine.config().serve) {
        say(format_args!("  {line}"))?;
    }
    let local = ServeArguments { address: None, http_address: None, insecure: false };
    serve::run(&engine, &local).await.with_context(|| {
        format!("the shop is made, and can be served with `tessera --project {} serve --address 127.0.0.1:0 --http-address 127.0.0.1:0`", folder.display())
    })
}

/// Lines to paste for those who want to ask the server.
fn connections(serve: &ServeConfig) -> [String; 3] {
    let address = &serve.address;
    [
        format!(
            "Python: import adbc_driver_flightsql.dbapi as f; c = f.connect(\"grpc://{address}\").cursor(); c.execute(\"select * from behavior.trends\"); c.fetch_df()"
        ),
        format!(
            "gRPC:   buf curl --protocol grpc --http2-prior-knowledge http://{address}/tessera.v1.SegmentService/ListSegments -d '{{}}'"
        ),
        format!("Superset, with flightsql-dbapi: datafusion://{address}?insecure=True"),
    ]
}

async fn land(engine: &Engine, source: &str, file: &Path) -> Result<String> {
    let reports = ingest::land(engine, source, &[PathBuf::from(file)]).await?;
    let rows: u64 = reports.iter().map(|report| report.rows).sum();
    let quarantined: u64 = reports.iter().map(|report| report.quarantined).sum();
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(format!(
        "{name:<24} to {source:<16} {:>8} rows, {:>4} quarantined",
        HumanCount(rows).to_string(),
        HumanCount(quarantined).to_string()
    ))
}

/// Commands to paste, for people who are there.
async fn next_steps(engine: &Engine, folder: &Path) -> Result<Vec<String>> {
    let query = "select namespace || ':' || value from identity.identities where namespace = 'email' and profile_id in
        (select profile_id from profile.profiles order by lifetime_value desc, profile_id limit 20) order by 1 limit 1";
    let mut lines = Vec::new();
    let project = format!("tessera --project {}", folder.display());
    for batch in engine.collect(query, &[], None).await? {
        let formatter = arrow::util::display::ArrayFormatter::try_new(
            batch.column(0),
            &arrow::util::display::FormatOptions::default(),
        )?;
        lines.extend((0..batch.num_rows()).map(|row| format!("{project} profile {}", formatter.value(row))));
    }
    lines.push(format!("{project} sql \"select page_section, count(*) as views from staging.events where event_type = 'page' group by 1 order by 2 desc\""));
    lines.push(format!("{project} segment members big_spenders"));
    lines.push(format!("edit {0}/traits/*.sql and {0}/segments/*.sql, then: {project} refresh", folder.display()));
    Ok(lines)
}
