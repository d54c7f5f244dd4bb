//! Keeps filters from parts of plans in which DataFusion 55 would push them to the wrong column.
//!
//! It finds the columns of a pushed filter by their names, and takes the first of two that are called the same, as the two
//! sides of a join may be: `b.v is null or b.v = a.v` above `b right join a` became `a.v is null or a.v = a.v` below it, and
//! bounds that a join or a `limit` finds while it runs lose rows. DataFusion maps columns by place from its pull request
//! 25259 on; with a release that has it, this file can go.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// DataFusion's rules, of which those that push filters down do not push them into what has ambiguous names.
pub(super) fn rules() -> Vec<Rule> {
    let guarded = |rule: Rule| -> Rule {
        if rule.name().starts_with("FilterPushdown") { Arc::new(WhereNamesDiffer(rule)) } else { rule }
    };
    PhysicalOptimizer::new().rules.into_iter().map(guarded).collect()
}

#[derive(Debug)]
struct WhereNamesDiffer(Rule);

impl PhysicalOptimizerRule for WhereNamesDiffer {
    /// Cuts the plan above every node that gives two columns of one name. Each piece is optimised by itself: whatever is
    /// pushed within it meets no such node.
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(piece) = self.with_cuts(&plan, config)? else { return self.0.optimize(plan, config) };
        let piece = self.0.optimize(piece, config)?;
        let joined = piece.transform_up(|node| {
            Ok(match node.downcast_ref::<Cut>() {
                Some(Cut(below)) => Transformed::yes(Arc::clone(below)),
                None => Transformed::no(node),
            })
        });
        Ok(joined?.data)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

impl WhereNamesDiffer {
    /// The plan with cuts above the ambiguous nodes below it; `None` if there is none.
    fn with_cuts(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (mut children, mut has_cuts) = (Vec::new(), false);
        for child in plan.children() {
            let cut: Option<Arc<dyn ExecutionPlan>> = match has_equal_names(child.as_ref()) {
                true => Some(Arc::new(Cut(self.optimize(Arc::clone(child), config)?))),
                false => self.with_cuts(child, config)?,
            };
            has_cuts |= cut.is_some();
            children.push(cut.unwrap_or_else(|| Arc::clone(child)));
        }
        if has_cuts { Ok(Some(replace_children_if_necessary(Arc::clone(plan), children)?)) } else { Ok(None) }
    }
}

fn has_equal_names(node: &dyn ExecutionPlan) -> bool {
    let schema = node.schema();
    let mut names = HashSet::with_capacity(schema.fields().len());
    !schema.fields().iter().all(|field| names.insert(field.name().as_str()))
}

/// A plan that nothing is pushed into. It is there only while a rule runs.
#[derive(Debug)]
struct Cut(Arc<dyn ExecutionPlan>);

impl DisplayAs for Cut {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cut")
    }
}

impl ExecutionPlan for Cut {
    fn name(&self) -> &str {
        "Cut"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Err(DataFusionError::Internal("a cut was left in the plan".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::session_state::SessionStateBuilder;
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    #[test]
    fn test_both_rules_that_push_filters_down_are_guarded() {
        let guarded = |rule: &Rule| format!("{rule:?}").starts_with("WhereNamesDiffer");
        assert_eq!(rules().iter().filter(|rule| guarded(rule)).count(), 2);
    }

    /// Two columns of `b join c` are called `v`; the first `a` finds bounds for one, the second for the other.
    #[tokio::test]
    async fn test_answers_are_those_without_pushing_and_no_cut_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let session = |is_pushed: bool| {
            let config = SessionConfig::new().with_target_partitions(2);
            let config = config.set_bool("datafusion.optimizer.enable_dynamic_filter_pushdown", is_pushed);
            let state = SessionStateBuilder::new().with_config(config).with_default_features();
            let mut rules = rules();
            rules.retain(|rule| is_pushed || !rule.name().starts_with("FilterPushdown"));
            SessionContext::new_with_state(state.with_physical_optimizer_rules(rules).build())
        };
        let maker = session(true);
        for (table, values) in
            [("a", "(1, 10), (2, 99)"), ("b", "(1, 10), (1, 20), (2, 30)"), ("c", "(1, 20), (2, 10)")]
        {
            let sql = format!("select * from (values {values}) as t(k, v)");
            let path = folder.path().join(format!("{table}.parquet")).display().to_string();
            let frame = maker.sql(&sql).await.unwrap();
            frame.write_parquet(&path, Default::default(), None).await.unwrap();
        }
        let queries = [
            "select a.k, x.bv, x.cv from a join (select b.k, b.v as bv, c.v as cv from b join c on b.k = c.k) x on a.v = x.cv",
            "select s.v, p.v from b s join c p on s.k = p.k join a on p.k = a.k order by p.v limit 1",
            "select b.k, b.v from (select k, min(v) as v from b group by k) m right join b on m.k = b.k where m.v is null or m.v = b.v",
        ];
        for query in queries {
            let mut answers = Vec::new();
            for is_pushed in [true, false] {
                let session = session(is_pushed);
                for table in ["a", "b", "c"] {
                    let path = folder.path().join(format!("{table}.parquet")).display().to_string();
                    session.register_parquet(table, &path, Default::default()).await.unwrap();
                }
                let plan = session.sql(query).await.unwrap().create_physical_plan().await.unwrap();
                assert!(!displayable(plan.as_ref()).indent(true).to_string().contains("Cut"), "{query}");
                let rows = datafusion::physical_plan::collect(plan, session.task_ctx()).await.unwrap();
                let rows = arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string();
                let mut rows: Vec<String> = rows.lines().map(str::to_owned).collect();
                rows.sort();
                answers.push(rows);
            }
            assert_eq!(answers[0], answers[1], "{query}");
            assert!(answers[0].len() > 4, "{query} has no rows");
        }
    }
}
