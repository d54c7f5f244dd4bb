//! Relations in SQL that an operator of ours computes from a query: `name((select ...))`.
//!
//! DataFusion plans the inner query; the planner here puts a node on top of it, and the extension planner turns the node
//! into an execution plan that feeds the operator. An operator sees all rows that it must see together: all of them, or
//! all with equal values in the columns that its relation names.

use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, FunctionArg, FunctionArgExpr, TableFactor};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, TryFutureExt};

/// Batches that an operator gives once it has seen all rows.
pub(crate) type Output = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// A relation that SQL can name.
pub(crate) trait Relation: Any + fmt::Debug + Send + Sync {
    /// Its name in SQL.
    fn name(&self) -> &'static str;

    /// The columns that it gives for a query with the columns `input`.
    ///
    /// # Errors
    /// A plan error if the query's columns do not fit.
    fn schema(&self, input: &Schema) -> Result<SchemaRef>;

    /// Columns of the query of which rows with equal values belong together; none if all rows do. The answer has them, too.
    fn partition_by(&self) -> &'static [&'static str];

    /// A new operator, which accounts for its memory with `reservation`.
    fn operator(&self, reservation: MemoryReservation) -> Box<dyn Operator>;
}

/// Computes a relation.
pub(crate) trait Operator: Any + Send {
    /// Takes some rows of the query.
    fn push(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Takes all rows that `other`, an operator of the same relation, was given. Only a relation without
    /// [`Relation::partition_by`] needs it: its operators each take a part of the rows at the same time.
    fn absorb(&mut self, _: Box<dyn Operator>) -> Result<()> {
        Err(DataFusionError::Internal("rows that belong together went to several operators".to_owned()))
    }

    /// Gives the answer after the last row: in as many parts, or fewer, that are read at the same time.
    fn finish(self: Box<Self>, parts: usize) -> Vec<Output>;
}

/// The relations that a session knows.
pub(crate) type Relations = Vec<Arc<dyn Relation>>;

/// Plans `name((select ...))` for the relations that it knows.
#[derive(Debug)]
pub(crate) struct Planner(pub(crate) Relations);

impl RelationPlanner for Planner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table { name, args: Some(arguments), alias, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let Some(known) = self.0.iter().find(|known| name.to_string().eq_ignore_ascii_case(known.name())) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Subquery(subquery)))] = arguments.args.as_slice()
        else {
            let name = known.name();
            return Err(DataFusionError::Plan(format!("{name} takes one query: write {name}((select ...))")));
        };
        let derived = TableFactor::Derived { lateral: false, subquery: subquery.clone(), alias: None, sample: None };
        let node = RelationNode::try_new(Arc::clone(known), context.plan(derived)?)?;
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

/// The first `R` in a plan, with the query that it is computed from.
pub(crate) fn first<R: Relation>(plan: &LogicalPlan) -> Option<(&R, &LogicalPlan)> {
    node_of::<R>(plan).or_else(|| plan.inputs().into_iter().find_map(first))
}

/// The plan with `answer`, which has its columns, in the place of the first `R`.
///
/// # Errors
/// A plan error if the columns are others.
pub(crate) fn replaced<R: Relation>(plan: LogicalPlan, answer: LogicalPlan) -> Result<LogicalPlan> {
    let mut answer = Some(answer);
    let replace = |plan: LogicalPlan| match node_of::<R>(&plan).and_then(|_| answer.take()) {
        Some(answer) => Ok(Transformed::new(answer, true, TreeNodeRecursion::Jump)),
        None => Ok(Transformed::no(plan)),
    };
    plan.transform_down(replace)?.data.recompute_schema()
}

fn node_of<R: Relation>(plan: &LogicalPlan) -> Option<(&R, &LogicalPlan)> {
    let LogicalPlan::Extension(extension) = plan else { return None };
    let node: &RelationNode = extension.node.as_any().downcast_ref()?;
    let relation: &dyn Any = &*node.relation;
    Some((relation.downcast_ref()?, &node.input))
}

/// A relation in a logical plan.
#[derive(Debug, Clone)]
struct RelationNode {
    relation: Arc<dyn Relation>,
    input: LogicalPlan,
    schema: DFSchemaRef,
}

impl RelationNode {
    fn try_new(relation: Arc<dyn Relation>, input: LogicalPlan) -> Result<Self> {
        let schema = Arc::new(DFSchema::try_from(relation.schema(input.schema().as_arrow())?)?);
        Ok(Self { relation, input, schema })
    }
}

impl PartialEq for RelationNode {
    fn eq(&self, other: &Self) -> bool {
        self.relation.name() == other.relation.name() && self.input == other.input
    }
}

impl Eq for RelationNode {}

impl PartialOrd for RelationNode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl Hash for RelationNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.relation.name().hash(state);
        self.input.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for RelationNode {
    fn name(&self) -> &str {
        self.relation.name()
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

    /// Rows with equal values in the columns that they are partitioned by belong together, so a filter on those may as well
    /// leave rows out before.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let kept = self.relation.partition_by();
        let names = self.schema.fields().iter().map(|field| field.name().clone());
        names.filter(|name| !kept.contains(&name.as_str())).collect()
    }

    fn fmt_for_explain(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.relation.name())
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match <[LogicalPlan; 1]>::try_from(inputs) {
            Ok([input]) => Self::try_new(Arc::clone(&self.relation), input),
            Err(_) => Err(DataFusionError::Internal(format!("{} has one input", self.relation.name()))),
        }
    }
}

/// Turns the logical node into the execution plan.
#[derive(Debug)]
pub(crate) struct RelationExtensionPlanner;

#[async_trait]
impl ExtensionPlanner for RelationExtensionPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        match (node.as_any().downcast_ref::<RelationNode>(), inputs) {
            (Some(node), [input]) => {
                Ok(Some(Arc::new(RelationExec::try_new(Arc::clone(&node.relation), Arc::clone(input))?)))
            }
            _ => Ok(None),
        }
    }
}

/// Feeds an operator.
#[derive(Debug)]
struct RelationExec {
    relation: Arc<dyn Relation>,
    input: Arc<dyn ExecutionPlan>,
    /// Columns whose equal values belong together; empty if all rows do.
    keys: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    /// The answer from all rows, once a part of it is asked for.
    whole: Mutex<Option<Whole>>,
}

/// The parts of an answer, each until it is taken.
type Parts = Arc<Mutex<Vec<Option<Output>>>>;
type Whole = Shared<BoxFuture<'static, std::result::Result<Parts, Arc<DataFusionError>>>>;

impl RelationExec {
    fn try_new(relation: Arc<dyn Relation>, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let keys = relation
            .partition_by()
            .iter()
            .map(|name| Ok(Arc::new(Column::new_with_schema(name, &input.schema())?) as Arc<dyn PhysicalExpr>))
            .collect::<Result<Vec<_>>>()?;
        let schema = relation.schema(&input.schema())?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Self { relation, input, keys, schema, properties: Arc::new(properties), whole: Mutex::default() })
    }

    /// The answer from some partitions of the input: an operator for each, then one absorbs the others.
    fn answer(
        &self,
        partitions: Range<usize>,
        context: &Arc<TaskContext>,
    ) -> Result<impl Future<Output = Result<Vec<Output>>> + use<>> {
        let parts = partitions.len();
        let inputs: Vec<_> =
            partitions.map(|partition| self.input.execute(partition, Arc::clone(context))).collect::<Result<_>>()?;
        let (relation, context) = (Arc::clone(&self.relation), Arc::clone(context));
        Ok(async move {
            let consumer = MemoryConsumer::new(relation.name());
            let operators = inputs.into_iter().map(|rows| {
                let reservation = consumer.clone_with_new_id().register(context.memory_pool());
                SpawnedTask::spawn(fed(relation.operator(reservation), rows))
            });
            let operators: Vec<_> = operators.collect(); // all of them begin before one is waited for
            let mut whole: Option<Box<dyn Operator>> = None;
            for operator in operators {
                let operator =
                    operator.join_unwind().await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??;
                match &mut whole {
                    Some(whole) => whole.absorb(operator)?,
                    None => whole = Some(operator),
                }
            }
            Ok(whole.map(|whole| whole.finish(parts)).unwrap_or_default())
        })
    }

    /// The answer from all partitions, which is computed once for all who read a part of it.
    fn whole(&self, context: &Arc<TaskContext>) -> Result<Whole> {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(whole) = &*whole {
            return Ok(whole.clone());
        }
        let answer = self.answer(0..self.input.output_partitioning().partition_count(), context)?;
        let parts = async move {
            // In a task of its own: who waits for a part would wake the others on its thread, where none of them could leave it.
            let answer = SpawnedTask::spawn(answer).join_unwind().await;
            let answer = answer.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??;
            Ok(Arc::new(Mutex::new(answer.into_iter().map(Some).collect())))
        };
        Ok(whole.insert(parts.map_err(Arc::new).boxed().shared()).clone())
    }
}

impl DisplayAs for RelationExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "RelationExec: {}", self.relation.name())
    }
}

impl ExecutionPlan for RelationExec {
    fn name(&self) -> &str {
        "RelationExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        // Without keys operators take the partitions as they are, and one absorbs the others.
        vec![if self.keys.is_empty() {
            Distribution::UnspecifiedDistribution
        } else {
            Distribution::KeyPartitioned(self.keys.clone())
        }]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for key in &self.keys {
            visit(key)?;
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match <[Arc<dyn ExecutionPlan>; 1]>::try_from(children) {
            Ok([input]) => Ok(Arc::new(Self::try_new(Arc::clone(&self.relation), input)?)),
            Err(_) => Err(DataFusionError::Internal(format!("{} has one input", self.relation.name()))),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let answer = if self.keys.is_empty() {
            let whole = self.whole(&context)?;
            async move {
                let parts = whole.await.map_err(DataFusionError::Shared)?;
                let part = parts.lock().unwrap_or_else(PoisonError::into_inner).get_mut(partition).map(Option::take);
                match part {
                    Some(None) => Err(DataFusionError::Internal("a part of an answer was read twice".to_owned())),
                    part => Ok(part.flatten().into_iter().collect()),
                }
            }
            .boxed()
        } else {
            self.answer(partition..partition + 1, &context)?.boxed()
        };
        let stream = futures::stream::once(answer).flat_map(|answer| match answer {
            Ok(parts) => futures::stream::iter(parts.into_iter().flatten()).boxed(),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream)))
    }
}

/// The operator after all of `rows`.
async fn fed(mut operator: Box<dyn Operator>, mut rows: SendableRecordBatchStream) -> Result<Box<dyn Operator>> {
    while let Some(batch) = rows.next().await {
        operator.push(&batch?)?;
    }
    Ok(operator)
}
