//! What an expression needs before it can be computed.

use std::collections::BTreeSet;

use super::behavior::{Measure, Sequence};
use super::tree::{Expr, ScalarFunction};

/// What splits go by: it stays the same when somebody logs in, and the profile goes by another id.
pub(crate) const SPLIT_COLUMN: &str = "first_identifier";

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

/// Returns the names of the events that an expression asks for, each once, ordered.
pub(crate) fn events_used(expression: &Expr) -> Vec<String> {
    let mut events = BTreeSet::new();
    expression.for_each(&mut |expr| match expr {
        Expr::Measure(measure) | Expr::Did(measure) => drop(events.insert(measure.events.event.clone())),
        Expr::Sequence(sequence) => {
            let steps = sequence.steps.iter().flat_map(|step| step.without.iter().chain([&step.events]));
            events.extend(steps.map(|selector| selector.event.clone()));
        }
        _ => {}
    });
    events.into_iter().collect()
}

/// Returns the names of the segments that an expression refers to, each once, ordered.
pub(crate) fn segments_used(expression: &Expr) -> Vec<String> {
    collect(expression, |expr| match expr {
        Expr::InSegment(segment) => Some(segment.clone()),
        _ => None,
    })
}

/// Returns the names of the lists that an expression refers to, each once, ordered.
pub(crate) fn lists_used(expression: &Expr) -> Vec<String> {
    collect(expression, |expr| match expr {
        Expr::InList(list) => Some(list.clone()),
        _ => None,
    })
}

/// Returns the purposes to which an expression asks for consent, each once, ordered.
pub(crate) fn purposes_used(expression: &Expr) -> Vec<String> {
    collect(expression, |expr| match expr {
        Expr::Consented(purpose) => Some(purpose.clone()),
        _ => None,
    })
}

/// Returns the names of the profile's columns that an expression reads, each once, ordered. Traits are among them;
/// columns of events are not.
pub(crate) fn columns_used(expression: &Expr) -> Vec<String> {
    collect(expression, |expr| match expr {
        Expr::Column { name, .. } => Some(name.clone()),
        Expr::Split(_) => Some(SPLIT_COLUMN.to_owned()),
        _ => None,
    })
}

/// Returns whether a profile's value can be another one although neither it nor the day has changed: it depends on all
/// profiles, on a list, or on the instant.
pub(crate) fn is_of_everybody(expression: &Expr) -> bool {
    let mut found = false;
    expression.for_each(&mut |expr| {
        found |= match expr {
            Expr::Score { .. } | Expr::Top { .. } | Expr::InList(_) => true,
            Expr::Function { function, .. } => *function == ScalarFunction::Now,
            _ => false,
        };
    });
    found
}

fn collect<T: Ord>(expression: &Expr, pick: impl Fn(&Expr) -> Option<T>) -> Vec<T> {
    let mut picked = BTreeSet::new();
    expression.for_each(&mut |expr| picked.extend(pick(expr)));
    picked.into_iter().collect()
}
