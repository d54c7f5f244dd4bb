//! `connected_components((select a, b from ...))`: a relation `(node, component)` in SQL.
//!
//! The input's rows are edges between text nodes; a node alone is an edge to itself. `component` is the smallest node
//! of the component, so the answer is a pure function of the set of edges. The subquery is planned by DataFusion and
//! wrapped in an extension node; the operator is union-find (Tarjan 1975) with path halving over interned nodes, in one
//! pass, with its memory reserved from the pool.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, FunctionArg, FunctionArgExpr, TableFactor};
use futures::StreamExt;
use hashbrown::HashTable;

const NAME: &str = "connected_components";
const OUTPUT_ROWS: usize = 8192;

/// Plans the relation's subquery and puts the operator on top.
#[derive(Debug)]
pub(crate) struct ComponentsRelationPlanner;

impl RelationPlanner for ComponentsRelationPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table { name, args: Some(arguments), alias, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if !name.to_string().eq_ignore_ascii_case(NAME) {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Subquery(subquery)))] = arguments.args.as_slice()
        else {
            return Err(DataFusionError::Plan(format!("{NAME} takes one query: write {NAME}((select a, b from ...))")));
        };
        let input = context.plan(TableFactor::Derived {
            lateral: false,
            subquery: subquery.clone(),
            alias: None,
            sample: None,
        })?;
        let node = ConnectedComponents::try_new(input)?;
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

/// The operator in a logical plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ConnectedComponents {
    input: LogicalPlan,
    schema: DFSchemaRef,
}

impl PartialOrd for ConnectedComponents {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl ConnectedComponents {
    fn try_new(input: LogicalPlan) -> Result<Self> {
        let fields = input.schema().fields();
        let is_text =
            |field: &Arc<Field>| matches!(field.data_type(), DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8);
        if fields.len() != 2 || !fields.iter().all(is_text) {
            let types: Vec<String> = fields.iter().map(|field| field.data_type().to_string()).collect();
            return Err(DataFusionError::Plan(format!(
                "{NAME} takes two text columns, the ends of an edge; the query has ({})",
                types.join(", ")
            )));
        }
        Ok(Self { input, schema: Arc::new(DFSchema::try_from(output_schema())?) })
    }
}

fn output_schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8View, false);
    Arc::new(Schema::new(vec![text("node"), text("component")]))
}

impl UserDefinedLogicalNodeCore for ConnectedComponents {
    fn name(&self) -> &str {
        "ConnectedComponents"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("ConnectedComponents")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match <[LogicalPlan; 1]>::try_from(inputs) {
            Ok([input]) => Self::try_new(input),
            Err(_) => Err(DataFusionError::Internal(format!("{NAME} has one input"))),
        }
    }
}

/// Turns the logical operator into the physical one.
#[derive(Debug)]
pub(crate) struct ComponentsExtensionPlanner;

#[async_trait]
impl ExtensionPlanner for ComponentsExtensionPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        match (node.as_any().downcast_ref::<ConnectedComponents>(), inputs) {
            (Some(_), [input]) => Ok(Some(Arc::new(ConnectedComponentsExec::new(Arc::clone(input))))),
            _ => Ok(None),
        }
    }
}

/// Union-find over all edges of its input.
#[derive(Debug)]
struct ConnectedComponentsExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl ConnectedComponentsExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(output_schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for ConnectedComponentsExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("ConnectedComponentsExec")
    }
}

impl ExecutionPlan for ConnectedComponentsExec {
    fn name(&self) -> &str {
        "ConnectedComponentsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::UnspecifiedDistribution]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match <[Arc<dyn ExecutionPlan>; 1]>::try_from(children) {
            Ok([input]) => Ok(Arc::new(Self::new(input))),
            Err(_) => Err(DataFusionError::Internal(format!("{NAME} has one input"))),
        }
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let partitions = self.input.output_partitioning().partition_count();
        let inputs = (0..partitions)
            .map(|partition| self.input.execute(partition, Arc::clone(&context)))
            .collect::<Result<Vec<_>>>()?;
        let reservation = MemoryConsumer::new("ConnectedComponents").register(context.memory_pool());
        let batches = async move {
            let mut forest = Forest::new(reservation);
            let mut edges = futures::stream::select_all(inputs);
            while let Some(batch) = edges.next().await {
                forest.add_edges(&batch?)?;
            }
            Ok::<_, DataFusionError>(futures::stream::iter(forest.into_batches()))
        };
        let stream = futures::stream::once(batches).flat_map(|result| match result {
            Ok(batches) => batches.boxed(),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(output_schema(), stream)))
    }
}

/// A union-find forest over interned text nodes.
struct Forest {
    /// All node texts, one after the other.
    bytes: Vec<u8>,
    /// Where each node's text ends.
    ends: Vec<usize>,
    /// Each node's parent; a root is its own.
    parents: Vec<u32>,
    /// Node numbers by their text.
    numbers: HashTable<u32>,
    hasher: std::hash::RandomState,
    reservation: MemoryReservation,
}

impl Forest {
    fn new(reservation: MemoryReservation) -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            parents: Vec::new(),
            numbers: HashTable::new(),
            hasher: std::hash::RandomState::new(),
            reservation,
        }
    }

    fn add_edges(&mut self, batch: &RecordBatch) -> Result<()> {
        let (left, right) = (as_text(batch.column(0))?, as_text(batch.column(1))?);
        let (left, right) = (left.as_string_view(), right.as_string_view());
        for row in 0..batch.num_rows() {
            if left.is_null(row) || right.is_null(row) {
                return Err(DataFusionError::Execution(format!("{NAME}: an end of an edge is null")));
            }
            let a = self.intern(left.value(row))?;
            let b = self.intern(right.value(row))?;
            self.union(a, b);
        }
        self.reserve()
    }

    /// Accounts for what is held: refuses with the pool's error instead of exhausting the machine.
    fn reserve(&mut self) -> Result<()> {
        let held = self.bytes.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.parents.capacity() * size_of::<u32>()
            + self.numbers.allocation_size();
        self.reservation.try_resize(held)
    }

    fn text(&self, node: u32) -> &[u8] {
        text_of(&self.bytes, &self.ends, node)
    }

    fn intern(&mut self, text: &str) -> Result<u32> {
        use std::hash::BuildHasher;
        let hash = self.hasher.hash_one(text.as_bytes());
        let (bytes, ends, hasher) = (&self.bytes, &self.ends, &self.hasher);
        if let Some(&node) = self.numbers.find(hash, |&node| text_of(bytes, ends, node) == text.as_bytes()) {
            return Ok(node);
        }
        let node = u32::try_from(self.parents.len())
            .map_err(|_| DataFusionError::ResourcesExhausted(format!("{NAME}: more than {} nodes", u32::MAX)))?;
        self.numbers.insert_unique(hash, node, |&node| hasher.hash_one(text_of(bytes, ends, node)));
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len());
        self.parents.push(node);
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

    /// `(node, component)` for every node.
    fn into_batches(mut self) -> impl Iterator<Item = Result<RecordBatch>> {
        let count = self.parents.len();
        let mut smallest: Vec<u32> = (0..count as u32).collect();
        for node in 0..count as u32 {
            let root = self.find(node);
            if self.text(node) < self.text(smallest[root as usize]) {
                smallest[root as usize] = node;
            }
        }
        (0..count).step_by(OUTPUT_ROWS).map(move |start| {
            let (mut nodes, mut components) = (StringViewBuilder::new(), StringViewBuilder::new());
            for node in start..(start + OUTPUT_ROWS).min(count) {
                let root = self.find(node as u32);
                nodes.append_value(as_str(self.text(node as u32))?);
                components.append_value(as_str(self.text(smallest[root as usize]))?);
            }
            let columns: Vec<ArrayRef> = vec![Arc::new(nodes.finish()), Arc::new(components.finish())];
            Ok(RecordBatch::try_new(output_schema(), columns)?)
        })
    }
}

fn text_of<'a>(bytes: &'a [u8], ends: &[usize], node: u32) -> &'a [u8] {
    let node = node as usize;
    let start = if node == 0 { 0 } else { ends[node - 1] };
    &bytes[start..ends[node]]
}

fn as_str(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| DataFusionError::Internal(error.to_string()))
}

fn as_text(column: &ArrayRef) -> Result<ArrayRef> {
    Ok(if column.data_type() == &DataType::Utf8View {
        Arc::clone(column)
    } else {
        arrow::compute::cast(column, &DataType::Utf8View)?
    })
}
