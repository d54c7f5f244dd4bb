//! What an expression needs before it can be computed.

use std::collections::BTreeSet;

use super::behavior::{Measure, Sequence};
use super::tree::{Expr, ScalarFunction};

/// Returns the measures that an expression needs, each once, ordered.
pub(crate) fn measures_used(expression: &Expr) -> Vec<Measure> {
    collect(expression, |expr| match expr {
        Expr::Measure(measure) | Expr::Did(measure) => Some(measure.clone()),
        _ => None,
    })
}

/// Returns the sequences that an expression needs, each once, ordered.
pub(crate) fn sequences_used(expression: &Expr) -> Vec<Sequence> {
    collect(expression, |expr| match expr {
        Expr::Sequence(sequence) => Some(sequence.clone()),
        _ => None,
    })
}

/// Returns the names of the segments that an expression refers to, each once, ordered.
pub(crate) fn segments_used(expression: &Expr) -> Vec<String> {
    collect(expression, |expr| match expr {
        Expr::InSegment(segment) => Some(segment.clone()),
        _ => None,
    })
}

/// Returns the names of the profile's columns that an expression reads, each once, ordered. Traits are among them;
/// columns of events are not.
pub(crate) fn columns_used(expression: &Expr) -> Vec<String> {
    collect(expression, |expr| match expr {
        Expr::Column { name, .. } => Some(name.clone()),
        _ => None,
    })
}

/// Returns whether a profile's value can be another one although neither it nor the day has changed: it depends on all
/// profiles, or on the instant.
pub(crate) fn is_of_everybody(expression: &Expr) -> bool {
    let mut found = false;
    expression.for_each(&mut |expr| {
        found |= matches!(expr, Expr::Score { .. } | Expr::Function { function: ScalarFunction::Now, .. });
    });
    found
}

fn collect<T: Ord>(expression: &Expr, pick: impl Fn(&Expr) -> Option<T>) -> Vec<T> {
    let mut picked = BTreeSet::new();
    expression.for_each(&mut |expr| picked.extend(pick(expr)));
    picked.into_iter().collect()
}
