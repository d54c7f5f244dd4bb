//! `tessera profile`: one person, and why these identifiers are one person.

use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tessera_engine::{Engine, ExplainedLink, ProfileKey, QueryLimits, Snapshot};

use crate::output::say;
use crate::table::{escaped, table};

/// What is shown below the profile itself: a title and a query of the profile's id. A link is `kept` if only an earlier version
/// of a record had it: such are not counted.
const PARTS: [(&str, &str); 6] = [
    (
        "Identifiers",
        "select namespace, value, first_seen_at, last_seen_at from identity.identities where profile_id = $1 order by first_seen_at, namespace, value",
    ),
    (
        "Links that make them one person",
        "select links.a_namespace || ':' || links.a_value as a, links.b_namespace || ':' || links.b_value as b,
                case when links.event_count = 0 and links.last_seen_at is not null then 'kept' else cast(links.event_count as text) end as seen,
                links.first_seen_at, links.last_seen_at, array_to_string(links.sources, ', ') as sources
         from identity.links
         join identity.identities on identities.namespace = links.a_namespace and identities.value = links.a_value
         join identity.identities others
             on others.namespace = links.b_namespace and others.value = links.b_value and others.profile_id = identities.profile_id
         where identities.profile_id = $1 order by links.first_seen_at, a, b limit 50",
    ),
    (
        "Links that do not count",
        "select dropped.a_namespace || ':' || dropped.a_value as a, dropped.b_namespace || ':' || dropped.b_value as b,
                dropped.reason,
                case when dropped.event_count = 0 and dropped.last_seen_at is not null then 'kept' else cast(dropped.event_count as text) end as seen,
                dropped.last_seen_at, array_to_string(dropped.sources, ', ') as sources
         from identity.dropped_links dropped
         where exists (
             select 1 from identity.identities
             where identities.profile_id = $1 and identities.namespace = dropped.a_namespace and identities.value = dropped.a_value
         ) or exists (
             select 1 from identity.identities
             where identities.profile_id = $1 and identities.namespace = dropped.b_namespace and identities.value = dropped.b_value
         )
         order by dropped.last_seen_at desc, a, b limit 50",
    ),
    (
        "What became of its identifiers",
        "select generation, changed_at, change, namespace || ':' || value as identifier, from_profile_id, to_profile_id,
                link_a || ' - ' || link_b as link
         from identity.changes
         where from_profile_id = $1 or to_profile_id = $1 order by generation desc, identifier limit 50",
    ),
    (
        "Attributes",
        "select name, attribute, source, party, updated_at, is_current from profile.attributes
         where profile_id = $1 order by name, is_current desc, updated_at desc",
    ),
    (
        "Last visits",
        "select started_at, touchpoint, event_count, page_views, entry_page, order_count, revenue from behavior.sessions
         where profile_id = $1 order by started_at desc limit 10",
    ),
];

/// Prints the person who has `written`, an identifier or the id of a profile, all of it from one generation.
pub(crate) async fn run(engine: &Engine, written: &str, as_of: Option<u64>) -> Result<()> {
    let key = if is_profile_id(written) {
        ProfileKey::ProfileId(written.to_owned())
    } else {
        let (namespace, value) = engine.read_identifier("the identifier", written)?;
        ProfileKey::Identifier { namespace, value }
    };
    let (snapshot, generation) = published(engine, as_of).await?;
    let rows = async |query: &str, parameters: &[&str]| {
        engine.rows(&snapshot, query, parameters, QueryLimits::default()).await
    };
    let Some(profile_id) = engine.profile_id(&snapshot, &key, QueryLimits::default()).await? else {
        let what = if is_profile_id(written) { "id" } else { "identifier" };
        bail!("nobody has the {what} `{written}`; what landed since the last refresh needs a `tessera refresh`");
    };
    say(format_args!("Generation {generation}"))?;
    for batch in rows("select * from profile.profiles where profile_id = $1", &[&profile_id]).await? {
        print_row(&batch)?;
    }
    for (title, query) in PARTS {
        let batches = rows(query, &[&profile_id]).await?;
        if batches.iter().any(|batch| batch.num_rows() > 0) {
            say(format_args!("\n{title}\n{}", table(&batches)?))?;
        }
    }
    Ok(())
}

/// Prints why two identifiers are one person, or are not.
pub(crate) async fn explain(engine: &Engine, identifier: &str, other: &str, as_of: Option<u64>) -> Result<()> {
    let a = engine.read_identifier("the first identifier", identifier)?;
    let b = engine.read_identifier("the identifier after --why", other)?;
    let (snapshot, _) = published(engine, as_of).await?;
    let explained = engine.explain(&snapshot, (&a.0, &a.1), (&b.0, &b.1), QueryLimits::default()).await?;
    let [of_a, of_b] = &explained.profile_ids;
    let verdict = match (of_a == of_b, explained.links.is_empty()) {
        (true, true) => format!("they are the same identifier, of profile {of_a}"),
        (true, false) => format!("they are one person, {of_a}, by these links:"),
        (false, true) => format!("they are two persons, {of_a} and {of_b}: no links connect them"),
        (false, false) => format!(
            "they are two persons, {of_a} and {of_b}: these links would connect them, but those with a reason do not count"
        ),
    };
    say(format_args!("{verdict}"))?;
    if !explained.links.is_empty() {
        say(format_args!("{}", table(&[links_table(&explained.links)?])?))?;
    }
    Ok(())
}

/// Whether it is written like the id of a profile. An identifier has a colon.
fn is_profile_id(written: &str) -> bool {
    written.len() == 26 && written.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// A generation and its number, the newest if none is named.
async fn published(engine: &Engine, as_of: Option<u64>) -> Result<(Arc<Snapshot>, u64)> {
    let snapshot = match as_of {
        Some(generation) => engine.snapshot(generation).await?,
        None => engine.reload().await?,
    };
    match snapshot.number() {
        Some(generation) => Ok((snapshot, generation)),
        None => bail!("nothing is published to look into: run `tessera refresh` first"),
    }
}

fn links_table(links: &[ExplainedLink]) -> Result<RecordBatch> {
    let text = |value: fn(&ExplainedLink) -> Option<String>| -> ArrayRef {
        Arc::new(links.iter().map(value).collect::<StringArray>())
    };
    let time = |value: fn(&ExplainedLink) -> Option<i64>| -> ArrayRef {
        Arc::new(links.iter().map(value).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    // As in the queries above.
    let seen = |link: &ExplainedLink| match link.event_count {
        0 if link.last_seen_at.is_some() => Some("kept".to_owned()),
        count => Some(count.to_string()),
    };
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("a", text(|link| Some(link.a.clone())), false),
        ("b", text(|link| Some(link.b.clone())), false),
        ("seen", text(seen), false),
        ("first_seen_at", time(|link| link.first_seen_at), true),
        ("last_seen_at", time(|link| link.last_seen_at), true),
        ("sources", text(|link| Some(link.sources.join(", "))), false),
        ("why it does not count", text(|link| link.dropped_reason.clone()), true),
    ])?)
}

/// A wide row reads better as lines.
fn print_row(batch: &RecordBatch) -> Result<()> {
    let options = FormatOptions::default();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        for row in (0..batch.num_rows()).filter(|&row| !column.is_null(row)) {
            say(format_args!(
                "{:<20} {}",
                field.name(),
                escaped(&ArrayFormatter::try_new(column.as_ref(), &options)?.value(row).to_string())
            ))?;
        }
    }
    Ok(())
}
