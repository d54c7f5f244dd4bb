//! `connected_components((select a, b from ...))`: a relation `(node, component)` in SQL.
//!
//! The input's rows are edges between text nodes; a node alone is an edge to itself. `component` is the smallest node
//! of the component, so the answer is a pure function of the set of edges. The operator is union-find (Tarjan 1975) with
//! path halving over interned nodes, in one pass, with its memory reserved from the pool.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;

use super::functions::text;
use super::interner::Interner;
use super::relation::{Operator, Output, Relation};

const NAME: &str = "connected_components";
const OUTPUT_ROWS: usize = 8192;

/// The relation.
#[derive(Debug)]
pub(crate) struct ConnectedComponents;

impl Relation for ConnectedComponents {
    fn name(&self) -> &'static str {
        NAME
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        let is_text =
            |field: &Field| matches!(field.data_type(), DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8);
        if input.fields().len() != 2 || !input.fields().iter().all(|field| is_text(field)) {
            let types: Vec<String> = input.fields().iter().map(|field| field.data_type().to_string()).collect();
            return Err(DataFusionError::Plan(format!(
                "{NAME} takes two text columns, the ends of an edge; the query has ({})",
                types.join(", ")
            )));
        }
        Ok(output_schema())
    }

    fn partition_by(&self) -> &'static [&'static str] {
        &[]
    }

    fn operator(&self, reservation: MemoryReservation) -> Box<dyn Operator> {
        Box::new(Forest { nodes: Interner::default(), parents: Vec::new(), reservation })
    }
}

fn output_schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8View, false);
    Arc::new(Schema::new(vec![text("node"), text("component")]))
}

/// A union-find forest over interned text nodes.
struct Forest {
    nodes: Interner,
    /// Each node's parent; a root is its own.
    parents: Vec<u32>,
    reservation: MemoryReservation,
}

impl Operator for Forest {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let (left, right) = (text(batch.column(0))?, text(batch.column(1))?);
        for row in 0..batch.num_rows() {
            if left.is_null(row) || right.is_null(row) {
                return Err(DataFusionError::Execution(format!("{NAME}: an end of an edge is null")));
            }
            let a = self.node(left.value(row))?;
            let b = self.node(right.value(row))?;
            self.union(a, b);
        }
        // Refuses with the pool's error instead of exhausting the machine.
        self.reservation.try_resize(self.nodes.allocated_bytes() + self.parents.capacity() * size_of::<u32>())
    }

    fn finish(mut self: Box<Self>) -> Output {
        let count = self.parents.len();
        let mut smallest: Vec<u32> = (0..count as u32).collect();
        for node in 0..count as u32 {
            let root = self.find(node) as usize;
            if self.nodes.text(node) < self.nodes.text(smallest[root]) {
                smallest[root] = node;
            }
        }
        Box::new((0..count).step_by(OUTPUT_ROWS).map(move |start| {
            let (mut nodes, mut components) = (StringViewBuilder::new(), StringViewBuilder::new());
            for node in start..(start + OUTPUT_ROWS).min(count) {
                let root = self.find(node as u32) as usize;
                nodes.append_value(self.nodes.text(node as u32));
                components.append_value(self.nodes.text(smallest[root]));
            }
            let columns: Vec<ArrayRef> = vec![Arc::new(nodes.finish()), Arc::new(components.finish())];
            Ok(RecordBatch::try_new(output_schema(), columns)?)
        }))
    }
}

impl Forest {
    fn node(&mut self, text: &str) -> Result<u32> {
        let node = self.nodes.number(text)?;
        if node as usize == self.parents.len() {
            self.parents.push(node);
        }
        Ok(node)
    }

    fn find(&mut self, mut node: u32) -> u32 {
        while self.parents[node as usize] != node {
            let grandparent = self.parents[self.parents[node as usize] as usize];
            self.parents[node as usize] = grandparent;
            node = grandparent;
        }
        node
    }

    /// Hangs the younger root under the older one: numbers only shrink towards the root, so trees stay flat enough.
    fn union(&mut self, a: u32, b: u32) {
        let (a, b) = (self.find(a), self.find(b));
        if a != b {
            self.parents[a.max(b) as usize] = a.min(b);
        }
    }
}
