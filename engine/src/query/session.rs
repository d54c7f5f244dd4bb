//! The DataFusion session: one memory pool and one disk manager for the process, UTC, our functions.

use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryLimit, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::limited::PoolShare;
use super::relation::{self, RelationExtensionPlanner, Relations};
use super::{filter_pushdown, generators};
use crate::error::Result;
use crate::store::Lake;

/// The catalog in which plain names are looked up.
pub(crate) const CATALOG: &str = "tessera";

/// What every query of a process shares: memory, spill files, file footers.
#[derive(Clone)]
pub(crate) struct QueryRuntime {
    environment: Arc<RuntimeEnv>,
    threads: usize,
}

impl QueryRuntime {
    /// `memory_bytes` bounds what operators may hold; beyond it they spill or refuse. `threads` is the parallelism of a query.
    pub(crate) fn new(memory_bytes: usize, threads: usize) -> Result<Self> {
        let consumers_named = NonZeroUsize::MIN.saturating_add(4);
        let pool = TrackConsumersPool::new(FairSpillPool::new(memory_bytes), consumers_named);
        let environment = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc()?;
        Ok(Self { environment, threads: threads.max(1) })
    }

    /// Lets queries read the files of `lake`.
    pub(crate) fn register(&self, lake: &Lake) {
        self.environment.register_object_store(lake.root_url.as_ref(), Arc::clone(&lake.root));
    }

    /// What a query runs in: with a share of at most `memory_bytes` of the pool, if it may not have all of it.
    pub(crate) fn environment(&self, memory_bytes: Option<usize>) -> Result<Arc<RuntimeEnv>> {
        let Some(memory_bytes) = memory_bytes else { return Ok(Arc::clone(&self.environment)) };
        let pool = self.share(memory_bytes, "query_memory_max");
        Ok(RuntimeEnvBuilder::from_runtime_env(&self.environment).with_memory_pool(pool).build_arc()?)
    }

    /// A share of at most `memory_bytes` of the pool, which `setting` of [serve] bounds.
    pub(crate) fn share(&self, memory_bytes: usize, setting: &'static str) -> Arc<dyn MemoryPool> {
        Arc::new(PoolShare::new(Arc::clone(&self.environment.memory_pool), memory_bytes, setting))
    }

    /// Bytes that all queries together may hold.
    pub(crate) fn memory_limit_bytes(&self) -> usize {
        match self.environment.memory_pool.memory_limit() {
            MemoryLimit::Finite(bytes) => bytes,
            MemoryLimit::Infinite | MemoryLimit::Unknown => usize::MAX,
        }
    }

    /// What all queries together hold memory of.
    pub(crate) fn pool(&self) -> Arc<dyn MemoryPool> {
        Arc::clone(&self.environment.memory_pool)
    }

    /// Bytes that all queries together hold.
    pub(crate) fn memory_held_bytes(&self) -> usize {
        self.environment.memory_pool.reserved()
    }

    /// A session with nothing registered but `functions` and `relations`, the stages'.
    pub(crate) fn session(&self, functions: &Functions, relations: &Relations) -> Result<SessionContext> {
        let mut config = SessionConfig::new()
            .with_target_partitions(self.threads)
            .with_default_catalog_and_schema(CATALOG, "public")
            .with_create_default_catalog_and_schema(true)
            .with_information_schema(true);
        let options = config.options_mut();
        options.execution.time_zone = Some("UTC".to_owned());
        options.sql_parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
        // Joins of small tables with everything: build the small side once instead of shuffling the large one.
        options.optimizer.hash_join_single_partition_threshold = 64 * 1024 * 1024;
        options.optimizer.hash_join_single_partition_threshold_rows = 1_000_000;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(&self.environment))
            .with_default_features()
            .with_physical_optimizer_rules(filter_pushdown::rules())
            .with_query_planner(Arc::new(Planner))
            .build();
        let context = SessionContext::new_with_state(state);
        generators::bound(&context)?;
        context.register_relation_planner(Arc::new(relation::Planner(relations.clone())))?;
        for function in functions {
            context.state_ref().write().register_udf(Arc::clone(function))?;
        }
        Ok(context)
    }
}

/// Scalar functions that a stage brings.
pub(crate) type Functions = Vec<Arc<datafusion::logical_expr::ScalarUDF>>;

/// DataFusion's planner, which also knows our relations.
#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(RelationExtensionPlanner)])
            .create_physical_plan(plan, session)
            .await
    }
}
