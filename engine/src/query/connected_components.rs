//! `connected_components((select ...))`: a relation in SQL that says which nodes hang together.
//!
//! The query's rows are edges; a node alone is an edge to itself. A node is a text, or a namespace and a value:
//!
//! | the query's columns | the relation's columns |
//! |---|---|
//! | `a`, `b` | `node`, `component` |
//! | `a_namespace`, `a_value`, `b_namespace`, `b_value` | `namespace`, `value`, `component` |
//!
//! `component` is the smallest node of the component by text, `namespace:value` for a node of two parts, so the answer is
//! a pure function of the set of edges. The operator is union-find (Tarjan 1975) with path halving over numbered nodes, in
//! one pass, with its memory reserved from the pool. Each partition of the edges has a forest of its own; then one absorbs
//! the others, for a forest has the same components as the edges that it comes from.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray, StringViewBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;

use super::forest::{Forest, Node};
use super::functions::text;
use super::relation::{Operator, Output, Relation};

/// Its name in SQL.
pub(crate) const NAME: &str = "connected_components";
const OUTPUT_ROWS: u32 = 8192;

/// The relation.
#[derive(Debug)]
pub(crate) struct ConnectedComponents;

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
        Box::new(Components { forest: Forest::default(), ends: Default::default(), reservation })
    }
}

fn output_schema(has_namespaces: bool) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8View, false);
    let node = if has_namespaces { vec![text("namespace"), text("value")] } else { vec![text("node")] };
    Arc::new(Schema::new([node, vec![text("component")]].concat()))
}

/// The forest of some edges.
struct Components {
    forest: Forest,
    /// The ends of a batch's edges, kept for their memory.
    ends: [Vec<Node>; 2],
    reservation: MemoryReservation,
}

impl Operator for Components {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.columns().iter().any(|column| column.logical_null_count() > 0) {
            return Err(DataFusionError::Execution(format!("{NAME}: an end of an edge is null")));
        }
        let width = batch.num_columns() / 2;
        for (nodes, end) in self.ends.iter_mut().zip(batch.columns().chunks(width)) {
            match end {
                [namespaces, values] => self.forest.nodes(Some(namespaces), &text(values)?, nodes)?,
                [values, ..] => self.forest.nodes(None, &text(values)?, nodes)?,
                [] => {}
            }
        }
        for (&a, &b) in self.ends[0].iter().zip(&self.ends[1]) {
            self.forest.union(a, b);
        }
        self.reserve()
    }

    fn absorb(&mut self, other: Box<dyn Operator>) -> Result<()> {
        let other: Box<dyn Any> = other;
        let other: Box<Self> =
            other.downcast().map_err(|_| DataFusionError::Internal(format!("{NAME} absorbs only its own kind")))?;
        self.forest.absorb(&other.forest)?;
        self.reserve()
    }

    fn finish(mut self: Box<Self>) -> Output {
        let smallest = self.forest.smallest();
        let counts: Vec<u32> = self.forest.spaces().map(|(_, count)| count).collect();
        let batches = (0..).zip(counts).flat_map(|(space, count)| {
            let ends = move |start: u32| (space, start..count.min(start + OUTPUT_ROWS));
            (0..count).step_by(OUTPUT_ROWS as usize).map(ends)
        });
        Box::new(batches.map(move |(space, numbers)| self.batch(space, numbers, &smallest)))
    }
}

impl Components {
    /// Refuses with the pool's error instead of exhausting the machine.
    fn reserve(&mut self) -> Result<()> {
        self.reservation.try_resize(self.forest.allocated_bytes())
    }

    /// Some nodes of a namespace, with their components.
    fn batch(&mut self, space: u32, numbers: Range<u32>, smallest: &[Vec<Node>]) -> Result<RecordBatch> {
        let rows = numbers.len();
        let roots: Vec<Node> = numbers.clone().map(|number| self.forest.root((space, number))).collect();
        let components: Vec<Node> = roots.into_iter().map(|root| smallest[root.0 as usize][root.1 as usize]).collect();
        let mut nodes = StringViewBuilder::with_capacity(rows);
        numbers.for_each(|number| nodes.append_value(self.forest.value((space, number))));
        self.forest.fetch(&components);
        let mut texts = StringViewBuilder::with_capacity(rows);
        let mut whole = String::new();
        for component in components {
            self.forest.write(component, &mut whole);
            texts.append_value(&whole);
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(nodes.finish()), Arc::new(texts.finish())];
        if let Some((Some(name), _)) = self.forest.spaces().nth(space as usize) {
            columns.insert(0, Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(name, rows))));
        }
        Ok(RecordBatch::try_new(output_schema(columns.len() == 3), columns)?)
    }
}
