//! The services of `tessera.v1`, and what they share.
//!
//! * [`profile`], [`identity`], [`segment`], [`behavior`], [`refresh`]: one service a file.
//! * [`call`] counts calls.
//! * [`deadline`] ends those that take longer than their clients give them.
//! * [`convert`] is where rows become messages.
//! * [`status`] is where errors become statuses.
//! * [`page_token`] pins a listing to its generation.

pub(crate) mod behavior;
pub(crate) mod call;
pub(crate) mod convert;
pub(crate) mod deadline;
pub(crate) mod identity;
pub(crate) mod page_token;
pub(crate) mod profile;
pub(crate) mod refresh;
pub(crate) mod segment;
pub(crate) mod status;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use tessera_engine::{Engine, EngineError, QueryLimits, ServeConfig, Snapshot};
use tonic::Status;

use self::status::to_status;

/// What the services read: the newest generation that is open, within the limits of `[serve]`.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) engine: Engine,
    pub(crate) limits: QueryLimits,
}

impl Reader {
    /// Reads `engine` within the limits of its configuration.
    pub(crate) fn new(engine: Engine) -> Self {
        let limits = query_limits(&engine.config().serve);
        Self { engine, limits }
    }

    /// The newest generation.
    ///
    /// # Errors
    /// FAILED_PRECONDITION before the first refresh.
    pub(crate) async fn newest(&self) -> Result<Arc<Snapshot>, Status> {
        match self.engine.current() {
            Some(snapshot) if snapshot.number().is_some() => Ok(snapshot),
            // Published since anybody last looked, or never.
            _ => {
                let snapshot = self.engine.reload().await.map_err(to_status)?;
                match snapshot.number() {
                    Some(_) => Ok(snapshot),
                    None => Err(to_status(EngineError::failed_precondition(
                        "nothing has been refreshed yet: land data and run a refresh",
                    ))),
                }
            }
        }
    }

    /// All rows of a query of ours; texts for its parameters.
    pub(crate) async fn rows(
        &self,
        snapshot: &Arc<Snapshot>,
        query: &str,
        parameters: &[&str],
    ) -> Result<Vec<RecordBatch>, Status> {
        self.engine.rows(snapshot, query, parameters, self.limits).await.map_err(to_status)
    }
}

/// What one query of a client may use.
pub(crate) fn query_limits(serve: &ServeConfig) -> QueryLimits {
    QueryLimits {
        time: serve.query_seconds_max.map(Duration::from_secs),
        rows: serve.query_rows_max,
        memory_bytes: serve.query_memory_max.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
    }
}
