//! Running one model: its query over the right rows of what it reads, written as files, committed as a version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, cast, col, ident};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::execute_stream_partitioned;
use datafusion::prelude::SessionContext;

use super::definition::{Model, Slice, Strategy};
use super::types;
use crate::error::{EngineError, Result};
use crate::limits;
use crate::query::catalog::{register, register_view};
use crate::query::session::CATALOG;
use crate::store::delta::{DataFile, Table, Version};
use crate::store::scan::Scan;
use crate::store::writer::{file_schema, write_streams};
use crate::store::{Lake, TableName};

/// A catalog of helper tables that only one statement sees.
const HELPER_SCHEMA: &str = "helper";
/// A column that says from which file a row comes.
const FILE_COLUMN: &str = "_file";

/// A table during a refresh.
#[derive(Debug, Clone)]
pub(crate) struct TableState {
    /// As this refresh leaves it.
    pub(crate) current: Version,
    /// The files that this refresh added.
    pub(crate) new_files: Vec<DataFile>,
    /// As the last generation has it; `None` when everything is computed anew.
    pub(crate) previous: Option<Version>,
    /// Rows that the last full write or compaction left.
    pub(crate) base_rows: u64,
}

impl TableState {
    /// True if this refresh changed it.
    pub(crate) fn is_changed(&self) -> bool {
        self.previous.as_ref().is_none_or(|previous| previous.number != self.current.number)
            || !self.new_files.is_empty()
    }
}

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

/// The tables of one refresh, and the session that sees them.
pub(crate) struct Workspace {
    /// The lake.
    pub(crate) lake: Lake,
    /// The session.
    pub(crate) session: SessionContext,
    /// The refresh: names its files.
    pub(crate) run: String,
    /// True if models run on what is new since the last generation.
    pub(crate) incremental: bool,
    /// Tables by name.
    pub(crate) tables: BTreeMap<TableName, TableState>,
    /// SQL of the views, each after those that it reads.
    pub(crate) views: Vec<(TableName, String)>,
    /// Views of which something that they read changed.
    pub(crate) changed_views: BTreeSet<TableName>,
    /// Versions of the last generation, empty when everything is computed anew.
    pub(crate) previous: BTreeMap<TableName, (Version, u64)>,
}

impl Workspace {
    /// Runs `model` and registers what it made. `sql` is its query as it is to run; `all` makes it run on everything
    /// although the refresh is incremental.
    pub(crate) async fn materialize(
        &mut self,
        model: &Model,
        rewrite: impl Fn(String) -> String,
        all: bool,
    ) -> Result<Outcome> {
        let incremental = self.incremental && !all;
        let sql = rewrite(model.sql(incremental));
        if model.strategy == Strategy::View {
            return self.define_view(model, sql).await;
        }
        let previous = self.previous.get(&model.name).cloned();
        if let (true, Some((version, base_rows))) = (incremental, &previous)
            && !self.has_changed_inputs(model)?
        {
            let unchanged = TableState {
                current: version.clone(),
                new_files: Vec::new(),
                previous: Some(version.clone()),
                base_rows: *base_rows,
            };
            self.keep(&model.name, unchanged)?;
            return Ok(Outcome::default());
        }
        self.register_slices(model, all)?;
        let (schema, mut new_files) = if model.strategy == Strategy::Scratch && !incremental {
            let schema = model.schema().ok_or_else(|| model.error(1, "strategy `scratch` needs `-- columns:`"))?;
            (Arc::new(file_schema(&schema)), Vec::new())
        } else {
            let frame = self.session.sql(&sql).await.map_err(|error| located(model, error))?;
            let frame = contracted(model, frame)?;
            self.write(&model.name, &model.unique, frame, "new").await.map_err(|error| error.context(&model.file))?
        };
        let outcome = outcome_of(&new_files);
        let kept = match (&previous, incremental) {
            (Some((version, _)), true) => self.kept_files(model, version, &schema, &new_files).await?,
            _ => Vec::new(),
        };
        let mut base_rows =
            if kept.is_empty() { outcome.rows_written } else { previous.as_ref().map_or(0, |(_, rows)| *rows) };
        let mut files = kept;
        files.append(&mut new_files.clone());
        if let Some(folded) = self.compacted(model, &schema, &files, base_rows).await? {
            files = folded;
            base_rows = files.iter().map(|file| file.rows).sum();
        }
        let number = Table::new(&self.lake, &model.name).commit_exact(&schema, &files).await?;
        let current = Version { name: model.name.clone(), number, schema, partition_columns: Vec::new(), files };
        if model.strategy == Strategy::Full || model.strategy == Strategy::Scratch {
            new_files = current.files.clone();
        }
        let previous = if incremental { previous.map(|(version, _)| version) } else { None };
        self.keep(&model.name, TableState { current, new_files, previous, base_rows })?;
        Ok(outcome)
    }

    /// Writes a table that no model makes: the rows of `frame` after those of the `kept` files.
    pub(crate) async fn store(&mut self, name: &TableName, frame: DataFrame, kept: Vec<DataFile>) -> Result<Outcome> {
        let (schema, new_files) = self.write(name, &[], frame, "new").await?;
        let outcome = outcome_of(&new_files);
        let mut files = kept;
        files.extend(new_files.iter().cloned());
        let number = Table::new(&self.lake, name).commit_exact(&schema, &files).await?;
        let current = Version { name: name.clone(), number, schema, partition_columns: Vec::new(), files };
        let base_rows = current.rows();
        self.keep(name, TableState { current, new_files, previous: None, base_rows })?;
        Ok(outcome)
    }

    async fn define_view(&mut self, model: &Model, sql: String) -> Result<Outcome> {
        register_view(&self.session, &model.name, &sql).await.map_err(|error| error.context(&model.file))?;
        if self.has_changed_inputs(model)? {
            self.changed_views.insert(model.name.clone());
        }
        self.views.push((model.name.clone(), sql));
        Ok(Outcome::default())
    }

    fn keep(&mut self, name: &TableName, state: TableState) -> Result<()> {
        register(&self.session, CATALOG, name, self.scan(state.current.clone()))?;
        self.tables.insert(name.clone(), state);
        Ok(())
    }

    fn has_changed_inputs(&self, model: &Model) -> Result<bool> {
        let references = model.references()?;
        Ok(references.iter().filter(|reference| reference.slice != Slice::Previous).any(|reference| {
            self.changed_views.contains(&reference.name)
                || self.tables.get(&reference.name).is_some_and(TableState::is_changed)
        }))
    }

    /// Registers `new.*` and `previous.*` as the model names them.
    fn register_slices(&self, model: &Model, all: bool) -> Result<()> {
        for reference in model.references()? {
            match reference.slice {
                Slice::Current => {}
                Slice::New => {
                    let state = self
                        .tables
                        .get(&reference.name)
                        .ok_or_else(|| model.error(1, format!("`new.{}` is not a table", reference.name)))?;
                    let mut version = state.current.clone();
                    if self.incremental && !all {
                        version.files = state.new_files.clone();
                    }
                    register(&self.session, "new", &reference.name, self.scan(version))?;
                }
                Slice::Previous => {
                    if let Some((version, _)) = self.previous.get(&reference.name) {
                        register(&self.session, "previous", &reference.name, self.scan(version.clone()))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn scan(&self, version: Version) -> Arc<Scan> {
        Arc::new(Scan::new(&self.lake, version))
    }

    /// Executes `frame` and writes its rows; returns the files' schema with them.
    async fn write(
        &self,
        name: &TableName,
        unique: &[String],
        frame: DataFrame,
        part: &str,
    ) -> Result<(SchemaRef, Vec<DataFile>)> {
        let plan = frame.create_physical_plan().await?;
        let schema = Arc::new(file_schema(&nullable(&plan.schema())));
        let streams = execute_stream_partitioned(Arc::clone(&plan), self.session.task_ctx())?;
        let run = format!("{}-{part}", self.run);
        let files = write_streams(&self.lake, name, &run, &schema, unique, streams).await?;
        if tracing::enabled!(tracing::Level::TRACE) {
            let metrics = DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(true).to_string();
            tracing::trace!(table = %name, part, "{metrics}");
        }
        Ok((schema, files))
    }

    /// Which files of the last generation's version stay, after those with replaced rows were written anew without them.
    async fn kept_files(
        &self,
        model: &Model,
        version: &Version,
        schema: &SchemaRef,
        new_files: &[DataFile],
    ) -> Result<Vec<DataFile>> {
        match model.strategy {
            Strategy::Append | Strategy::Fold => Ok(version.files.clone()),
            Strategy::Merge => self.without_replaced(model, version, schema, new_files).await,
            Strategy::View | Strategy::Full | Strategy::Scratch => Ok(Vec::new()),
        }
    }

    async fn without_replaced(
        &self,
        model: &Model,
        version: &Version,
        schema: &SchemaRef,
        new_files: &[DataFile],
    ) -> Result<Vec<DataFile>> {
        let helper = |name: &str| TableName::new(HELPER_SCHEMA, name);
        let keys = match &model.replaces {
            Some(replaces) => self.session.sql(replaces).await.map_err(|error| located(model, error))?,
            None => {
                let written =
                    Version { files: new_files.to_vec(), schema: Arc::clone(schema), number: 0, ..version.clone() };
                self.session
                    .read_table(self.scan(written))?
                    .select_columns(&model.key.iter().map(String::as_str).collect::<Vec<_>>())?
            }
        };
        let key_schema: SchemaRef = Arc::new(keys.schema().as_arrow().clone());
        let columns: Vec<String> = key_schema.fields().iter().map(|field| field.name().clone()).collect();
        let batches = keys.distinct()?.collect().await.map_err(|error| located(model, error))?;
        register(&self.session, CATALOG, &helper("keys"), Arc::new(MemTable::try_new(key_schema, vec![batches])?))?;

        let mut marked = version.clone();
        let mut fields: Vec<Arc<Field>> = marked.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(FILE_COLUMN, DataType::Int64, false)));
        marked.schema = Arc::new(Schema::new(fields));
        marked.partition_columns = vec![FILE_COLUMN.to_owned()];
        for (number, file) in marked.files.iter_mut().enumerate() {
            file.partition = vec![Some(number.to_string())];
        }
        register(&self.session, CATALOG, &helper("earlier"), self.scan(marked))?;
        let matches =
            columns.iter().map(|column| format!("keys.{column} = earlier.{column}")).collect::<Vec<_>>().join(" and ");
        let found = self
            .session
            .sql(&format!("select distinct {FILE_COLUMN} from {HELPER_SCHEMA}.earlier where exists (select 1 from {HELPER_SCHEMA}.keys where {matches})"))
            .await?
            .collect()
            .await
            .map_err(|error| located(model, error))?;
        let mut touched: BTreeSet<usize> = BTreeSet::new();
        for batch in &found {
            let numbers = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batch.column(0));
            touched.extend(numbers.values().iter().filter_map(|number| usize::try_from(*number).ok()));
        }
        let small: Vec<usize> = version
            .files
            .iter()
            .enumerate()
            .filter(|(_, file)| file.rows < limits::SMALL_FILE_ROWS)
            .map(|(number, _)| number)
            .collect();
        if small.len() > limits::SMALL_FILES_MAX {
            touched.extend(small);
        }
        let (rewritten, mut kept): (Vec<_>, Vec<_>) =
            version.files.iter().cloned().enumerate().partition(|(number, _)| touched.contains(number));
        let mut kept: Vec<DataFile> = kept.drain(..).map(|(_, file)| file).collect();
        if !rewritten.is_empty() {
            let mut rest = version.clone();
            rest.files = rewritten.into_iter().map(|(_, file)| file).collect();
            register(&self.session, CATALOG, &helper("earlier"), self.scan(rest))?;
            let frame = self
                .session
                .sql(&format!("select * from {HELPER_SCHEMA}.earlier where not exists (select 1 from {HELPER_SCHEMA}.keys where {matches})"))
                .await?;
            let (_, files) = self.write(&model.name, &model.unique, frame, "kept").await?;
            kept.extend(files);
        }
        Ok(kept)
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
        let (_, folded) = self.write(&model.name, &model.unique, contracted(model, frame)?, "folded").await?;
        Ok(Some(folded))
    }
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
        columns.push(if types::is_castable(&column.data_type) {
            cast(value, column.data_type.clone()).alias(&column.name)
        } else {
            value
        });
    }
    columns.extend(
        given
            .iter()
            .filter(|name| !model.columns.iter().any(|column| &&column.name == name))
            .map(|name| col(format!("\"{name}\""))),
    );
    Ok(frame.select(columns)?)
}

fn located(model: &Model, error: datafusion::error::DataFusionError) -> EngineError {
    EngineError::from(error).context(&model.file)
}
