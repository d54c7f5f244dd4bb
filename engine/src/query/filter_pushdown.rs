//! Keeps filters where they are in plans in which DataFusion 55 would push them to the wrong column.
//!
//! It finds the columns of a pushed filter by their names, and takes the first of two that are called the same, as the two
//! sides of a join may be: `b.v is null or b.v = a.v` above `b right join a` became `a.v is null or a.v = a.v` below it, and
//! bounds that a join or a `limit` finds while it runs lose rows. DataFusion maps columns by place from its pull request
//! 25259 on; with a release that has it, this file can go.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// DataFusion's rules, of which those that push filters down leave plans alone where names are ambiguous.
pub(super) fn rules() -> Vec<Rule> {
    let guarded = |rule: Rule| -> Rule {
        if rule.name().starts_with("FilterPushdown") { Arc::new(WhereNamesDiffer(rule)) } else { rule }
    };
    PhysicalOptimizer::new().rules.into_iter().map(guarded).collect()
}

#[derive(Debug)]
struct WhereNamesDiffer(Rule);

impl PhysicalOptimizerRule for WhereNamesDiffer {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if plan.exists(|node| Ok(has_equal_names(node.as_ref())))? { Ok(plan) } else { self.0.optimize(plan, config) }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

fn has_equal_names(node: &dyn ExecutionPlan) -> bool {
    let schema = node.schema();
    let mut names = HashSet::with_capacity(schema.fields().len());
    !schema.fields().iter().all(|field| names.insert(field.name().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_both_rules_that_push_filters_down_are_guarded() {
        let guarded = |rule: &Rule| format!("{rule:?}").starts_with("WhereNamesDiffer");
        assert_eq!(rules().iter().filter(|rule| guarded(rule)).count(), 2);
    }
}
