//! Stage 2: from identifiers to profiles. The tables are SQL under `sql/identity/`; here are the rules that SQL calls.
//!
//! * [`normalize`] brings a value into its namespace's normal form, or drops it.
//! * [`blocklist`] are the values that mean nobody.
//! * [`functions`] take identifier sets apart in SQL.
//! * [`chain`] is how two identifiers hang together, [`explain`] what it takes to tell it, and [`explain_function`] the same in SQL.
//! * [`corrections`] are what somebody knows better than the data; [`correction_log`] keeps those made while serving.
//! * [`sets`] are what one event or record says.
//! * [`graph`] is who is connected with whom, in memory; [`touched_components`] adds links to it in SQL.
//! * [`replay`] takes clusters apart that break the limit of a namespace.

use std::sync::Arc;

use datafusion::prelude::SessionContext;

use crate::config::{IdentityConfig, Namespace};
use crate::error::Result;
use crate::project::JudgeIdentifiers;
use crate::query::connected_components::{ConnectedComponents, Limits};
use crate::query::relation::{Planner, Relation};
use crate::query::session::QueryRuntime;
use touched_components::SharedGraph;

pub(crate) mod blocklist;
pub(crate) mod chain;
pub(crate) mod correction_log;
pub(crate) mod corrections;
pub(crate) mod explain;
pub(crate) mod explain_function;
pub(crate) mod functions;
pub(crate) mod graph;
pub(crate) mod normalize;
mod replay;
pub(crate) mod sets;
pub(crate) mod touched_components;

/// Relations of identity in SQL: `connected_components((select ...))` and `replay_links((select ...))`.
pub(crate) fn relations(config: &IdentityConfig) -> Vec<Arc<dyn Relation>> {
    let limit = |namespace: &Namespace| Some((namespace.name.clone(), namespace.values_max()?));
    let limits = Limits {
        values_max: config.namespaces.iter().filter_map(limit).collect(),
        // In a larger component an identifier may be linked to too many others.
        nodes_max: config.links_max.map(|most| most.saturating_add(1)),
    };
    vec![
        Arc::new(ConnectedComponents { limits: Arc::new(limits) }),
        Arc::new(replay::ReplayLinks { config: Arc::new(config.clone()) }),
    ]
}

/// A DataFusion session that knows the functions and relations of identity, and no lake: for whoever resolves links that
/// are elsewhere. Its operators hold at most `memory_bytes`, on `threads` threads.
///
/// # Errors
/// InvalidInput for identity rules that cannot be used.
pub fn session(config: &IdentityConfig, memory_bytes: usize, threads: usize) -> Result<SessionContext> {
    QueryRuntime::new(memory_bytes, threads)?.session(&functions::functions(config)?, &relations(config))
}

/// Keeps an identity graph in memory: `known` gives the namespace and value of each identifier, a text that names its person, and
/// two numbers, its own and its person's. From then on the session knows `touched_components((select ...))` and `moved_components((select ...))`,
/// which add links to it.
///
/// # Errors
/// Exhausted if there is no memory for it; what the query reports.
pub async fn keep_graph(session: &SessionContext, known: &str) -> Result<()> {
    let graph = SharedGraph::new(&session.runtime_env().memory_pool);
    graph.settle(session, known).await?;
    session.register_relation_planner(Arc::new(Planner(graph.relations())))?;
    Ok(())
}

/// Tells which identifiers name no person, for stages that do not know this one.
///
/// # Errors
/// As [`sets::SetRules::new`].
pub(crate) fn judge(config: &IdentityConfig) -> Result<JudgeIdentifiers> {
    let rules = sets::SetRules::new(config)?;
    Ok(Arc::new(move |identifiers| {
        let pairs = identifiers.iter().map(|(namespace, value)| (&**namespace, &**value));
        rules.collect(pairs, &mut Vec::new())
    }))
}
