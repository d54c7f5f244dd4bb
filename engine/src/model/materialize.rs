//! Running one model: its query over the right rows of what it reads, written as files, committed as a version.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{Expr, cast, ident};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::execute_stream_partitioned;

use super::definition::{Model, Strategy, everything};
use super::types::{self, saturated};
use super::workspace::{TableState, Workspace};
use crate::error::{EngineError, ErrorKind, Result};
use crate::limits;
use crate::query::catalog::register;
use crate::query::session::CATALOG;
use crate::store::delta::{DataFile, Table, Version};
use crate::store::writer::{BatchMap, file_schema, write_streams};

/// What one model did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Rows that its query gave.
    pub(crate) rows_written: u64,
    /// Bytes of the files written.
    pub(crate) bytes_written: u64,
    /// False if nothing that it reads had changed.
    pub(crate) ran: bool,
}

impl Workspace {
    /// Runs `model` and registers what it made. `rewrite` makes of its query the one that runs; `all` makes it run on everything
    /// although the refresh is incremental.
    pub(crate) async fn materialize(
        &self,
        model: &Model,
        rewrite: impl Fn(String) -> String,
        all: bool,
    ) -> Result<Outcome> {
        let incremental = self.incremental && !all;
        let sql = rewrite(model.sql(incremental));
        if model.strategy == Strategy::View {
            self.define_view(model, sql).await?;
            return Ok(Outcome::default());
        }
        let previous = self.previous.get(&model.name).cloned();
        if let (true, Some((version, base_rows))) = (incremental, &previous)
            && !self.has_changed_inputs(model)?
            && !has_worked_off(model, version)
        {
            self.keep(&model.name, TableState::unchanged(version, *base_rows))?;
            return Ok(Outcome::default());
        }
        self.register_slices(&model.references()?).map_err(|error| error.context(&model.file))?;
        let sql = if all { everything(&sql)? } else { sql };
        let kept_of = match model.strategy {
            Strategy::History => self.last.get(&model.name),
            _ => previous.as_ref().filter(|_| incremental).map(|(version, _)| version),
        };
        let ((schema, mut new_files), kept) = match (&model.replaces, kept_of) {
            // Which rows go does not depend on the new ones: both are written at the same time.
            (Some(_), Some(version)) => {
                tokio::try_join!(self.new_rows(model, &sql, incremental), self.kept_files(model, version, &[]))?
            }
            (_, version) => {
                let (schema, new_files) = self.new_rows(model, &sql, incremental).await?;
                let kept = match version {
                    Some(version) => self.kept_files(model, version, &new_files).await?,
                    None => Vec::new(),
                };
                ((schema, new_files), kept)
            }
        };
        let outcome = outcome_of(&new_files);
        let mut base_rows =
            if kept.is_empty() { outcome.rows_written } else { previous.as_ref().map_or(0, |(_, rows)| *rows) };
        let mut files = kept;
        files.append(&mut new_files.clone());
        if let Some(folded) = self.compacted(model, &schema, &files, base_rows).await? {
            files = folded;
            base_rows = files.iter().map(|file| file.rows).sum();
        }
        // The same files are the same version: whatever reads it has nothing to do.
        if let (true, Some((version, base_rows))) = (incremental, &previous)
            && version.schema == schema
            && version.files.iter().map(|file| &file.path).eq(files.iter().map(|file| &file.path))
        {
            self.keep(&model.name, TableState::unchanged(version, *base_rows))?;
            return Ok(outcome);
        }
        let last = previous.as_ref().map(|(version, _)| version);
        let number = Table::new(&self.lake, &model.name).commit_exact(&schema, &files, last).await?;
        let current = Version { name: model.name.clone(), number, schema, partition_columns: Vec::new(), files };
        if matches!(model.strategy, Strategy::Full | Strategy::Step | Strategy::Scratch) {
            new_files = current.files.clone();
        }
        let previous = if incremental { previous.map(|(version, _)| version) } else { None };
        self.keep(&model.name, TableState { current, new_files, previous, base_rows })?;
        Ok(outcome)
    }

    /// Writes the rows that the model's query gives.
    async fn new_rows(&self, model: &Model, sql: &str, incremental: bool) -> Result<(SchemaRef, Vec<DataFile>)> {
        if model.strategy == Strategy::Scratch && !incremental {
            let schema = model.schema().ok_or_else(|| model.error(1, "strategy `scratch` needs `-- columns:`"))?;
            return Ok((Arc::new(file_schema(&schema)), Vec::new()));
        }
        let frame = self.session.sql(sql).await.map_err(|error| located(model, error))?;
        let frame = in_batches(model, contracted(model, frame)?);
        let written = self.write(model, frame.clone(), "new").await;
        let written = match written {
            Err(error) if error.kind() == ErrorKind::Exhausted => {
                tracing::info!(table = %model.name, %error, "trying again with less memory");
                let frame = self.frugal(model, frame).await.map_err(|error| error.context(&model.file))?;
                self.write(model, frame, "frugal").await
            }
            other => other,
        };
        written.map_err(|error| error.context(&model.file))
    }

    /// Writes a table that a model's query does not make: the rows of `frame` after those of the `kept` files.
    pub(crate) async fn store(&self, model: &Model, frame: DataFrame, kept: Vec<DataFile>) -> Result<Outcome> {
        let name = &model.name;
        let (schema, new_files) = self.write(model, frame, "new").await?;
        let outcome = outcome_of(&new_files);
        let mut files = kept;
        files.extend(new_files.iter().cloned());
        let last = self.previous.get(name).map(|(version, _)| version);
        let number = Table::new(&self.lake, name).commit_exact(&schema, &files, last).await?;
        let current = Version { name: name.clone(), number, schema, partition_columns: Vec::new(), files };
        let base_rows = current.rows();
        self.keep(name, TableState { current, new_files, previous: None, base_rows })?;
        Ok(outcome)
    }

    /// Executes `frame` and writes its rows; returns the files' schema with them.
    pub(crate) async fn write(
        &self,
        model: &Model,
        frame: DataFrame,
        part: &str,
    ) -> Result<(SchemaRef, Vec<DataFile>)> {
        self.write_mapped(model, frame, part, None).await
    }

    /// As [`Workspace::write`], with what `map` makes of each batch.
    pub(crate) async fn write_mapped(
        &self,
        model: &Model,
        frame: DataFrame,
        part: &str,
        map: Option<BatchMap>,
    ) -> Result<(SchemaRef, Vec<DataFile>)> {
        // The context of the frame: what runs again has another one.
        let context = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await?;
        let schema = Arc::new(file_schema(&nullable(&plan.schema())));
        let streams = execute_stream_partitioned(Arc::clone(&plan), context)?;
        let run = format!("{}-{part}", self.run);
        let Model { name, unique, .. } = model;
        let files = write_streams(&self.lake, name, &run, &schema, unique, streams, map).await?;
        if tracing::enabled!(tracing::Level::TRACE) {
            let metrics = DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(true).to_string();
            tracing::trace!(table = %name, part, "{metrics}");
        }
        Ok((schema, files))
    }

    /// Which files of the last generation's version stay, after those with replaced rows were written anew without them.
    pub(crate) async fn kept_files(
        &self,
        model: &Model,
        version: &Version,
        new_files: &[DataFile],
    ) -> Result<Vec<DataFile>> {
        match model.strategy {
            Strategy::Append | Strategy::History => self.with_small_files_together(model, version).await,
            Strategy::Fold => Ok(version.files.clone()),
            Strategy::Merge => self.without_replaced(model, version, new_files).await,
            Strategy::View | Strategy::Full | Strategy::Step | Strategy::Scratch => Ok(Vec::new()),
        }
    }

    /// Folds a state whose appended rows have outgrown its base.
    async fn compacted(
        &self,
        model: &Model,
        schema: &SchemaRef,
        files: &[DataFile],
        base_rows: u64,
    ) -> Result<Option<Vec<DataFile>>> {
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        let appended = rows.saturating_sub(base_rows);
        let is_due =
            appended as f64 > base_rows as f64 * limits::COMPACTION_SHARE || files.len() > limits::STATE_FILES_MAX;
        if model.strategy != Strategy::Fold || appended == 0 || !is_due {
            return Ok(None);
        }
        let whole = Version {
            name: model.name.clone(),
            number: 0,
            schema: Arc::clone(schema),
            partition_columns: Vec::new(),
            files: files.to_vec(),
        };
        register(&self.session, CATALOG, &model.name, self.scan(whole))?;
        let frame = self.session.sql(&model.fold_sql()).await.map_err(|error| located(model, error))?;
        let (_, folded) = self.write(model, contracted(model, frame)?, "folded").await?;
        Ok(Some(folded))
    }
}

/// True for a table with what the last refresh worked on: none of that is this one's, whether or not anything changed since.
fn has_worked_off(model: &Model, last: &Version) -> bool {
    matches!(model.strategy, Strategy::Step | Strategy::Scratch) && last.rows() > 0
}

fn outcome_of(files: &[DataFile]) -> Outcome {
    Outcome {
        rows_written: files.iter().map(|file| file.rows).sum(),
        bytes_written: files.iter().map(|file| file.bytes).sum(),
        ran: true,
    }
}

/// Every column may be null in the log: a contract on null is a check's business.
fn nullable(schema: &Schema) -> Schema {
    Schema::new(schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>())
}

/// The query with batches of few rows if these are sets: whatever gathers rows until a batch is full would hold all of them.
fn in_batches(model: &Model, frame: DataFrame) -> DataFrame {
    if model.columns.iter().all(|column| column.data_type != DataType::BinaryView) {
        return frame;
    }
    let (mut state, plan) = frame.into_parts();
    *state.config_mut() = state.config().clone().with_batch_size(limits::SETS_BATCH_ROWS);
    DataFrame::new(state, plan)
}

/// The query's columns as the header promises them, in its order and types, then any others.
pub(crate) fn contracted(model: &Model, frame: DataFrame) -> Result<DataFrame> {
    if model.columns.is_empty() {
        return Ok(frame);
    }
    let given: Vec<String> = frame.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut columns: Vec<Expr> = Vec::new();
    for column in &model.columns {
        if !given.contains(&column.name) {
            return Err(model.error(
                1,
                format!(
                    "the header promises column `{}`, which the query does not give; it gives {}",
                    column.name,
                    given.join(", ")
                ),
            ));
        }
        let value = ident(&column.name);
        columns.push(
            match (frame.schema().field_with_unqualified_name(&column.name)?.data_type(), &column.data_type) {
                (DataType::Decimal128(..), DataType::Decimal128(..)) => {
                    saturated().call(vec![value]).alias(&column.name)
                }
                (_, wanted) if types::is_castable(wanted) => cast(value, wanted.clone()).alias(&column.name),
                _ => value,
            },
        );
    }
    columns.extend(given.iter().filter(|name| !model.columns.iter().any(|column| &&column.name == name)).map(ident));
    Ok(frame.select(columns)?)
}

pub(crate) fn located(model: &Model, error: datafusion::error::DataFusionError) -> EngineError {
    EngineError::from(error).context(&model.file)
}
