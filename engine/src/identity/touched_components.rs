//! `touched_components((select ...))` and `moved_components((select ...))`: relations in SQL that add links to an
//! [`IdentityGraph`] in memory. The query has four texts, namespace and value of both ends of each link; an identifier alone is
//! linked to itself.
//!
//! * `touched_components` gives everybody in the components that the links touch, as the generation has them: `namespace`,
//!   `value`, `ordinal`, `anchor` (that of the profile, a text `namespace:value`) and `anchor_ordinal`; the last three are null
//!   for those whom it has not.
//! * `moved_components` gives those whom the links bring into another component, and the new ones: `namespace`, `value`, and
//!   `component`, the smallest identifier of it, as `connected_components` names it.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, StringViewBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::prelude::SessionContext;
use futures::StreamExt;

use super::graph::IdentityGraph;
use crate::query::forest::{Forest, Node};
use crate::query::relation::{Operator, Output, Relation, Relations};

const OUTPUT_ROWS: usize = 8192;

/// A graph that relations add links to, with the memory that it takes.
#[derive(Clone)]
pub(crate) struct SharedGraph(Arc<(RwLock<IdentityGraph>, MemoryReservation)>);

impl fmt::Debug for SharedGraph {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SharedGraph")
    }
}

impl SharedGraph {
    /// One without identifiers.
    pub(crate) fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        let held = MemoryConsumer::new("identity graph").register(pool);
        Self(Arc::new((RwLock::default(), held)))
    }

    /// Takes identifiers as a generation has them, in place of all that links touched: a query's `namespace`, `value`, a text that
    /// names the component, the identifier's ordinal and its profile's.
    ///
    /// # Errors
    /// Exhausted if there is no memory for them; what the query reports.
    pub(crate) async fn settle(&self, session: &SessionContext, query: &str) -> Result<()> {
        let mut rows = session.sql(query).await?.execute_stream().await?;
        let mut settling = self.write().settle();
        while let Some(batch) = rows.next().await {
            let mut graph = self.write();
            settling.push(&mut graph, &batch?)?;
            self.0.1.try_resize(graph.allocated_bytes())?;
        }
        settling.finish(&mut self.write());
        Ok(())
    }

    /// The relations that add links to it.
    pub(crate) fn relations(&self) -> Relations {
        let relation = |whom| Arc::new(GraphRelation { graph: self.clone(), whom }) as Arc<dyn Relation>;
        vec![relation(Whom::Touched), relation(Whom::Moved)]
    }

    fn add(&self, links: &RecordBatch) -> Result<()> {
        let mut graph = self.write();
        graph.add(links)?;
        self.0.1.resize(graph.allocated_bytes());
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, IdentityGraph> {
        self.0.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, IdentityGraph> {
        self.0.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom a relation gives.
#[derive(Debug, Clone, Copy)]
enum Whom {
    Touched,
    Moved,
}

/// One of the relations.
#[derive(Debug)]
struct GraphRelation {
    graph: SharedGraph,
    whom: Whom,
}

impl Relation for GraphRelation {
    fn name(&self) -> &'static str {
        match self.whom {
            Whom::Touched => "touched_components",
            Whom::Moved => "moved_components",
        }
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        let is_text = |field: &Arc<Field>| match field.data_type() {
            DataType::Dictionary(_, values) => values.is_string(),
            other => other.is_string(),
        };
        if input.fields().len() != 4 || !input.fields().iter().all(is_text) {
            let name = self.name();
            return Err(DataFusionError::Plan(format!("{name} takes four texts: namespace and value of both ends")));
        }
        Ok(self.whom.schema())
    }

    fn partition_by(&self) -> &'static [&'static str] {
        &[]
    }

    fn operator(&self, _: MemoryReservation) -> Box<dyn Operator> {
        // What links add to the graph is in the graph's own reservation.
        Box::new(Adding { graph: self.graph.clone(), whom: self.whom })
    }
}

impl Whom {
    fn schema(self) -> SchemaRef {
        let text = |name: &str, is_nullable| Field::new(name, DataType::Utf8View, is_nullable);
        let number = |name: &str| Field::new(name, DataType::Int64, true);
        let identifier = vec![text("namespace", false), text("value", false)];
        let more = match self {
            Self::Touched => vec![number("ordinal"), text("anchor", true), number("anchor_ordinal")],
            Self::Moved => vec![text("component", false)],
        };
        Arc::new(Schema::new([identifier, more].concat()))
    }
}

/// Adds some of the links.
struct Adding {
    graph: SharedGraph,
    whom: Whom,
}

impl Operator for Adding {
    fn push(&mut self, links: &RecordBatch) -> Result<()> {
        self.graph.add(links)
    }

    fn absorb(&mut self, other: Box<dyn Operator>) -> Result<()> {
        let other: Box<dyn Any> = other;
        match other.downcast::<Self>() {
            Ok(_) => Ok(()), // what it was given is in the graph
            Err(_) => Err(DataFusionError::Internal("links were added to something else".to_owned())),
        }
    }

    fn finish(self: Box<Self>, parts: usize) -> Vec<Output> {
        let mut graph = self.graph.write();
        let moved = graph.join();
        let (nodes, anchors) = match self.whom {
            Whom::Touched => {
                let touched = graph.touched();
                let anchors = graph.anchors(&touched);
                (touched, anchors)
            }
            Whom::Moved => (moved, HashMap::new()),
        };
        drop(graph);
        let answer = Arc::new(Answer { graph: self.graph, whom: self.whom, nodes, anchors });
        let of_part = |part: usize| {
            let answer = Arc::clone(&answer);
            let starts = (0..answer.nodes.len()).step_by(OUTPUT_ROWS).skip(part).step_by(parts);
            Box::new(starts.map(move |start| answer.batch(start))) as Output
        };
        (0..parts).map(of_part).collect()
    }
}

/// Who is to be given.
struct Answer {
    graph: SharedGraph,
    whom: Whom,
    nodes: Vec<Node>,
    /// The anchors of their profiles, by ordinal.
    anchors: HashMap<i64, Node>,
}

impl Answer {
    /// The rows from `start` on.
    fn batch(&self, start: usize) -> Result<RecordBatch> {
        let nodes = &self.nodes[start..self.nodes.len().min(start + OUTPUT_ROWS)];
        let graph = self.graph.read();
        let forest = graph.forest();
        forest.fetch(nodes);
        let namespaces = nodes.iter().map(|&node| forest.namespace_name(node).unwrap_or_default());
        let values = nodes.iter().map(|&node| forest.value(node));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from_iter_values(namespaces)),
            Arc::new(StringViewArray::from_iter_values(values)),
        ];
        match self.whom {
            Whom::Touched => {
                let known = || nodes.iter().map(|&node| graph.known(node));
                let anchors = known().map(|known| self.anchors.get(&known?.profile_ordinal).copied());
                columns.push(Arc::new(Int64Array::from_iter(known().map(|known| Some(known?.ordinal)))));
                columns.push(texts(forest, anchors));
                columns.push(Arc::new(Int64Array::from_iter(known().map(|known| Some(known?.profile_ordinal)))));
            }
            Whom::Moved => columns.push(texts(forest, nodes.iter().map(|&node| Some(graph.component(node))))),
        }
        Ok(RecordBatch::try_new(self.whom.schema(), columns)?)
    }
}

/// Identifiers as texts `namespace:value`.
fn texts(forest: &Forest, nodes: impl Iterator<Item = Option<Node>>) -> ArrayRef {
    let mut texts = StringViewBuilder::new();
    let mut whole = String::new();
    for node in nodes {
        match node {
            Some(node) => {
                forest.write(node, &mut whole);
                texts.append_value(&whole);
            }
            None => texts.append_null(),
        }
    }
    Arc::new(texts.finish())
}
