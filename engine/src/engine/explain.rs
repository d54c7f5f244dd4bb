//! Why two identifiers are one person, or are not, for whoever serves it.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::Engine;
use crate::error::{EngineError, Result};
use crate::identity::explain::{self, ExplainedLink, Explanation, Tables};
use crate::query::limited::QueryLimits;
use crate::snapshot::Snapshot;

/// The tables of a snapshot, within what a caller may take.
struct Limited<'a> {
    engine: &'a Engine,
    snapshot: &'a Arc<Snapshot>,
    limits: QueryLimits,
}

impl Tables for Limited<'_> {
    async fn rows(&self, query: &str, parameters: &[&str], rows_max: u64) -> Result<Vec<RecordBatch>> {
        let limits = QueryLimits { rows: Some(rows_max), ..self.limits };
        self.engine.rows(self.snapshot, query, parameters, limits).await
    }
}

impl Engine {
    /// Namespace and value of an identifier, `namespace:value` as it arrives, in the form in which it is stored. Messages call it
    /// `which`, such as "the first identifier".
    ///
    /// # Errors
    /// InvalidInput if it has no namespace, or a value that its namespace's rule drops, and why.
    pub fn read_identifier(&self, which: &str, written: &str) -> Result<(String, String)> {
        let (namespace, value) = self.normalizer.read(which, written).map_err(EngineError::invalid)?;
        Ok((namespace.to_owned(), value.into_owned()))
    }

    /// The links among the identifiers of a profile, and those that would connect it to others but do not count.
    ///
    /// # Errors
    /// Exhausted for more links than can be shown; as [`Engine::execute`].
    pub async fn identity_graph(
        &self,
        snapshot: &Arc<Snapshot>,
        profile_id: &str,
        limits: QueryLimits,
    ) -> Result<Vec<ExplainedLink>> {
        explain::graph(&Limited { engine: self, snapshot, limits }, profile_id).await
    }

    /// Explains why the identifiers `a` and `b`, each a namespace and a normalised value, are one person, or are not.
    ///
    /// # Errors
    /// NotFound if nobody has one of them; Exhausted if they are connected with more links than can be looked through;
    /// as [`Engine::execute`].
    pub async fn explain(
        &self,
        snapshot: &Arc<Snapshot>,
        a: (&str, &str),
        b: (&str, &str),
        limits: QueryLimits,
    ) -> Result<Explanation> {
        explain::explain(&Limited { engine: self, snapshot, limits }, a, b).await
    }
}
