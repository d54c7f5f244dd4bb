//! Running a query again that did not fit the memory for queries: with joins that spill, and with connected components
//! found in rounds of SQL, which hold nothing outside tables.
//!
//! The rounds are Borůvka's (1926), with pointer jumping: every live node points at its smallest neighbour, which makes
//! trees; the pointers are followed to the roots; each tree becomes one node, named by its smallest; edges within a tree
//! go. At least two nodes are in each tree, so there are at most log2(n) rounds. The answer is that of the operator, row by
//! row.
//!
//! ```text
//!  pairs ──► edges ──► parents ─► rooted ─► jumped ─► ... ──► names ──┬─► labels
//!              ▲                                                      │
//!              └────────────────────── edges between trees ◄──────────┘
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use datafusion::catalog::MemoryCatalogProviderList;
use datafusion::dataframe::DataFrame;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::col;
use datafusion::prelude::SessionContext;

use super::definition::Model;
use super::workspace::Workspace;
use crate::error::{EngineError, Result};
use crate::query::connected_components::{ConnectedComponents, Limits};
use crate::query::relation;
use crate::store::delta::Version;

/// The fewest with which DataFusion sorts to join.
const PARTITIONS: usize = 2;
/// Rows of a batch.
const BATCH_ROWS: usize = 1024;
/// What a sort keeps for merging before it begins.
const SORT_RESERVATION_BYTES: usize = 1 << 20;

/// Both directions of the edges, each node with its smallest neighbour.
const PARENTS: &str = "
    select node, min(neighbour) as parent
    from (select a as node, b as neighbour from edges union all select b as node, a as neighbour from edges)
    group by node";
/// Of two nodes that point at each other the smaller one is the root. There are no longer circles.
const ROOTED: &str = "
    select
        parents.node,
        case when back.parent = parents.node and parents.node < parents.parent then parents.node else parents.parent end as parent
    from parents
    join parents back on back.node = parents.parent";
/// Each node points where its parent does.
const JUMPED: &str = "
    select parents.node, up.parent, parents.parent <> up.parent as is_moved
    from parents
    join parents up on up.node = parents.parent";
/// The name of each node's tree.
const NAMES: &str = "
    select parents.node, trees.name
    from parents
    join (select parent, min(node) as name from parents group by parent) trees on trees.parent = parents.parent";
const LABELS: &str = "
    select labels.node, coalesce(names.name, labels.component) as component
    from labels
    left join names on names.node = labels.component";
const EDGES: &str = "
    select distinct least(l.name, r.name) as a, greatest(l.name, r.name) as b
    from edges
    join names l on l.node = edges.a
    join names r on r.node = edges.b
    where l.name <> r.name";
/// The components beyond the limits.
const CROWDED: &str = "
    select counted.component
    from (
        select component, split_part(node, ':', 1) as namespace, count(*) as nodes
        from labels
        where strpos(node, ':') > 0
        group by 1, 2
    ) counted
    join limits on limits.namespace = counted.namespace
    where counted.nodes > limits.nodes_max
    union
    select component
    from labels
    group by component
    having count(*) > (select nodes_max from limits where namespace is null)";

impl Workspace {
    /// A plan that gives the rows of `frame` with less memory.
    ///
    /// # Errors
    /// What the queries and the store report.
    pub(crate) async fn frugal(&self, model: &Model, frame: DataFrame) -> Result<DataFrame> {
        let mut plan = frame.logical_plan().clone();
        let mut number = 0;
        while let Some((components, edges)) = relation::first::<ConnectedComponents>(&plan) {
            number += 1;
            let mut rounds = Rounds::new(self, model, number);
            let answer = rounds.run(edges.clone(), &components.limits).await?;
            plan = relation::replaced::<ConnectedComponents>(plan, answer)?;
        }
        Ok(DataFrame::new(spilling(&self.session).state(), plan))
    }
}

/// A session of its own, whose joins spill. Sorts that run at the same time divide the memory, and each holds a batch of
/// every run that it merges: so few run at once, with small batches.
fn spilling(session: &SessionContext) -> SessionContext {
    let mut config = session.copied_config().with_target_partitions(PARTITIONS).with_batch_size(BATCH_ROWS);
    let options = config.options_mut();
    options.optimizer.prefer_hash_join = false;
    options.execution.sort_spill_reservation_bytes = SORT_RESERVATION_BYTES;
    let state = SessionStateBuilder::new_from_existing(session.state())
        .with_config(config)
        .with_catalog_list(Arc::new(MemoryCatalogProviderList::new()))
        .build();
    SessionContext::new_with_state(state)
}

/// The rounds of one graph. Their steps are files of the model's table that no version of it names, so whatever they leave
/// goes before the next refresh.
struct Rounds<'w> {
    workspace: &'w Workspace,
    model: &'w Model,
    session: SessionContext,
    /// Which graph of the query it is.
    graph: usize,
    steps: usize,
}

impl<'w> Rounds<'w> {
    fn new(workspace: &'w Workspace, model: &'w Model, graph: usize) -> Self {
        Self { workspace, model, session: spilling(&workspace.session), graph, steps: 0 }
    }

    /// The component of each node: a plan with the columns of the relation.
    async fn run(&mut self, edges: LogicalPlan, limits: &Limits) -> Result<LogicalPlan> {
        let has_namespaces = edges.schema().fields().len() == 4;
        self.take(edges).await?;
        self.step(
            "labels",
            "select node, node as component from (select a as node from pairs union select b as node from pairs)",
        )
        .await?;
        let live = "select distinct least(a, b) as a, greatest(a, b) as b from pairs where a <> b";
        let mut live = self.step("edges", live).await?;
        while live > 0 {
            self.step("parents", PARENTS).await?;
            self.step("parents", ROOTED).await?;
            loop {
                self.step("parents", JUMPED).await?;
                if self.count("select count(*) from parents where is_moved").await? == 0 {
                    break;
                }
            }
            self.step("names", NAMES).await?;
            self.step("labels", LABELS).await?;
            live = self.step("edges", EDGES).await?;
            tracing::debug!(table = %self.model.name, live, "a round of connected components");
        }
        self.session.register_batch("limits", rows_of(limits)?)?;
        self.step("crowded", CROWDED).await?;
        let node = if has_namespaces {
            "split_part(node, ':', 1) as namespace, substr(node, strpos(node, ':') + 1) as value"
        } else {
            "node"
        };
        let answer = format!(
            "select {node}, labels.component, crowded.component is not null as is_crowded
            from labels
            left join crowded on crowded.component = labels.component"
        );
        Ok(self.session.sql(&answer).await?.into_unoptimized_plan())
    }

    /// Stores the edges, each end as one text.
    async fn take(&mut self, edges: LogicalPlan) -> Result<()> {
        let names: Vec<_> = edges.schema().columns();
        let parts = ["a_namespace", "a_value", "b_namespace", "b_value"];
        let parts = if names.len() == 4 { &parts[..] } else { &["a", "b"] };
        let columns = names.into_iter().zip(parts).map(|(column, part)| col(column).alias(*part));
        let frame = DataFrame::new(self.session.state(), edges).select(columns.collect::<Vec<_>>())?;
        self.session.register_table("given", frame.into_view())?;
        let pairs = match parts.len() {
            4 => "select a_namespace || ':' || a_value as a, b_namespace || ':' || b_value as b from given",
            _ => "select a, b from given",
        };
        self.step("pairs", pairs).await?;
        if self.count("select count(*) from pairs where a is null or b is null").await? > 0 {
            return Err(EngineError::invalid(format!("{}: an end of an edge is null", self.model.file)));
        }
        Ok(())
    }

    /// Stores the rows of `sql` as the table `name` of this session; returns how many there are.
    async fn step(&mut self, name: &str, sql: &str) -> Result<u64> {
        self.steps += 1;
        let part = format!("graph{}-step{}", self.graph, self.steps);
        let frame = self.session.sql(sql).await?;
        let (schema, files) = self.workspace.write(self.model, frame, &part).await?;
        let rows = files.iter().map(|file| file.rows).sum();
        let version =
            Version { name: self.model.name.clone(), number: 0, schema, partition_columns: Vec::new(), files };
        self.session.deregister_table(name)?;
        self.session.register_table(name, self.workspace.scan(version))?;
        Ok(rows)
    }

    async fn count(&self, sql: &str) -> Result<u64> {
        let counted = self.session.sql(sql).await?.collect().await?;
        let counts = counted.iter().filter_map(|batch| batch.column(0).as_primitive_opt::<Int64Type>());
        Ok(counts.flat_map(|counts| counts.iter().flatten()).map(i64::unsigned_abs).sum())
    }
}

/// The most nodes of each namespace, and in all where there is none.
fn rows_of(limits: &Limits) -> Result<RecordBatch> {
    let of_namespaces = limits.values_max.iter().map(|(namespace, most)| (Some(namespace.as_str()), Some(*most)));
    let (namespaces, most): (Vec<_>, Vec<_>) = of_namespaces.chain([(None, limits.nodes_max)]).unzip();
    let most: Int64Array = most.into_iter().map(|most| most.map(i64::from)).collect();
    let columns: [(&str, ArrayRef); 2] =
        [("namespace", Arc::new(StringArray::from(namespaces))), ("nodes_max", Arc::new(most))];
    Ok(RecordBatch::try_from_iter_with_nullable(columns.map(|(name, values)| (name, values, true)))?)
}

#[cfg(test)]
mod tests;
