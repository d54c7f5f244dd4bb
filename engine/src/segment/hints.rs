//! What of an expression matches nothing, which most often is a misspelling. It is no error: it may happen tomorrow.

use std::collections::BTreeSet;

use crate::config::nearest::suggestion;
use crate::error::Result;
use crate::evaluation::{Census, Population};
use crate::expression::{Expr, events_used};

/// Sentences on the names of events in an expression that no event has, and on what no event says that its figures are of;
/// the latter only with the `population` for which it was computed.
///
/// # Errors
/// What reading the names of events reports.
pub(super) async fn hints(census: &Census, condition: &Expr, population: Option<&Population>) -> Result<Vec<String>> {
    let used = events_used(condition);
    if used.is_empty() {
        return Ok(Vec::new());
    }
    let known = census.event_names().await?;
    let mut hints: Vec<String> = used.iter().filter_map(|event| unknown(event, known)).collect();
    hints.extend(population.map(|population| population.absences(known)).unwrap_or_default());
    Ok(hints)
}

fn unknown(event: &str, known: &BTreeSet<String>) -> Option<String> {
    let hint = || suggestion(event, known.iter().map(String::as_str));
    (!known.contains(event)).then(|| format!("no event is named `{event}`; {}", hint()))
}
