//! `did_sequence('Product Viewed' then not 'Order Completed' then 'Checkout Started', span => interval '1 day')`.

use super::behavior::{EventSelector, Sequence, SequenceStep};
use super::calls::Call;
use super::check::{Checker, snippet};
use super::literals;
use super::parse::sql_parser::ast::{Expr as SqlExpr, UnaryOperator};
use crate::error::Result;

/// The most steps of a sequence. Each costs a pass over the events of a profile.
pub(crate) const STEPS_MAX: usize = 10;
pub(super) const USAGE: &str = "write `did_sequence('Product Viewed' then 'Order Completed')`";
const STEP_USAGE: &str =
    "write a step as 'Page Viewed' or as `event('Page Viewed') filter (where page_section = 'pricing')`";

impl Checker<'_> {
    pub(super) fn sequence(&self, call: &Call<'_>) -> Result<Sequence> {
        let mut steps: Vec<SequenceStep> = Vec::new();
        let mut without: Vec<EventSelector> = Vec::new();
        if let Some(extra) = call.positional.get(STEPS_MAX) {
            return self.refuse(extra, format!("a sequence has at most {STEPS_MAX} steps; leave some out"));
        }
        for (index, sql) in call.positional.iter().enumerate() {
            let SqlExpr::UnaryOp { op: UnaryOperator::Not, expr } = sql else {
                let events = self.step(sql)?;
                steps.push(SequenceStep { without: std::mem::take(&mut without), events });
                continue;
            };
            if index == 0 || index + 1 == call.positional.len() {
                let place = if index == 0 { "begin" } else { "end" };
                let hint = "`not` says what did not happen between two steps";
                return self.refuse(sql, format!("a sequence cannot {place} with `not`; {hint}"));
            }
            without.push(self.step(expr)?);
        }
        if steps.len() < 2 {
            return self.refuse(call.sql, format!("a sequence has at least two steps; {USAGE}"));
        }
        let span_minutes = call.named("span").map(|span| self.minutes(span)).transpose()?;
        Ok(Sequence { steps, window: self.window_of(call)?, span_minutes })
    }

    fn step(&self, sql: &SqlExpr) -> Result<EventSelector> {
        let SqlExpr::Function(function) = sql else {
            return self.events(sql, None, STEP_USAGE);
        };
        let step = self.call(sql, function)?;
        match (step.name.as_str(), step.positional.as_slice()) {
            ("event", [name]) => self.events(name, step.filter, STEP_USAGE),
            _ => self.refuse(sql, format!("{} is not a step; {STEP_USAGE}", snippet(sql))),
        }
    }

    fn minutes(&self, span: &SqlExpr) -> Result<u32> {
        match span {
            SqlExpr::Interval(interval) => {
                literals::interval_minutes(interval).map_err(|message| self.error(span, message))
            }
            other => {
                let usage = "write `span => interval '1 day'`";
                self.refuse(other, format!("`span` must be an interval, not {}; {usage}", snippet(other)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
