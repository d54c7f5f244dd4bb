//! One generation, open for reading: its tables and views under their names, and statements over them.
//!
//! A snapshot never changes. Who holds one reads the same rows from the first query to the last, whatever is published
//! meanwhile.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SQLOptions, SessionContext};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use crate::clock::Micros;
use crate::config::nearest::nearest;
use crate::error::{EngineError, Result};
use crate::evaluation::{Census, Scope};
use crate::identity::correction_log;
use crate::limits;
use crate::lookup::ProfileLookup;
use crate::project::Project;
use crate::query::catalog::{register, register_view};
use crate::query::concatenation::BoundConcatenation;
use crate::query::session::CATALOG;
use crate::query::{bounds, placeholders};
use crate::refresh::{ledger, list_log};
use crate::segment::{Memberships, saved};
use crate::store::TableName;
use crate::store::delta::Version;
use crate::store::generation::{Generation, PublishedTable};
use crate::store::keyed::cache::LookupCache;
use crate::store::scan::{LogScan, Scan};

/// One generation, open for reading.
pub struct Snapshot {
    generation: Option<Generation>,
    session: SessionContext,
    lookup: Mutex<Option<Arc<ProfileLookup>>>,
    /// What is known of its profiles, in memory; `None` before the first refresh.
    census: Option<Census>,
    /// Who is in its segments, in memory, with the memory that they take.
    memberships: OnceCell<(Arc<Memberships>, MemoryReservation)>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Snapshot({:?})", self.number())
    }
}

impl Snapshot {
    /// Opens a generation; `None` has the logs of refreshes only. With a `cache` for look-ups its persons are indexed.
    pub(crate) async fn open(
        project: &Project,
        generation: Option<Generation>,
        cache: Option<&Arc<LookupCache>>,
    ) -> Result<Self> {
        let session = project.session()?;
        session.add_analyzer_rule(Arc::new(BoundConcatenation::default()));
        for name in ledger::tables() {
            register(&session, CATALOG, &name, Arc::new(LogScan::new(&project.lake, &name, ledger::schema())))?;
        }
        let corrections = correction_log::table();
        let log = LogScan::new(&project.lake, &corrections, correction_log::schema());
        register(&session, CATALOG, &corrections, Arc::new(log))?;
        let segments = LogScan::new(&project.lake, &saved::table(), saved::schema());
        register(&session, CATALOG, &saved::table(), Arc::new(segments))?;
        let lists = LogScan::new(&project.lake, &list_log::table(), list_log::schema());
        register(&session, CATALOG, &list_log::table(), Arc::new(lists))?;
        let mut lookup = None;
        if let Some(generation) = &generation {
            let versions = open_versions(project, generation).await?;
            if let Some(cache) = cache {
                lookup = indexed(project, &versions, cache).await;
            }
            register_generation(project, &session, generation, versions).await?;
            for (name, function) in &project.table_functions {
                session.register_udtf(name, Arc::clone(function));
            }
        }
        let census = generation.as_ref().map(|generation| Census::new(&session, Scope::Everybody, generation.as_of));
        let (lookup, memberships) = (Mutex::new(lookup.map(Arc::new)), OnceCell::new());
        Ok(Self { generation, session, lookup, census, memberships })
    }

    /// The generation's number; `None` before the first refresh.
    pub fn number(&self) -> Option<u64> {
        self.generation.as_ref().map(|generation| generation.number)
    }

    /// The instant for which it was computed, microseconds since 1970 UTC.
    pub fn as_of(&self) -> Option<Micros> {
        self.generation.as_ref().map(|generation| generation.as_of)
    }

    /// When it was published, microseconds since 1970 UTC.
    pub fn published_at(&self) -> Option<Micros> {
        self.generation.as_ref().map(|generation| generation.published_at)
    }

    /// What is known of its profiles.
    ///
    /// # Errors
    /// FailedPrecondition before the first refresh.
    pub(crate) fn census(&self) -> Result<&Census> {
        self.census.as_ref().ok_or_else(nothing_refreshed)
    }

    /// Who is in its segments.
    ///
    /// # Errors
    /// Exhausted if there is no memory for them; what reading them reports.
    pub(crate) async fn memberships(&self) -> Result<Arc<Memberships>> {
        let read = async || {
            let memberships = Memberships::read(&self.session, "segment.member_sets").await?;
            let held = MemoryConsumer::new("members of segments").register(&self.session.runtime_env().memory_pool);
            held.try_grow(memberships.bytes())?;
            Ok::<_, EngineError>((Arc::new(memberships), held))
        };
        Ok(Arc::clone(&self.memberships.get_or_try_init(read).await?.0))
    }

    /// The session that reads it.
    pub(crate) fn session(&self) -> &SessionContext {
        &self.session
    }

    /// Its persons by index; `None` if they are found by scans.
    pub(crate) fn lookup(&self) -> Option<Arc<ProfileLookup>> {
        self.lookup.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the memory of its indexes back, and that of what estimates read: from now on persons are found by scans, and
    /// estimates read again.
    pub(crate) fn retire(&self) {
        *self.lookup.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(census) = &self.census {
            census.forget();
        }
    }

    /// Rows of a stored table, from the log; 0 if there is no such table.
    pub fn rows_of(&self, schema: &str, table: &str) -> u64 {
        let published =
            self.generation.as_ref().and_then(|generation| generation.tables.get(&format!("{schema}.{table}")));
        published.map_or(0, |published| published.rows)
    }

    /// True if it has this table or view.
    pub(crate) fn has_table(&self, schema: &str, table: &str) -> bool {
        let schema = self.session.catalog(CATALOG).and_then(|catalog| catalog.schema(schema));
        schema.is_some_and(|schema| schema.table_exist(table))
    }

    /// Its tables and views, by schema and name.
    ///
    /// # Errors
    /// What the catalog reports.
    pub async fn tables(&self) -> Result<Vec<TableInfo>> {
        let mut tables = Vec::new();
        let Some(catalog) = self.session.catalog(CATALOG) else { return Ok(tables) };
        for schema_name in catalog.schema_names() {
            let Some(schema) = catalog.schema(&schema_name) else { continue };
            for name in schema.table_names() {
                let Some(table) = schema.table(&name).await? else { continue };
                tables.push(TableInfo {
                    schema: schema_name.clone(),
                    table: name,
                    is_view: table.table_type() == TableType::View,
                    columns: table.schema(),
                });
            }
        }
        tables.sort_by(|left, right| (&left.schema, &left.table).cmp(&(&right.schema, &right.table)));
        Ok(tables)
    }

    /// Plans a query. `$1`, `$2`, ... or `?` stand for parameters.
    ///
    /// # Errors
    /// InvalidInput for SQL that is wrong, not read-only, or too much to plan; FailedPrecondition for tables before the first
    /// refresh.
    pub(crate) async fn prepare(self: &Arc<Self>, sql: &str) -> Result<Statement> {
        let statement = bounds::parsed(&placeholders::numbered(sql)?)?;
        let plan = self.session.state().statement_to_plan(statement).await.map_err(|error| match self.generation {
            Some(_) => self.unplanned(error.into()),
            None => nothing_refreshed(),
        })?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)
            .map_err(|error| EngineError::invalid(format!("only queries are allowed here: {}", error.message())))?;
        Ok(self.statement(plan))
    }

    /// Why there is no plan. Of a table that is not there: which was meant.
    fn unplanned(&self, error: EngineError) -> EngineError {
        let message = error.to_string();
        let missing = message.split_once("table '").and_then(|(_, rest)| rest.split_once("' not found"));
        let Some((name, _)) = missing else { return error };
        let wanted = name.trim_start_matches(CATALOG).trim_start_matches('.').trim_start_matches("public.");
        let names = self.table_names();
        let is_of_schema = |full: &&String| full.split_once('.').is_some_and(|(_, table)| table == wanted);
        let meant = names.iter().find(is_of_schema).map(String::as_str);
        let hint = match meant.or_else(|| nearest(wanted, names.iter().map(String::as_str))) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "`select table_schema, table_name from information_schema.tables` lists them".to_owned(),
        };
        EngineError::new(error.kind(), format!("there is no table `{wanted}`; {hint}"))
    }

    /// `schema.table` of its tables and views.
    fn table_names(&self) -> Vec<String> {
        let Some(catalog) = self.session.catalog(CATALOG) else { return Vec::new() };
        let of_schema = |schema: String| {
            let tables = catalog.schema(&schema).map(|schema| schema.table_names()).unwrap_or_default();
            tables.into_iter().map(move |table| format!("{schema}.{table}"))
        };
        let mut names: Vec<String> = catalog.schema_names().into_iter().flat_map(of_schema).collect();
        names.sort();
        names
    }

    /// A statement of a plan that is ours.
    pub(crate) fn statement(self: &Arc<Self>, plan: LogicalPlan) -> Statement {
        Statement { snapshot: Arc::clone(self), plan, columns: None }
    }
}

/// A table or view of a snapshot.
#[derive(Debug, Clone)]
pub struct TableInfo {
    /// Its schema.
    pub schema: String,
    /// Its name in the schema.
    pub table: String,
    /// False for a table that is stored.
    pub is_view: bool,
    /// Its columns.
    pub columns: SchemaRef,
}

/// A read-only query, planned over one snapshot.
#[derive(Debug, Clone)]
pub struct Statement {
    snapshot: Arc<Snapshot>,
    plan: LogicalPlan,
    columns: Option<SchemaRef>,
}

impl Statement {
    /// The snapshot that it reads.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The answer's columns, as far as they are known before parameters have values.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(self.plan.schema().as_arrow().clone())
    }

    /// The parameters, in order. One of unknown type is text.
    ///
    /// # Errors
    /// InvalidInput for parameters that are not numbered from 1.
    pub fn parameters(&self) -> Result<SchemaRef> {
        let known = self.plan.get_parameter_types()?;
        let fields = (1..=known.len())
            .map(|number| {
                let name = format!("${number}");
                let data_type = known.get(&name).ok_or_else(|| {
                    EngineError::invalid(format!("parameters are numbered from $1 on: `{name}` is missing"))
                })?;
                Ok(Field::new(name, data_type.clone().unwrap_or(DataType::Utf8), true))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(Schema::new(fields)))
    }

    /// The statement with values for its parameters: a column each, one row.
    ///
    /// # Errors
    /// InvalidInput if they are not as many as the parameters, or not one row.
    pub fn bind(&self, values: &RecordBatch) -> Result<Self> {
        let count = self.parameters()?.fields().len();
        if values.num_rows() != 1 || values.num_columns() != count {
            return Err(EngineError::invalid(format!(
                "the query has {count} parameters: give one row of {count} values, not {} of {}",
                values.num_rows(),
                values.num_columns()
            )));
        }
        let scalars = values
            .columns()
            .iter()
            .map(|column| ScalarValue::try_from_array(column, 0))
            .collect::<datafusion::error::Result<Vec<_>>>()?;
        self.bind_scalars(scalars)
    }

    /// The statement with texts for its parameters.
    ///
    /// # Errors
    /// InvalidInput if a value does not fit its parameter.
    pub fn bind_texts(&self, values: &[&str]) -> Result<Self> {
        self.bind_scalars(values.iter().map(|value| ScalarValue::from(*value)).collect())
    }

    fn bind_scalars(&self, values: Vec<ScalarValue>) -> Result<Self> {
        if values.is_empty() {
            return Ok(self.clone());
        }
        let plan = self.plan.clone().with_param_values(ParamValues::from(values))?;
        Ok(Self { snapshot: Arc::clone(&self.snapshot), plan, columns: self.columns.clone() })
    }

    /// The statement with its answer cast to `columns`, one for one, where the query runs.
    #[must_use]
    pub fn giving(&self, columns: SchemaRef) -> Self {
        Self { columns: Some(columns), ..self.clone() }
    }

    /// The columns that the answer is to be cast to.
    pub(crate) fn columns(&self) -> Option<&SchemaRef> {
        self.columns.as_ref()
    }

    /// The plan to execute.
    pub(crate) async fn physical_plan(&self) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.snapshot.session.state().create_physical_plan(&self.plan).await?)
    }
}

fn nothing_refreshed() -> EngineError {
    EngineError::failed_precondition("nothing has been refreshed yet: land data and run `tessera refresh`")
}

/// Indexes persons. Whatever keeps it from that, the generation can be served: then persons are found by scans.
async fn indexed(project: &Project, versions: &[Version], cache: &Arc<LookupCache>) -> Option<ProfileLookup> {
    let opened = ProfileLookup::open(&project.lake, versions, cache).await;
    opened.inspect_err(|error| tracing::warn!(%error, "profiles of this generation are looked up by scans")).ok()
}

async fn open_versions(project: &Project, generation: &Generation) -> Result<Vec<Version>> {
    let opening: Vec<_> = generation.tables.iter().map(|(name, table)| open_version(project, name, table)).collect();
    stream::iter(opening).buffered(limits::STORE_READS).try_collect().await
}

async fn open_version(project: &Project, name: &str, table: &PublishedTable) -> Result<Version> {
    table.open(&project.lake, &TableName::parse(name)?).await
}

async fn register_generation(
    project: &Project,
    session: &SessionContext,
    generation: &Generation,
    versions: Vec<Version>,
) -> Result<()> {
    for version in versions {
        let name = version.name.clone();
        register(session, CATALOG, &name, Arc::new(Scan::new(&project.lake, version)))?;
    }
    for (name, sql) in &generation.views {
        register_view(session, &TableName::parse(name)?, sql).await?;
    }
    Ok(())
}
