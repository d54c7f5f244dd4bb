//! Scores: into which of equally large groups of all profiles a value falls.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::compute::{SortOptions, rank, sort_to_indices};

use crate::error::{EngineError, Result};
use crate::expression::Expr;

/// The scores in an expression, each once.
pub(super) fn scores(expression: &Expr) -> Vec<&Expr> {
    let mut found: Vec<&Expr> = Vec::new();
    let mut waiting = vec![expression];
    while let Some(expression) = waiting.pop() {
        match expression {
            Expr::Score { .. } if !found.contains(&expression) => found.push(expression),
            Expr::Score { .. } => {}
            other => waiting.extend(other.children()),
        }
    }
    found
}

/// What a score is of.
pub(super) fn scored(score: &Expr) -> Result<&Expr> {
    match score {
        Expr::Score { of, .. } => Ok(of),
        _ => Err(EngineError::internal("this is no score")),
    }
}

/// The group of each value: of n values that are not null, the one at place p, counted from 0, is in group 1 + p * groups
/// / n. Equal values are in the group of the first of them.
pub(super) fn groups(score: &Expr, values: &ArrayRef) -> Result<ArrayRef> {
    let Expr::Score { groups, descending, .. } = score else {
        return Err(EngineError::internal("this is no score"));
    };
    let options = SortOptions { descending: *descending, nulls_first: false };
    let order = sort_to_indices(values, Some(options), None)?;
    let count = values.len() - values.logical_null_count();
    // Ranks are equal for equal values: the place after the last of them.
    let ranks = rank(values.as_ref(), Some(options))?;
    let mut of_rows: Vec<Option<i64>> = vec![None; values.len()];
    let mut first = (0, None);
    for (place, &row) in order.values().iter().take(count).enumerate() {
        let row = row as usize;
        if first.1 != Some(ranks[row]) {
            first = (place, Some(ranks[row]));
        }
        of_rows[row] = Some(1 + (first.0 * *groups as usize / count) as i64);
    }
    Ok(Arc::new(Int64Array::from(of_rows)))
}
