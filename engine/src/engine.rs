//! [`Engine`]: the one type that the command line and the servers call.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{SQLOptions, SessionContext};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use crate::clock::{Clock, Micros};
use crate::config::ProjectConfig;
use crate::error::{EngineError, Result};
use crate::identity::normalize::Normalizer;
use crate::landing::{self, BatchReport, Input};
use crate::model::built_in;
use crate::model::catalog::Catalog;
use crate::progress::Progress;
use crate::project::Project;
use crate::query::catalog::{register, register_view};
use crate::query::session::{CATALOG, QueryRuntime};
use crate::refresh::report::RefreshReport;
use crate::refresh::run;
use crate::refresh::{check, ledger};
use crate::store::delta::{Table, Version};
use crate::store::generation::{self, Generation};
use crate::store::scan::Scan;
use crate::store::{Lake, TableName};
use crate::{behavior, identity, profile, segment};

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
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Engine({:?})", self.project.lake)
    }
}

impl Engine {
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
        let runtime = QueryRuntime::new(&lake, memory, threads)?;
        let mut functions = identity::functions::functions(&options.config.identity)?;
        functions.extend(profile::functions());
        functions.extend(behavior::functions());
        let relations = behavior::relations(&options.config.behavior);
        let normalizer = Normalizer::new(&options.config.identity)?;
        let is_usable = Arc::new(move |namespace: &str, value: &str| normalizer.normalize(namespace, value).is_some());
        let project = Project {
            is_usable,
            folder: options.project,
            config: options.config,
            lake,
            clock: options.clock,
            threads,
            runtime,
            functions,
            relations,
        };
        Ok(Self { project: Arc::new(project) })
    }

    /// Lands inputs of a source. Each input is one batch: it lands whole or not at all, and only once.
    ///
    /// # Errors
    /// NotFound for an unknown source; InvalidInput for an input that cannot be read to its end. Inputs before it stay landed.
    pub async fn ingest(&self, source: &str, inputs: Vec<Input>, progress: &Progress) -> Result<Vec<BatchReport>> {
        self.project.lake.verify_conditional_put().await?;
        landing::ingest(&self.project, source, inputs, progress).await
    }

    /// Brings every derived table up to date and publishes a generation. `full` computes everything anew.
    ///
    /// # Errors
    /// Conflict while another refresh runs; FailedPrecondition if a check fails. The last generation stays served.
    pub async fn refresh(&self, full: bool, progress: &Progress) -> Result<RefreshReport> {
        self.project.lake.verify_conditional_put().await?;
        run::refresh(&self.project, full, progress).await
    }

    /// Runs a query on the newest generation, or on generation `as_of`. `$1`, `$2`, ... stand for `parameters`.
    ///
    /// # Errors
    /// InvalidInput for SQL that is wrong or not read-only; NotFound for a generation that does not exist;
    /// FailedPrecondition for tables before the first refresh.
    pub async fn sql(&self, query: &str, parameters: &[&str], as_of: Option<u64>) -> Result<QueryResult> {
        let (session, generation) = self.reading_session(as_of).await?;
        let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let mut frame = session.sql_with_options(query, read_only).await.map_err(|error| match generation {
            Some(_) => EngineError::from(error),
            None => {
                EngineError::failed_precondition("nothing has been refreshed yet: land data and run `tessera refresh`")
                    .with_source(error)
            }
        })?;
        if !parameters.is_empty() {
            frame = frame
                .with_param_values(parameters.iter().map(|value| ScalarValue::from(*value)).collect::<Vec<_>>())?;
        }
        let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
        let stream: SendableRecordBatchStream = frame.execute_stream().await?;
        Ok(QueryResult { generation, schema, batches: stream.map(|batch| Ok(batch?)).boxed() })
    }

    /// An identifier, `namespace:value`, in the form in which it is stored.
    ///
    /// # Errors
    /// InvalidInput if it has no namespace, or a value that its namespace's rule drops.
    pub fn normalized(&self, identifier: &str) -> Result<(String, String)> {
        let wrong =
            |what: &str| EngineError::invalid(format!("{what}: write namespace:value, such as email:ada@example.com"));
        let (namespace, value) = identifier.split_once(':').ok_or_else(|| wrong("the identifier has no namespace"))?;
        let normalizer = Normalizer::new(&self.project.config.identity)?;
        let value = normalizer
            .normalize(namespace, value)
            .ok_or_else(|| wrong("the value is blocked, or not one of its namespace"))?;
        Ok((namespace.to_owned(), value.into_owned()))
    }

    /// Everything that `sql` gives, for small answers.
    ///
    /// # Errors
    /// As [`Engine::sql`].
    pub async fn collect(&self, query: &str, parameters: &[&str], as_of: Option<u64>) -> Result<Vec<RecordBatch>> {
        self.sql(query, parameters, as_of).await?.batches.try_collect().await
    }

    /// Checks the project: models and the columns that they name; and, once something is published, segments and the
    /// invariants of the newest generation, whose number it returns.
    ///
    /// # Errors
    /// InvalidInput saying file, line and what to do; FailedPrecondition for a broken invariant.
    pub async fn check(&self) -> Result<Option<u64>> {
        let catalog = Catalog::load(built_in::MODELS, &self.project.folder)?;
        check::check(&self.project, &catalog).await?;
        let files = segment::load(&self.project.folder)?;
        let (session, generation) = self.reading_session(None).await?;
        // Which attributes there are is known only from data.
        if generation.is_some() {
            segment::parse(&session, &files).await?;
            check::check_invariants(&session).await?;
        }
        Ok(generation)
    }

    /// A session that reads one generation.
    async fn reading_session(&self, as_of: Option<u64>) -> Result<(SessionContext, Option<u64>)> {
        let generation = match as_of {
            Some(number) => Some(generation::read(&self.project.lake, number).await?),
            None => generation::latest(&self.project.lake).await?,
        };
        let session = self.project.session()?;
        for name in ledger::tables() {
            if let Some(version) = Table::new(&self.project.lake, &name).open(None).await? {
                register(&session, CATALOG, &name, Arc::new(Scan::new(&self.project.lake, version)))?;
            }
        }
        if let Some(generation) = &generation {
            self.register_generation(&session, generation).await?;
        }
        Ok((session, generation.map(|generation| generation.number)))
    }

    async fn register_generation(&self, session: &SessionContext, generation: &Generation) -> Result<()> {
        let opened = futures::future::try_join_all(
            generation.tables.iter().map(|(name, table)| self.open_version(name, table.version)),
        )
        .await?;
        for version in opened {
            let name = version.name.clone();
            register(session, CATALOG, &name, Arc::new(Scan::new(&self.project.lake, version)))?;
        }
        for (name, sql) in &generation.views {
            register_view(session, &TableName::parse(name)?, sql).await?;
        }
        Ok(())
    }

    async fn open_version(&self, name: &str, version: u64) -> Result<Version> {
        let name = TableName::parse(name)?;
        let opened = Table::new(&self.project.lake, &name).open(Some(version)).await?;
        opened.ok_or_else(|| {
            EngineError::corrupt(format!(
                "the lake does not hold version {version} of table `{name}`, which its generation names"
            ))
        })
    }

    /// The newest generation's number and the instant of its publication, microseconds since 1970 UTC.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn latest_generation(&self) -> Result<Option<(u64, Micros)>> {
        Ok(generation::latest(&self.project.lake).await?.map(|generation| (generation.number, generation.published_at)))
    }
}
