//! Which days a figure counts: `within`, `ago`, `since` and `between`.

use chrono::NaiveDate;

use super::behavior::Window;
use super::calls::Call;
use super::check::{Checker, snippet};
use super::literals;
use super::parse::sql_parser::ast::Expr as SqlExpr;
use super::span::Span;
use super::{Expr, Literal};
use crate::error::Result;

const BETWEEN_USAGE: &str = "write two days: `between => (date '2026-01-01', date '2026-01-31')`";

/// `last 90 days`, also without `last`, `since 2026-01-01` or `between 2026-01-01 and 2026-03-31`.
///
/// # Errors
///
/// A message without its position.
pub(super) fn in_words(text: &str) -> Result<Window, String> {
    let day = |text: &str| match literals::date(text)? {
        Literal::Date(day) => Ok(day),
        _ => Err(format!("'{text}' is not a date")),
    };
    let is = |word: &str, keyword| word.eq_ignore_ascii_case(keyword);
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        [since, first] if is(since, "since") => Ok(Window::Since(day(first)?)),
        [word, first, and, last] if is(word, "between") && is(and, "and") => between(day(first)?, day(last)?),
        [last, span @ ..] if is(last, "last") => literals::days_of_text(&span.join(" ")).map(Window::last),
        _ => literals::days_of_text(text).map(Window::last),
    }
}

fn between(first: NaiveDate, last: NaiveDate) -> Result<Window, String> {
    match last < first {
        true => Err(format!("{last} is before {first}: no day is between them")),
        false => Ok(Window::Between(first, last)),
    }
}

impl Checker<'_> {
    /// The window of a call, or that of all figures that give none.
    pub(super) fn window_of(&self, call: &Call<'_>) -> Result<Window> {
        let given: Vec<(&str, &SqlExpr)> = ["within", "since", "between"]
            .into_iter()
            .filter_map(|name| call.named(name).map(|value| (name, value)))
            .collect();
        if let [(earlier, _), (later, value), ..] = given.as_slice() {
            return self.refuse(value, format!("`{earlier}` and `{later}` are two windows; keep one of them"));
        }
        let window = match given.first() {
            None => self.window,
            Some(("within", value)) => Window::last(self.days(call, "within", value)?),
            Some(("since", day)) => Window::Since(self.day(day, "`since`")?),
            Some((_, days)) => self.days_between(days)?,
        };
        let Some(ago) = call.named("ago") else { return Ok(window) };
        match (window, call.named("within")) {
            (Window::Within { last, .. }, Some(within)) if last.is_nothing() => {
                let usage = "write at least `within => interval '1 day'`, or remove `ago`";
                self.refuse(within, format!("0 days are today alone, and `ago` leaves out today; {usage}"))
            }
            (Window::Within { last, .. }, Some(_)) => {
                Ok(Window::Within { last, ago: Some(self.days(call, "ago", ago)?) })
            }
            _ => {
                let usage = "write `within => interval '30 days', ago => interval '30 days'`";
                self.refuse(ago, format!("`ago` moves the window of `within` back; {usage}"))
            }
        }
    }

    fn days(&self, call: &Call<'_>, argument: &str, value: &SqlExpr) -> Result<Span> {
        match value {
            SqlExpr::Interval(interval) => {
                literals::interval_days(interval).map_err(|message| self.error(value, message))
            }
            other => {
                let message = format!(
                    "`{argument}` must be an interval, not {}; write `{}('Event Name', within => interval '90 days')`",
                    snippet(other),
                    call.name
                );
                self.refuse(other, message)
            }
        }
    }

    fn days_between(&self, days: &SqlExpr) -> Result<Window> {
        let SqlExpr::Tuple(pair) = days else { return self.refuse(days, BETWEEN_USAGE) };
        let [first, last] = pair.as_slice() else { return self.refuse(days, BETWEEN_USAGE) };
        let (first_day, last_day) = (self.day(first, "`between`")?, self.day(last, "`between`")?);
        between(first_day, last_day).map_err(|message| self.error(last, message))
    }

    /// A day must be known before any profile is read, so it is a constant.
    fn day(&self, sql: &SqlExpr, what: &str) -> Result<NaiveDate> {
        match self.expression(sql) {
            Ok((Expr::Literal(Literal::Date(day)), _)) => Ok(day),
            // A constant that is no day says so itself.
            Err(error) if matches!(sql, SqlExpr::TypedString(_)) => Err(error),
            _ => self.refuse(sql, format!("{what} must be a day such as `date '2026-01-31'`, not {}", snippet(sql))),
        }
    }
}
