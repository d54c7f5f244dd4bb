//! Events that follow each other, as joins of `behavior.events` with itself.

use super::super::behavior::{EventSelector, Sequence};
use super::figures;
use super::query::{Query, indented};

/// The profiles that did a sequence.
pub(super) fn relation(query: &mut Query, sequence: &Sequence) -> String {
    let (mut joins, mut conditions) = (String::new(), Vec::new());
    for (number, step) in sequence.steps.iter().enumerate() {
        let step_events = events(query, std::slice::from_ref(&step.events), sequence);
        if number == 0 {
            joins += &format!("from {step_events} step_1\n");
            continue;
        }
        let (before, this) = (format!("step_{number}"), format!("step_{}", number + 1));
        joins += &format!(
            "join {step_events} {this} on {this}.profile_id = {before}.profile_id and {this}.occurred_at > {before}.occurred_at\n"
        );
        if !step.without.is_empty() {
            let between = format!("between_{}", number + 1);
            let without = events(query, &step.without, sequence);
            joins += &format!(
                "left join {without} {between} on {between}.profile_id = {before}.profile_id\n    \
                 and {between}.occurred_at > {before}.occurred_at and {between}.occurred_at < {this}.occurred_at\n"
            );
            conditions.push(format!("{between}.profile_id is null"));
        }
    }
    if let Some(minutes) = sequence.span_minutes {
        let last = sequence.steps.len();
        conditions.push(format!("step_{last}.occurred_at <= step_1.occurred_at + interval '{minutes} minutes'"));
    }
    let condition = if conditions.is_empty() { String::new() } else { format!("where {}", conditions.join(" and ")) };
    format!("select distinct step_1.profile_id\n{joins}{condition}").trim_end().to_owned()
}

/// The events of any of some selectors, on the days of a sequence.
fn events(query: &mut Query, selectors: &[EventSelector], sequence: &Sequence) -> String {
    let each: Vec<String> =
        selectors.iter().map(|selector| figures::counts(query, selector, sequence.window)).collect();
    let condition = match each.as_slice() {
        [only] => only.clone(),
        _ => each.iter().map(|condition| format!("({condition})")).collect::<Vec<_>>().join(" or "),
    };
    let relation = format!("select profile_id, occurred_at from behavior.events where {condition}");
    format!("(\n{}\n)", indented(&relation))
}
