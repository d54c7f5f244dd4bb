//! `tessera profile`: one person, and why these identifiers are one person.

use anyhow::{Result, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;
use tessera_engine::Engine;

use crate::output::say;

/// What is shown below the profile itself: a title and a query of the profile's id.
const PARTS: [(&str, &str); 6] = [
    (
        "Identifiers",
        "select namespace, value, first_seen_at, last_seen_at from identity.identities where profile_id = $1 order by first_seen_at, namespace, value",
    ),
    (
        "Links that make them one person",
        "select links.a_namespace || ':' || links.a_value as a, links.b_namespace || ':' || links.b_value as b,
                links.event_count as seen, links.first_seen_at, links.last_seen_at, array_to_string(links.sources, ', ') as sources
         from identity.links
         join identity.identities on identities.namespace = links.a_namespace and identities.value = links.a_value
         join identity.identities others
             on others.namespace = links.b_namespace and others.value = links.b_value and others.profile_id = identities.profile_id
         where identities.profile_id = $1 order by links.first_seen_at, a, b limit 50",
    ),
    (
        "Links that do not count",
        "select dropped.a_namespace || ':' || dropped.a_value as a, dropped.b_namespace || ':' || dropped.b_value as b,
                dropped.reason, dropped.event_count as seen, dropped.last_seen_at, array_to_string(dropped.sources, ', ') as sources
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

/// Prints the person who has `identifier`.
pub(crate) async fn run(engine: &Engine, identifier: &str, as_of: Option<u64>) -> Result<()> {
    let (namespace, value) = engine.normalized(identifier)?;
    let query = "select profile_id from identity.identities where namespace = $1 and value = $2";
    let found = engine.collect(query, &[&namespace, &value], as_of).await?;
    let Some(profile_id) = found
        .iter()
        .find(|batch| batch.num_rows() > 0)
        .map(|batch| batch.column(0).as_string_view().value(0).to_owned())
    else {
        bail!(
            "nobody has the identifier `{identifier}`; identifiers that landed since the last refresh need a `tessera refresh`"
        );
    };
    for batch in engine.collect("select * from profile.profiles where profile_id = $1", &[&profile_id], as_of).await? {
        print_row(&batch)?;
    }
    for (title, query) in PARTS {
        let batches = engine.collect(query, &[&profile_id], as_of).await?;
        if batches.iter().any(|batch| batch.num_rows() > 0) {
            say(format_args!("\n{title}\n{}", pretty_format_batches(&batches)?))?;
        }
    }
    Ok(())
}

/// A wide row reads better as lines.
fn print_row(batch: &RecordBatch) -> Result<()> {
    let options = FormatOptions::default();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        for row in (0..batch.num_rows()).filter(|&row| !column.is_null(row)) {
            say(format_args!(
                "{:<20} {}",
                field.name(),
                ArrayFormatter::try_new(column.as_ref(), &options)?.value(row)
            ))?;
        }
    }
    Ok(())
}
