//! `ops.refreshes` and `ops.checks`: a row for each table of each run, kept for good. They are logs, not results: they
//! are appended to by failed runs too and always read at their latest version.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;

use super::report::{RefreshReport, StepReport};
use crate::clock::Micros;
use crate::error::{EngineError, ErrorKind, Result};
use crate::limits;
use crate::progress::Progress;
use crate::project::{Project, log};
use crate::store::TableName;

/// What a run did so far.
pub(crate) struct Ledger {
    /// The refresh.
    pub(crate) refresh_id: String,
    /// When it began.
    pub(crate) started_at: Micros,
    tables: Vec<StepReport>,
    checks: Vec<StepReport>,
    /// True if the run computes everything anew.
    pub(crate) is_full: bool,
    /// The generation, once it is published.
    pub(crate) generation: Option<u64>,
}

/// The log tables.
pub(crate) fn tables() -> [TableName; 2] {
    [TableName::new("ops", "refreshes"), TableName::new("ops", "checks")]
}

impl Ledger {
    /// An empty ledger.
    pub(crate) fn new(refresh_id: &str, started_at: Micros) -> Self {
        Self {
            refresh_id: refresh_id.to_owned(),
            started_at,
            tables: Vec::new(),
            checks: Vec::new(),
            is_full: false,
            generation: None,
        }
    }

    /// Notes a table.
    pub(crate) fn table(&mut self, step: StepReport, progress: &Progress) {
        progress.step_done(&step.name, step.rows, step.bytes, step.seconds, step.ran);
        self.tables.push(step);
    }

    /// Notes a check.
    pub(crate) fn check(&mut self, step: StepReport, progress: &Progress) {
        progress.step_done(&step.name, step.rows, step.bytes, step.seconds, step.ran);
        self.checks.push(step);
    }

    /// What has been done, once it is published.
    pub(crate) fn report(&self, project: &Project) -> RefreshReport {
        RefreshReport {
            generation: self.generation.unwrap_or_default(),
            full: self.is_full,
            seconds: self.seconds(project),
            steps: self.tables.iter().chain(&self.checks).cloned().collect(),
        }
    }

    fn seconds(&self, project: &Project) -> f64 {
        (project.clock.now() - self.started_at) as f64 / 1e6
    }

    /// Writes the run's rows.
    pub(crate) async fn close(mut self, project: &Project, result: &Result<RefreshReport>) -> Result<()> {
        let (state, error) = match result {
            Ok(_) => ("published", None),
            Err(error) => ("failed", Some(error.without_values().to_owned())),
        };
        // The run as a whole is a row too, under no table's name.
        let whole = StepReport {
            name: String::new(),
            rows: self.tables.iter().map(|step| step.rows).sum(),
            bytes: self.tables.iter().map(|step| step.bytes).sum(),
            seconds: self.seconds(project),
            ran: true,
        };
        self.tables.push(whole);
        let [refreshes, checks] = tables();
        self.append(project, &refreshes, &self.tables, state, error.as_deref()).await?;
        self.append(project, &checks, &self.checks, state, error.as_deref()).await
    }

    async fn append(
        &self,
        project: &Project,
        name: &TableName,
        steps: &[StepReport],
        state: &str,
        error: Option<&str>,
    ) -> Result<()> {
        let schema = schema();
        for _ in 0..limits::COMMIT_ATTEMPTS_MAX {
            let version = log::open(project, name, &schema).await?;
            if steps.is_empty() {
                return Ok(());
            }
            let rows = self.batch(&schema, steps, state, error)?;
            if log::append(project, version, &self.refresh_id, &rows).await? {
                return Ok(());
            }
        }
        Err(EngineError::new(ErrorKind::Conflict, format!("`{name}` is being written by too many others")))
    }

    fn batch(&self, schema: &SchemaRef, steps: &[StepReport], state: &str, error: Option<&str>) -> Result<RecordBatch> {
        let count = steps.len();
        let generation = self.generation.and_then(|generation| i64::try_from(generation).ok());
        let name = |step: &StepReport| if step.name.is_empty() { None } else { Some(step.name.clone()) };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![self.refresh_id.as_str(); count])),
            Arc::new(Int64Array::from(vec![generation; count])),
            Arc::new(TimestampMicrosecondArray::from(vec![self.started_at; count]).with_timezone("UTC")),
            Arc::new(BooleanArray::from(vec![self.is_full; count])),
            Arc::new(steps.iter().map(name).collect::<StringArray>()),
            Arc::new(steps.iter().map(|step| i64::try_from(step.rows).ok()).collect::<Int64Array>()),
            Arc::new(steps.iter().map(|step| i64::try_from(step.bytes).ok()).collect::<Int64Array>()),
            Arc::new(steps.iter().map(|step| Some(step.seconds)).collect::<Float64Array>()),
            Arc::new(
                steps.iter().map(|step| Some(if step.ran { state } else { "unchanged" })).collect::<StringArray>(),
            ),
            Arc::new(StringArray::from(vec![error; count])),
        ];
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}

/// The columns of both logs.
pub(crate) fn schema() -> SchemaRef {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("refresh_id", DataType::Utf8),
        field("generation", DataType::Int64),
        field("started_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        field("is_full", DataType::Boolean),
        field("name", DataType::Utf8),
        field("rows", DataType::Int64),
        field("bytes", DataType::Int64),
        field("seconds", DataType::Float64),
        field("state", DataType::Utf8),
        field("error", DataType::Utf8),
    ]))
}
