//! `connected_components((select ...))`: a relation in SQL that says which nodes hang together.
//!
//! The query's rows are edges; a node alone is an edge to itself. A node is a text, or a namespace and a value:
//!
//! | the query's columns | the relation's columns |
//! |---|---|
//! | `a`, `b` | `node`, `component`, `is_crowded` |
//! | `a_namespace`, `a_value`, `b_namespace`, `b_value` | `namespace`, `value`, `component`, `is_crowded` |
//!
//! `component` is the smallest node of the component by text, `namespace:value` for a node of two parts, so the answer is
//! a pure function of the set of edges. `is_crowded` tells the nodes of components that are beyond [`Limits`].
//!
//! The operator is union-find (Tarjan 1975) with path halving over numbered nodes, in one pass, with its memory reserved
//! from the pool. Each partition of the edges has a forest of its own; then one absorbs the others, for a forest has the
//! same components as the edges that it comes from. What was seen together once is often seen together again: edges that
//! repeat one of the latest are left out before their ends are looked up.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, StringViewArray, StringViewBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;

use super::forest::{Forest, Node, Rows};
use super::latest_edges::LatestEdges;
use super::relation::{Operator, Output, Relation};

const NAME: &str = "connected_components";
const OUTPUT_ROWS: u32 = 8192;

/// The relation.
#[derive(Debug, Default)]
pub(crate) struct ConnectedComponents {
    pub(crate) limits: Arc<Limits>,
}

/// What a component may have before it is crowded.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// The most nodes of a namespace; a text's namespace is what is before its first `:`.
    pub(crate) values_max: Vec<(String, u32)>,
    /// The most nodes in all.
    pub(crate) nodes_max: Option<u32>,
}

impl Relation for ConnectedComponents {
    fn name(&self) -> &'static str {
        NAME
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        let is_text = |field: &Arc<Field>| match field.data_type() {
            DataType::Dictionary(_, values) => values.is_string(),
            other => other.is_string(),
        };
        let columns = input.fields();
        if ![2, 4].contains(&columns.len()) || !columns.iter().all(is_text) {
            let types: Vec<String> = columns.iter().map(|field| field.data_type().to_string()).collect();
            return Err(DataFusionError::Plan(format!(
                "{NAME} takes the ends of an edge, two text columns, or four: namespace and value of each; the query has ({})",
                types.join(", ")
            )));
        }
        Ok(output_schema(columns.len() == 4))
    }

    fn partition_by(&self) -> &'static [&'static str] {
        &[]
    }

    fn operator(&self, reservation: MemoryReservation) -> Box<dyn Operator> {
        let limits = Arc::clone(&self.limits);
        let (forest, latest, ends) = Default::default();
        Box::new(Components { forest, latest, ends, limits, reservation })
    }
}

fn output_schema(has_namespaces: bool) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8View, false);
    let node = if has_namespaces { vec![text("namespace"), text("value")] } else { vec![text("node")] };
    Arc::new(Schema::new([node, vec![text("component"), Field::new("is_crowded", DataType::Boolean, false)]].concat()))
}

/// The forest of some edges.
struct Components {
    forest: Forest,
    latest: LatestEdges,
    /// The ends of a batch's edges, kept for their memory.
    ends: [(Rows, Vec<Node>); 2],
    limits: Arc<Limits>,
    reservation: MemoryReservation,
}

impl Operator for Components {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.columns().iter().any(|column| column.logical_null_count() > 0) {
            return Err(DataFusionError::Execution(format!("{NAME}: an end of an edge is null")));
        }
        let width = batch.num_columns() / 2;
        for ((rows, _), end) in self.ends.iter_mut().zip(batch.columns().chunks(width)) {
            match end {
                [namespaces, values] => self.forest.read(Some(namespaces), values, rows)?,
                [values, ..] => self.forest.read(None, values, rows)?,
                [] => {}
            }
        }
        let [(a, a_nodes), (b, b_nodes)] = &mut self.ends;
        let new = self.latest.new_among(&a.fingerprints, &b.fingerprints);
        self.forest.nodes(a, &new, a_nodes)?;
        self.forest.nodes(b, &new, b_nodes)?;
        for (&a, &b) in a_nodes.iter().zip(b_nodes.iter()) {
            self.forest.union(a, b);
        }
        self.latest.grow(self.forest.len());
        self.reserve()
    }

    fn absorb(&mut self, other: Box<dyn Operator>) -> Result<()> {
        let other: Box<dyn Any> = other;
        let other: Box<Self> =
            other.downcast().map_err(|_| DataFusionError::Internal(format!("{NAME} absorbs only its own kind")))?;
        self.latest = LatestEdges::default();
        self.forest.absorb(&other.forest)?;
        self.reserve()
    }

    fn finish(mut self: Box<Self>, parts: usize) -> Vec<Output> {
        self.forest.flatten();
        let (smallest, is_crowded) = (self.forest.smallest(), self.forest.crowded(&self.limits));
        let trees = Arc::new(Trees { forest: self.forest, smallest, is_crowded, _held: self.reservation });
        let of_part = |part: usize| {
            let trees = Arc::clone(&trees);
            let starts = (0..trees.forest.len()).step_by(OUTPUT_ROWS as usize).skip(part).step_by(parts);
            Box::new(starts.map(move |start| trees.batch(start..trees.forest.len().min(start + OUTPUT_ROWS)))) as Output
        };
        (0..parts).map(of_part).collect()
    }
}

impl Components {
    /// Refuses with the pool's error instead of exhausting the machine.
    fn reserve(&mut self) -> Result<()> {
        self.reservation.try_resize(self.forest.allocated_bytes() + self.latest.allocated_bytes())
    }
}

/// A forest of all edges, and what is known of its roots.
struct Trees {
    forest: Forest,
    smallest: Vec<Node>,
    is_crowded: Vec<bool>,
    _held: MemoryReservation,
}

impl Trees {
    /// Some nodes with their components.
    fn batch(&self, nodes: Range<Node>) -> Result<RecordBatch> {
        let rows = nodes.len();
        let roots: Vec<Node> = nodes.clone().map(|node| self.forest.flat_root(node)).collect();
        let components: Vec<Node> = roots.iter().map(|&root| self.smallest[root as usize]).collect();
        let is_crowded: Vec<bool> = roots.iter().map(|&root| self.is_crowded[root as usize]).collect();
        let mut values = StringViewBuilder::with_capacity(rows);
        nodes.clone().for_each(|node| values.append_value(self.forest.value(node)));
        self.forest.fetch(&components);
        let mut texts = StringViewBuilder::with_capacity(rows);
        let mut whole = String::new();
        for component in components {
            self.forest.write(component, &mut whole);
            texts.append_value(&whole);
        }
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(values.finish()), Arc::new(texts.finish()), Arc::new(BooleanArray::from(is_crowded))];
        let has_namespaces = self.forest.namespace_name(nodes.start).is_some();
        if has_namespaces {
            let names = nodes.map(|node| self.forest.namespace_name(node).unwrap_or_default());
            columns.insert(0, Arc::new(StringViewArray::from_iter_values(names)));
        }
        Ok(RecordBatch::try_new(output_schema(has_namespaces), columns)?)
    }
}
