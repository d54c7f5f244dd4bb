//! `tessera segment list` and `tessera segment show`.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use chrono::{DateTime, SecondsFormat};
use tessera_engine::{Engine, QueryLimits};

use super::{say_hints, unknown};
use crate::output::say;
use crate::segments::{self, LastChange, ListedSegment};
use crate::table::{TableWriter, escaped, table};

const CHANGES: &str = "select generation, at, change, count(*) as profiles from segment.changes where segment = $1
    group by 1, 2, 3 order by 1 desc, 3 limit 20";

/// Prints all segments.
pub(super) async fn list(engine: &Engine) -> Result<()> {
    let snapshot = engine.reload().await?;
    let all = segments::all(engine, &snapshot, QueryLimits::default()).await?;
    let text = |value: fn(&ListedSegment) -> Option<&str>| -> ArrayRef {
        Arc::new(all.values().map(value).collect::<StringArray>())
    };
    let sizes: Int64Array = all.values().map(|segment| segment.size).collect();
    let pending: BooleanArray = all.values().map(|segment| Some(segment.is_pending)).collect();
    let listed = RecordBatch::try_from_iter_with_nullable([
        ("segment", text(|segment| Some(&segment.name)), false),
        ("title", text(|segment| segment.content.title.as_deref()), true),
        ("size", Arc::new(sizes) as ArrayRef, true),
        ("purpose", text(|segment| segment.content.purpose.as_deref()), true),
        ("pending", Arc::new(pending) as ArrayRef, false),
    ])?;
    let mut table = TableWriter::new(std::io::stdout().lock(), &listed.schema());
    table.push(listed)?;
    table.end()
}

/// Prints what a segment says, who changed it last, and its last changes; with its query if asked to.
pub(super) async fn show(engine: &Engine, name: &str, with_sql: bool) -> Result<()> {
    let snapshot = engine.reload().await?;
    let mut all = segments::all(engine, &snapshot, QueryLimits::default()).await?;
    let segment = all.remove(name).ok_or_else(|| unknown(name))?;
    let reading = engine.read_segment(&snapshot, &segment.content.expression).await?;
    say(format_args!("People for whom {}.\n", reading.words))?;
    if with_sql {
        say(format_args!("{}\n", reading.sql))?;
    }
    for (what, text) in words(&segment) {
        // An expression may have several lines.
        for (number, line) in text.lines().enumerate() {
            say(format_args!("{:<20} {}", if number == 0 { what } else { "" }, escaped(line)))?;
        }
    }
    say_hints(engine.segment_hints(&snapshot, &segment.content.expression).await?)?;
    let changes = engine.collect(CHANGES, &[name], snapshot.number()).await?;
    if changes.iter().any(|batch| batch.num_rows() > 0) {
        say(format_args!("\n{}", table(&changes)?))?;
    }
    Ok(())
}

/// What is known of a segment: in a word what it is, and its value.
fn words(segment: &ListedSegment) -> Vec<(&'static str, String)> {
    let ListedSegment { name, content, size, last_change, is_pending } = segment;
    let mut words = vec![("segment", name.clone())];
    let of_people = [("title", &content.title), ("purpose", &content.purpose), ("description", &content.description)];
    words.extend(of_people.into_iter().filter_map(|(what, text)| Some((what, text.clone()?))));
    words.push(("expression", content.expression.clone()));
    words.extend(size.map(|size| ("size", size.to_string())));
    if let Some(LastChange { by, at, etag }) = last_change {
        let at = DateTime::from_timestamp_micros(*at).unwrap_or_default();
        words.push(("changed by", by.clone()));
        words.push(("changed at", at.to_rfc3339_opts(SecondsFormat::AutoSi, true)));
        words.push(("etag", etag.clone()));
        let pending = if *is_pending { "yes: the next refresh evaluates it" } else { "no" };
        words.push(("pending", pending.to_owned()));
    }
    words
}
