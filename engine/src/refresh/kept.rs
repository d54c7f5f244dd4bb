//! What a refresh leaves in memory for the next one of the same process: the identity graph of the generation that it published,
//! the files that evaluating the profiles that it touched has read, and the segments as they were parsed.
//!
//! An incremental refresh resolves the identifiers again that are in a component with a changed one. To find them it reads all
//! identifiers, twice (`sql/identity/touched.sql`); in the graph it looks for those that changed, and for nothing else. The graph
//! is of one generation, and is taken by the refresh that builds on it: if that one fails, or another process publishes, it is
//! read anew.
//!
//! Whoever was touched is anywhere in what is kept of events and in the members of before, so that all of it is read. Those
//! files stay as they are from refresh to refresh, but for the small ones that each adds.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::identity::touched_components::SharedGraph;
use crate::limits;
use crate::model::definition::{Reference, Slice};
use crate::model::workspace::Workspace;
use crate::query::relation::Planner;
use crate::query::session::QueryRuntime;
use crate::segment::ParsedSegments;
use crate::store::TableName;
use crate::store::generation::Generation;
use crate::store::kept_files::KeptFiles;

/// `identity.touched` from the graph.
pub(crate) const TOUCHED: &str = "
    select
        namespace || ':' || value as identifier,
        namespace,
        value,
        profile_id(anchor) as earlier_profile_id,
        ordinal as earlier_ordinal,
        anchor_ordinal as earlier_profile_ordinal
    from touched_components((
        select namespace as a_namespace, value as a_value, namespace as b_namespace, value as b_value from identity.changed
    ))";

/// The columns of which a graph is made.
const IDENTIFIERS: &str =
    "select namespace, value, coalesce(cluster, profile_id) as component, ordinal, profile_ordinal";

/// `identity.touched`.
pub(crate) fn touched() -> TableName {
    TableName::new("identity", "touched")
}

/// `identity.changed_components`, by which `identity.touched` is found without a graph.
pub(crate) fn changed_components() -> TableName {
    TableName::new("identity", "changed_components")
}

fn identities() -> TableName {
    TableName::new("identity", "identities")
}

/// What is kept from refresh to refresh.
#[derive(Debug)]
pub(crate) struct Kept {
    /// What the graph may take of the memory for queries.
    graph_bytes_max: usize,
    /// The graph of the generation that the last refresh published, with the id of that refresh.
    graph: Mutex<Option<(String, SharedGraph)>>,
    files: Arc<KeptFiles>,
    segments: Arc<ParsedSegments>,
}

impl Kept {
    /// Nothing yet; it will take at most a share of the memory for queries.
    pub(crate) fn new(runtime: &QueryRuntime) -> Self {
        let limit = runtime.memory_limit_bytes();
        let files = Arc::new(KeptFiles::new(&runtime.pool(), limit / limits::KEPT_FILES_MEMORY_SHARE));
        let segments = Arc::new(ParsedSegments::new(&runtime.pool()));
        Self { graph_bytes_max: limit / limits::GRAPH_MEMORY_SHARE, graph: Mutex::default(), files, segments }
    }

    /// Lets the session of a refresh use what is kept. Returns the graph of its base, which the session then knows; `None` if there
    /// is no base, or no memory for it.
    pub(crate) async fn take(&self, workspace: &Workspace, base: Option<&Generation>) -> Option<SharedGraph> {
        let state = workspace.session.state_ref();
        state.write().config_mut().set_extension(Arc::clone(&self.files));
        state.write().config_mut().set_extension(Arc::clone(&self.segments));
        let kept = self.graph.lock().unwrap_or_else(PoisonError::into_inner).take();
        let base = base?;
        let kept = kept.filter(|(refresh_id, _)| *refresh_id == base.refresh_id).map(|(_, graph)| graph);
        let graph = match kept {
            Some(graph) => Ok(Some(graph)),
            None => self.read(workspace).await,
        };
        let known = graph.and_then(|graph| {
            let Some(graph) = graph else { return Ok(None) };
            workspace.session.register_relation_planner(Arc::new(Planner(graph.relations())))?;
            Ok(Some(graph))
        });
        known.inspect_err(|error| tracing::info!(%error, "touched identifiers are found by scans")).ok().flatten()
    }

    /// Keeps what the next refresh can use, once this one has published.
    pub(crate) async fn put(&self, workspace: &Workspace, graph: Option<SharedGraph>, refresh_id: &str) {
        self.files.settle();
        tracing::debug!(bytes = self.files.bytes(), "files stay in memory");
        let Some(graph) = graph else { return };
        match settle(workspace, &graph, Slice::New).await {
            Ok(()) => {
                let kept = Some((refresh_id.to_owned(), graph));
                *self.graph.lock().unwrap_or_else(PoisonError::into_inner) = kept;
            }
            Err(error) => tracing::info!(%error, "the identity graph is read anew by the next refresh"),
        }
    }

    /// Reads the graph of the last generation, unless it would take too much memory.
    async fn read(&self, workspace: &Workspace) -> Result<Option<SharedGraph>> {
        let identifiers = workspace.previous.get(&identities()).map_or(0, |(version, _)| version.rows());
        let identifiers = usize::try_from(identifiers).unwrap_or(usize::MAX);
        if identifiers.saturating_mul(limits::GRAPH_IDENTIFIER_BYTES) > self.graph_bytes_max {
            return Ok(None);
        }
        let graph = SharedGraph::new(&workspace.session.runtime_env().memory_pool);
        settle(workspace, &graph, Slice::Previous).await?;
        Ok(Some(graph))
    }
}

/// Takes identifiers into the graph as a slice of their table has them.
async fn settle(workspace: &Workspace, graph: &SharedGraph, slice: Slice) -> Result<()> {
    workspace.register_slices(&BTreeSet::from([Reference { name: identities(), slice }]))?;
    let schema = if slice == Slice::New { "new" } else { "previous" };
    Ok(graph.settle(&workspace.session, &format!("{IDENTIFIERS} from {schema}.{}", identities())).await?)
}
