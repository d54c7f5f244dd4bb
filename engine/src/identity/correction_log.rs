//! Corrections that were made while serving: the log `ops.corrections` in the lake, a row for each that was added or
//! removed. The last row of two identifiers says what is in force.
//!
//! Two servers may write to one lake at once. A row is decided on what a version of the log says and committed as the next
//! version or not at all. Their clocks may differ: a row is from no earlier than the one before it, so that the order of their
//! instants is that of their commits.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};

use crate::clock::Micros;
use crate::config::corrections::Verdict;
use crate::error::{EngineError, Result};
use crate::ids;
use crate::project::{Project, log};
use crate::query::catalog::register;
use crate::query::functions::text;
use crate::query::session::CATALOG;
use crate::store::TableName;
use crate::store::delta::Version;
use crate::store::scan::LogScan;

const NEWEST_FIRST: &str = "
    select verdict, a, b, changed_by, changed_at, reason
    from ops.corrections
    order by changed_at desc, correction_id desc";

/// A row of the log.
pub(crate) struct Entry {
    /// What is said of the two; nothing if a correction was taken back.
    pub(crate) verdict: Option<Verdict>,
    /// The two, as they were stored.
    pub(crate) identifiers: [String; 2],
    /// Who decided it.
    pub(crate) decided_by: String,
    /// When, microseconds since 1970 UTC.
    pub(crate) decided_at: Micros,
    /// Why.
    pub(crate) reason: String,
}

/// The log.
pub(crate) fn table() -> TableName {
    TableName::new("ops", "corrections")
}

/// Its columns.
pub(crate) fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        text("correction_id"),
        Field::new("changed_at", instant, true),
        text("verdict"),
        text("a"),
        text("b"),
        text("changed_by"),
        text("reason"),
    ]))
}

/// The word for a verdict in tables.
pub(crate) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Never => "never",
        Verdict::Always => "always",
    }
}

/// Where the next row of the log goes.
pub(crate) struct Next {
    /// What the log is before it.
    pub(crate) version: Version,
    /// The earliest instant that it may be from, microseconds since 1970 UTC.
    pub(crate) not_before: Micros,
}

/// The place of the next row. Whoever decides on a row asks for it before reading what is in force.
///
/// # Errors
/// What the store and the query report.
pub(crate) async fn next(project: &Project) -> Result<Next> {
    let version = log::open(project, &table(), &schema()).await?;
    let newest = newest_first(project).await?.first().map_or(Micros::MIN, |newest| newest.decided_at + 1);
    Ok(Next { version, not_before: newest })
}

/// Adds a row as what follows `version`; false, and nothing is added, if somebody else was first.
///
/// # Errors
/// What the store reports.
pub(crate) async fn append(project: &Project, version: Version, entry: &Entry) -> Result<bool> {
    let id = ids::correction_id();
    let one = |value: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let Entry { verdict, identifiers: [a, b], decided_by, decided_at, reason } = entry;
    let columns: Vec<ArrayRef> = vec![
        one(Some(&id)),
        Arc::new(TimestampMicrosecondArray::from(vec![*decided_at]).with_timezone("UTC")),
        one(verdict.map(word)),
        one(Some(a)),
        one(Some(b)),
        one(Some(decided_by)),
        one(Some(reason)),
    ];
    log::append(project, version, &id, &RecordBatch::try_new(schema(), columns)?).await
}

/// All rows, the newest first.
///
/// # Errors
/// DataCorrupt for a verdict that is not known; what the store and the query report.
pub(crate) async fn newest_first(project: &Project) -> Result<Vec<Entry>> {
    let session = project.session()?;
    register(&session, CATALOG, &table(), Arc::new(LogScan::new(&project.lake, &table(), schema())))?;
    let mut found = Vec::new();
    for batch in session.sql(NEWEST_FIRST).await?.collect().await? {
        let texts = [0, 1, 2, 3, 5].map(|column| text(batch.column(column)));
        let [verdicts, a, b, changed_by, reasons] = texts;
        let (verdicts, a, b, changed_by, reasons) = (verdicts?, a?, b?, changed_by?, reasons?);
        let times = batch.column(4).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let known = |told: &str| [Verdict::Never, Verdict::Always].into_iter().find(|known| word(*known) == told);
            let verdict = match verdicts.is_valid(row).then(|| known(verdicts.value(row))) {
                Some(None) => return Err(EngineError::corrupt("ops.corrections has an unknown verdict")),
                verdict => verdict.flatten(),
            };
            found.push(Entry {
                verdict,
                identifiers: [a.value(row).to_owned(), b.value(row).to_owned()],
                decided_by: changed_by.value(row).to_owned(),
                decided_at: times.value(row),
                reason: reasons.value(row).to_owned(),
            });
        }
    }
    Ok(found)
}
