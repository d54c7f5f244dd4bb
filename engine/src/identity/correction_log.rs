//! Corrections that were made while serving: the log `ops.corrections` in the lake, a row for each that was added or
//! removed. The last row of two identifiers says what is in force.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};

use crate::clock::Micros;
use crate::config::corrections::{Correction, Verdict};
use crate::error::{EngineError, Result};
use crate::ids;
use crate::project::Project;
use crate::query::catalog::register;
use crate::query::functions::text;
use crate::query::session::CATALOG;
use crate::store::TableName;
use crate::store::delta::Table;
use crate::store::scan::LogScan;
use crate::store::writer::FileWriter;

const IN_FORCE: &str = "
    select verdict, a, b, changed_by, changed_at, reason
    from (
        select *, row_number() over (partition by a, b order by changed_at desc, correction_id desc) as newest
        from ops.corrections
    )
    where newest = 1 and verdict is not null";

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

/// Adds a row: what is said of two identifiers from now on, or with no verdict that nothing is.
///
/// # Errors
/// What the store reports.
pub(crate) async fn append(
    project: &Project,
    verdict: Option<Verdict>,
    [a, b]: &[String; 2],
    (changed_by, reason): (&str, &str),
    changed_at: Micros,
) -> Result<()> {
    let (name, schema, id) = (table(), schema(), ids::correction_id());
    let table = Table::new(&project.lake, &name);
    table.create_if_absent(&schema, &[]).await?;
    let one = |value: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let columns: Vec<ArrayRef> = vec![
        one(Some(&id)),
        Arc::new(TimestampMicrosecondArray::from(vec![changed_at]).with_timezone("UTC")),
        one(verdict.map(word)),
        one(Some(a)),
        one(Some(b)),
        one(Some(changed_by)),
        one(Some(reason)),
    ];
    let mut writer = FileWriter::new(&project.lake, &name, &id, 0, &schema, &[]);
    writer.write(&RecordBatch::try_new(schema, columns)?).await?;
    table.append_batch(&id, &writer.finish().await?, |_| HashMap::new()).await?;
    Ok(())
}

/// Those in force, as they were written.
///
/// # Errors
/// DataCorrupt for a verdict that is not known; what the store and the query report.
pub(crate) async fn in_force(project: &Project) -> Result<Vec<Correction>> {
    let session = project.session()?;
    register(&session, CATALOG, &table(), Arc::new(LogScan::new(&project.lake, &table(), schema())))?;
    let mut found = Vec::new();
    for batch in session.sql(IN_FORCE).await?.collect().await? {
        let texts = [0, 1, 2, 3, 5].map(|column| text(batch.column(column)));
        let [verdicts, a, b, changed_by, reasons] = texts;
        let (verdicts, a, b, changed_by, reasons) = (verdicts?, a?, b?, changed_by?, reasons?);
        let times = batch.column(4).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let verdict =
                [Verdict::Never, Verdict::Always].into_iter().find(|known| word(*known) == verdicts.value(row));
            let verdict = verdict.ok_or_else(|| EngineError::corrupt("ops.corrections has an unknown verdict"))?;
            found.push(Correction {
                line: None,
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
