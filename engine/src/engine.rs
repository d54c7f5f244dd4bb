//! [`Engine`]: the one type that the command line and the servers call.
//!
//! * [`lookup`] finds one person; [`explain`] says why two identifiers are one or are not.
//! * [`segments`] counts and lists people, [`personas`] divides them into groups.
//! * [`saved_segments`], [`uploaded_lists`] and [`corrections`] keep in the lake what people decide.
//! * [`simulations`] makes tables that nobody publishes.

mod corrections;
mod explain;
pub(crate) mod lookup;
pub(crate) mod personas;
mod saved_segments;
pub(crate) mod segments;
mod simulations;
pub(crate) mod uploaded_lists;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execute_stream;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::Instrument;

use crate::clock::Clock;
use crate::config::ProjectConfig;
use crate::error::{EngineError, ErrorKind, Result};
use crate::identity::explain_function::{self, ExplainIdentity};
use crate::identity::normalize::Normalizer;
use crate::landing::{self, BatchReport, Input};
use crate::model::built_in;
use crate::model::catalog::Catalog;
use crate::progress::Progress;
use crate::project::Project;
use crate::query::cpu_runtime::CpuRuntime;
use crate::query::limited::{QueryLimits, too_long, too_many_rows};
use crate::query::session::QueryRuntime;
use crate::refresh::check;
use crate::refresh::kept::Kept;
use crate::refresh::report::RefreshReport;
use crate::refresh::run::{RefreshOptions, RefreshRun};
use crate::snapshot::{Snapshot, Statement};
use crate::store::Lake;
use crate::store::generation;
use crate::store::keyed::cache::LookupCache;
use crate::{behavior, evaluation, identity, limits, profile, segment};

/// What an engine needs to know of the world.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The project's folder.
    pub project: PathBuf,
    /// What `tessera.toml` says.
    pub config: ProjectConfig,
    /// What the environment says of the object store, such as `AWS_REGION`.
    pub storage_options: HashMap<String, String>,
    /// Bytes that all queries together may hold.
    pub memory_bytes: usize,
    /// Threads of one query or one ingest.
    pub threads: usize,
    /// The time.
    pub clock: Clock,
}

/// The answer to a query: batches as they are computed, of one generation.
pub struct QueryResult {
    /// The generation that was read; `None` before the first refresh.
    pub generation: Option<u64>,
    /// Columns of the answer.
    pub schema: SchemaRef,
    /// The rows. Dropping it cancels the query.
    pub batches: BoxStream<'static, Result<RecordBatch>>,
}

/// One project, open.
#[derive(Clone)]
pub struct Engine {
    project: Arc<Project>,
    cpu: Arc<CpuRuntime>,
    /// What the environment says of object stores.
    storage_options: Arc<HashMap<String, String>>,
    /// How identifiers of look-ups are made those of the data.
    normalizer: Arc<Normalizer>,
    /// One for each query that may run now.
    slots: Arc<Semaphore>,
    snapshots: Arc<Mutex<Snapshots>>,
    /// Who opens a new generation; the others wait and find it open.
    reloading: Arc<tokio::sync::Mutex<()>>,
    /// What look-ups share; `None` if profiles are found by scans.
    lookups: Option<Arc<LookupCache>>,
    /// What a refresh leaves for the next; `None` if nothing is kept.
    kept: Option<Arc<Kept>>,
}

/// Generations that are open: the newest, and older ones that were asked for.
#[derive(Default)]
struct Snapshots {
    newest: Option<Arc<Snapshot>>,
    older: VecDeque<Arc<Snapshot>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Engine({:?})", self.project.lake)
    }
}

impl Engine {
    /// The stack that a thread needs on which queries are made, cloned or dropped.
    pub const STACK_BYTES: usize = limits::QUERY_STACK_BYTES;

    /// Opens a project. Nothing is read or written yet.
    ///
    /// # Errors
    /// InvalidInput for a lake URL or identity rules that cannot be used.
    pub fn open(options: EngineOptions) -> Result<Self> {
        let lake = Lake::open(&options.config.lake_url, &options.project, &options.storage_options)?;
        let memory = options
            .config
            .engine
            .memory_limit
            .map_or(options.memory_bytes, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let threads = options.config.engine.threads.unwrap_or(options.threads);
        let runtime = QueryRuntime::new(memory, threads)?;
        runtime.register(&lake);
        let mut functions = identity::functions::functions(&options.config.identity)?;
        functions.extend(profile::functions(&options.config.attributes, &options.config.consents));
        functions.extend(behavior::functions());
        functions.extend(evaluation::sql_functions());
        let mut relations = identity::relations(&options.config.identity);
        relations.extend(behavior::relations(&options.config.behavior));
        relations.extend(segment::relations());
        let judge_identifiers = identity::judge(&options.config.identity)?;
        let normalizer = Arc::new(Normalizer::new(&options.config.identity)?);
        let queries_max = options.config.serve.queries_max;
        let project = Project {
            judge_identifiers,
            folder: options.project,
            config: options.config,
            lake,
            clock: options.clock,
            threads,
            runtime,
            functions,
            relations,
            table_functions: vec![(explain_function::NAME, Arc::new(ExplainIdentity(Arc::clone(&normalizer))))],
        };
        Ok(Self {
            project: Arc::new(project),
            cpu: Arc::new(CpuRuntime::new(threads)?),
            storage_options: Arc::new(options.storage_options),
            normalizer,
            slots: Arc::new(Semaphore::new(queries_max)),
            snapshots: Arc::default(),
            reloading: Arc::default(),
            lookups: None,
            kept: None,
        })
    }

    /// The same project, with snapshots of its own, of which the newest is indexed for look-ups of profiles: worth its
    /// memory and seconds to whoever looks up many.
    #[must_use]
    pub fn with_lookups(mut self) -> Self {
        let runtime = &self.project.runtime;
        let bytes = match self.config().serve.lookup_memory_max {
            Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
            None => runtime.memory_limit_bytes() / limits::LOOKUP_MEMORY_SHARE,
        };
        // Indexes may take half of it, and rows whatever indexes leave.
        let share = |bytes| runtime.share(bytes, "lookup_memory_max");
        self.lookups = Some(Arc::new(LookupCache::new(bytes, share(bytes / 2), &share(bytes))));
        (self.snapshots, self.reloading) = Default::default();
        self
    }

    /// The same project, where a refresh leaves in memory what the next one reads: worth it to whoever refreshes again and again.
    #[must_use]
    pub fn with_memory_of_refreshes(mut self) -> Self {
        self.kept = Some(Arc::new(Kept::new(&self.project.runtime)));
        self
    }

    /// What `tessera.toml` says.
    pub fn config(&self) -> &ProjectConfig {
        &self.project.config
    }

    /// The project's folder.
    pub fn folder(&self) -> &Path {
        &self.project.folder
    }

    /// The time, as the engine was told it.
    pub fn clock(&self) -> &Clock {
        &self.project.clock
    }

    /// Lands inputs of a source, and tells `landed` of each that did. Each input is one batch: it lands whole or not at all, and
    /// only once.
    ///
    /// # Errors
    /// NotFound for an unknown source; InvalidInput for an input that cannot be read to its end. Inputs before it stay landed,
    /// those after it do not land.
    pub async fn ingest(
        &self,
        source: &str,
        inputs: Vec<Input>,
        progress: &Progress,
        landed: &mut (dyn FnMut(BatchReport) + Send),
    ) -> Result<()> {
        self.check_lake().await?;
        landing::ingest(&self.project, source, inputs, progress, landed).await
    }

    /// Brings every derived table up to date and publishes a generation.
    ///
    /// # Errors
    /// Conflict while another refresh runs, or has done it already; FailedPrecondition if a check fails or too many
    /// profiles merge. The last generation stays served.
    pub async fn refresh(&self, options: RefreshOptions, progress: &Progress) -> Result<RefreshReport> {
        let run = self.begin_refresh(options).await?;
        let run = run.ok_or_else(|| EngineError::new(ErrorKind::Conflict, "another refresh has done it already"))?;
        self.run_refresh(run, progress, std::future::pending()).await
    }

    /// Takes the right to refresh. `None` if somebody else has done it already.
    ///
    /// # Errors
    /// Conflict while another refresh runs.
    pub async fn begin_refresh(&self, options: RefreshOptions) -> Result<Option<RefreshRun>> {
        self.check_lake().await?;
        RefreshRun::begin(&self.project, options, self.kept.clone()).await
    }

    /// Refreshes, on the query threads. Once `stop` ends the refresh does too, and publishes nothing.
    ///
    /// # Errors
    /// FailedPrecondition if a check fails; Cancelled if it was stopped. The last generation stays served.
    pub async fn run_refresh(
        &self,
        run: RefreshRun,
        progress: &Progress,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<RefreshReport> {
        self.run_until(run, progress.clone(), stop.boxed()).await
    }

    /// The same of one type, so that only this crate compiles what a refresh is made of.
    fn run_until(
        &self,
        run: RefreshRun,
        progress: Progress,
        stop: BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, Result<RefreshReport>> {
        // What it does on other threads belongs to the caller's trace.
        self.cpu.run(async move { run.run(&progress, stop).await }.in_current_span())
    }

    /// Runs a query on the newest generation, or on generation `as_of`. `$1`, `$2`, ... stand for `parameters`.
    ///
    /// # Errors
    /// InvalidInput for SQL that is wrong or not read-only; NotFound for a generation that does not exist;
    /// FailedPrecondition for tables before the first refresh.
    pub async fn sql(&self, query: &str, parameters: &[&str], as_of: Option<u64>) -> Result<QueryResult> {
        let snapshot = match as_of {
            Some(number) => self.snapshot(number).await?,
            None => self.reload().await?,
        };
        let limits = QueryLimits::default();
        let statement = self.prepare(&snapshot, query, limits).await?.bind_texts(parameters)?;
        self.execute(&statement, limits).await
    }

    /// Opens the newest generation of the lake, unless it is open already, and returns it.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn reload(&self) -> Result<Arc<Snapshot>> {
        let _only_one = self.reloading.lock().await;
        let last = generation::latest_number(&self.project.lake).await?;
        self.check_still_there(last)?;
        if let Some(newest) = self.current()
            && newest.number() == last
            && last.is_some()
        {
            return Ok(newest);
        }
        let generation = match last {
            Some(number) => Some(generation::read(&self.project.lake, number).await?),
            None => None,
        };
        let (project, lookups) = (Arc::clone(&self.project), self.lookups.clone());
        let opening = async move { Snapshot::open(&project, generation, lookups.as_ref()).await };
        let snapshot = Arc::new(self.cpu.run(opening).await?);
        let mut snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = snapshots.newest.replace(Arc::clone(&snapshot)) {
            // Look-ups are of the newest; those that run keep what they read with.
            before.retire();
            snapshots.keep_older(before);
        }
        drop(snapshots);
        if let Some(lookups) = &self.lookups {
            lookups.settle();
        }
        Ok(snapshot)
    }

    /// Refuses a lake that cannot be written to: its store does not keep conditions of writes, or it is not the one that was
    /// read before.
    async fn check_lake(&self) -> Result<()> {
        if self.current().is_some() {
            self.check_still_there(generation::latest_number(&self.project.lake).await?)?;
        }
        self.project.lake.verify_conditional_put().await
    }

    /// Refuses a lake whose last generation is an earlier one than was read before: a folder, say, whose volume is not mounted
    /// any more.
    fn check_still_there(&self, last: Option<u64>) -> Result<()> {
        match self.current().and_then(|newest| newest.number()) {
            Some(read) if last.is_none_or(|last| last < read) => Err(EngineError::new(
                ErrorKind::Unavailable,
                format!(
                    "the lake does not hold generation {read} any more, which was read before: look what became of it"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The newest generation that is open; `None` before [`Engine::reload`] found one.
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner).newest.clone()
    }

    /// Opens generation `number`.
    ///
    /// # Errors
    /// NotFound if it does not exist, or is kept no more.
    pub async fn snapshot(&self, number: u64) -> Result<Arc<Snapshot>> {
        if let Some(open) = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner).get(number) {
            return Ok(open);
        }
        let generation = generation::read(&self.project.lake, number).await?;
        let snapshot = Arc::new(Snapshot::open(&self.project, Some(generation), None).await?);
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner).keep_older(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// Opens the logs of refreshes, `ops.*`, as they are now.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn logs(&self) -> Result<Arc<Snapshot>> {
        Ok(Arc::new(Snapshot::open(&self.project, None, None).await?))
    }

    /// Plans a query, within the time of `limits`. `$1`, `$2`, ... or `?` stand for parameters.
    ///
    /// # Errors
    /// InvalidInput for SQL that is wrong, not read-only, or too much to plan; FailedPrecondition for tables before the first
    /// refresh; Exhausted if as many queries run as may; DeadlineExceeded if it takes too long.
    pub async fn prepare(&self, snapshot: &Arc<Snapshot>, query: &str, limits: QueryLimits) -> Result<Statement> {
        let (snapshot, query) = (Arc::clone(snapshot), query.to_owned());
        let place = self.place().await?;
        let deadline = Deadline::of(limits);
        let planned = self.cpu.run_aside(async move {
            let _until_planned = place;
            snapshot.prepare(&query).await
        });
        deadline.or_too_late(planned).await
    }

    /// Runs a statement of which all parameters have values, on the query threads.
    ///
    /// # Errors
    /// InvalidInput if the query cannot be planned; Exhausted if as many queries run as may, or it needs more than its
    /// limits; DeadlineExceeded if it takes too long.
    pub async fn execute(&self, statement: &Statement, limits: QueryLimits) -> Result<QueryResult> {
        let place = self.place().await?;
        let environment = self.project.runtime.environment(limits.memory_bytes)?;
        let deadline = Deadline::of(limits);
        let generation = statement.snapshot().number();
        let columns = statement.columns().cloned();
        let statement = statement.clone();
        let planned = self.cpu.run_aside(async move {
            let plan = statement.physical_plan().await?;
            let context = TaskContext::from(&statement.snapshot().session().state()).with_runtime(environment);
            Ok((plan.schema(), execute_stream(plan, Arc::new(context))?, place))
        });
        let (schema, batches, place) = deadline.or_too_late(planned).await?;
        let schema = columns.clone().unwrap_or(schema);
        let batches = within_limits(batches, limits, place).map(move |batch| match &columns {
            Some(columns) => cast(&batch?, columns),
            None => batch,
        });
        let batches = self.cpu.stream(batches, deadline.passed())?;
        Ok(QueryResult { generation, schema, batches })
    }

    /// Waits for a place among the queries that may run at once.
    async fn place(&self) -> Result<OwnedSemaphorePermit> {
        let waited = timeout(Duration::from_secs(limits::QUERY_WAIT_SECONDS), Arc::clone(&self.slots).acquire_owned());
        waited.await.ok().and_then(std::result::Result::ok).ok_or_else(|| {
            EngineError::new(
                ErrorKind::Exhausted,
                format!(
                    "{} queries are running, as many as may: try again later, or raise `queries_max` in [serve]",
                    self.project.config.serve.queries_max
                ),
            )
        })
    }

    /// Bytes that all queries, refreshes and look-ups together hold now.
    pub fn memory_held_bytes(&self) -> usize {
        self.project.runtime.memory_held_bytes()
    }

    /// All rows of a query over a snapshot, with texts for its parameters, for small answers.
    ///
    /// # Errors
    /// As [`Engine::prepare`], [`Statement::bind_texts`] and [`Engine::execute`].
    pub async fn rows(
        &self,
        snapshot: &Arc<Snapshot>,
        query: &str,
        parameters: &[&str],
        limits: QueryLimits,
    ) -> Result<Vec<RecordBatch>> {
        let statement = self.prepare(snapshot, query, limits).await?.bind_texts(parameters)?;
        self.execute(&statement, limits).await?.batches.try_collect().await
    }

    /// Everything that `sql` gives, for small answers.
    ///
    /// # Errors
    /// As [`Engine::sql`].
    pub async fn collect(&self, query: &str, parameters: &[&str], as_of: Option<u64>) -> Result<Vec<RecordBatch>> {
        self.sql(query, parameters, as_of).await?.batches.try_collect().await
    }

    /// Checks the project: models and the columns that they name, traits, segments and lists; and, once something is published,
    /// the attributes that these name, and the invariants of the newest generation, whose number it returns.
    ///
    /// # Errors
    /// InvalidInput saying file, line and what to do; FailedPrecondition for a broken invariant.
    pub async fn check(&self) -> Result<Option<u64>> {
        let catalog = Catalog::load(built_in::MODELS, &self.project.folder)?;
        let snapshot = self.reload().await?;
        // Which attributes there are is known only from data.
        let published = snapshot.number().is_some().then(|| snapshot.session());
        let session = check::check(&self.project, &catalog, published).boxed().await?;
        if let Some(published) = published {
            check::check_definitions(&self.project, &session, published).boxed().await?;
            check::check_invariants(published).await?;
        }
        Ok(snapshot.number())
    }
}

impl Snapshots {
    fn get(&self, number: u64) -> Option<Arc<Snapshot>> {
        self.newest.iter().chain(&self.older).find(|snapshot| snapshot.number() == Some(number)).cloned()
    }

    fn keep_older(&mut self, snapshot: Arc<Snapshot>) {
        if snapshot.number().is_some_and(|number| self.get(number).is_none()) {
            self.older.push_front(snapshot);
            self.older.truncate(limits::SNAPSHOTS_OPEN_MAX);
        }
    }
}

/// When a query's time is up, and how long that was.
#[derive(Clone, Copy)]
struct Deadline(Option<(Instant, Duration)>);

impl Deadline {
    /// The deadline of what begins now.
    fn of(limits: QueryLimits) -> Self {
        Self(limits.time.map(|time| (Instant::now() + time, time)))
    }

    /// What `work` gives, or an error once the time is up.
    async fn or_too_late<T>(self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.0 {
            Some((deadline, time)) => timeout_at(deadline, work).await.map_err(|_| too_long(time))?,
            None => work.await,
        }
    }

    /// The error of a query whose time is up, once it is.
    async fn passed(self) -> EngineError {
        match self.0 {
            Some((deadline, time)) => {
                sleep_until(deadline).await;
                too_long(time)
            }
            None => std::future::pending().await,
        }
    }
}

fn cast(batch: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch> {
    let cast = batch.columns().iter().zip(columns.fields()).map(|(values, field)| {
        if values.data_type() == field.data_type() {
            Ok(Arc::clone(values))
        } else {
            arrow::compute::cast(values, field.data_type())
        }
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(columns), cast.collect::<Result<Vec<_>, _>>()?, &options)?)
}

/// The answer as long as it keeps its limits; its place is free when it ends or is dropped.
fn within_limits(
    batches: SendableRecordBatchStream,
    limits: QueryLimits,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<RecordBatch>> {
    futures::stream::try_unfold((batches, 0, place), move |(mut batches, rows, place)| async move {
        let Some(batch) = batches.next().await.transpose()? else { return Ok(None) };
        let rows = rows + batch.num_rows() as u64;
        match limits.rows {
            Some(limit) if rows > limit => Err(too_many_rows(limit)),
            _ => Ok(Some((batch, (batches, rows, place)))),
        }
    })
}
