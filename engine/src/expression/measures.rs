//! Figures of what a profile does, and what events say.

use super::behavior::{EventCondition, EventSelector, Figure, Measure, Property, Share, Window};
use super::calls::Call;
use super::check::{Checker, Typed, snippet};
use super::parse::sql_parser::ast::{Expr as SqlExpr, Ident};
use super::span::Span;
use super::text::text_of;
use super::types::{is_number, is_time, keyword};
use super::{BinaryOp, ColumnType, Expr, Literal, ScalarFunction};
use crate::config::nearest::suggestion;
use crate::error::Result;

const WEEKS_MAX: i64 = 520;
const TIMES_MAX: i64 = 1_000_000;

impl Checker<'_> {
    pub(super) fn measure(&self, call: &Call<'_>) -> Result<Typed> {
        match call.name.as_str() {
            "did" => {
                let measure = self.counted(call, Figure::Count)?;
                Ok((Expr::Did(measure), Some(ColumnType::Boolean)))
            }
            "did_first_time" => self.did_first_time(call),
            "did_weekly" => self.did_weekly(call),
            "event_count" => self.figure(call, Figure::Count),
            "event_days" => self.figure(call, Figure::Days),
            "first_event_at" => self.figure(call, Figure::FirstTime),
            "last_event_at" => self.figure(call, Figure::LastTime),
            "event_percentile" => self.percentile(call),
            _ => self.figure_of_property(call),
        }
    }

    /// A figure of events alone.
    fn figure(&self, call: &Call<'_>, figure: Figure) -> Result<Typed> {
        Ok(valued(self.counted(call, figure)?))
    }

    fn counted(&self, call: &Call<'_>, figure: Figure) -> Result<Measure> {
        let usage = format!("write `{}('Event Name')` or `{0}('Event Name', within => interval '90 days')`", call.name);
        let event = match call.positional.as_slice() {
            [event] => event,
            [_, second, ..] => {
                return self.refuse(second, format!("`{}` takes one event; {usage}", call.name));
            }
            [] => return self.refuse(call.sql, format!("`{}` names no event; {usage}", call.name)),
        };
        let events = self.events(event, call.filter, &usage)?;
        Ok(Measure { events, figure, window: self.window_of(call)? })
    }

    /// A figure of a property of events.
    fn figure_of_property(&self, call: &Call<'_>) -> Result<Typed> {
        let usage = format!(
            "write `{}('Order Completed', revenue)` for a column of events, or `{0}('Order Completed', 'coupon')` for a \
             property",
            call.name
        );
        let [event, property_sql] = call.positional.as_slice() else {
            return self.refuse(call.sql, format!("`{}` takes an event and a property; {usage}", call.name));
        };
        let events = self.events(event, call.filter, &usage)?;
        let property = self.property_argument(property_sql, &usage)?;
        let (figure, fits): (Figure, fn(ColumnType) -> bool) = match call.name.as_str() {
            "event_sum" => (Figure::Sum(property.clone()), is_number),
            "event_avg" => (Figure::Average(property.clone()), is_number),
            "event_min" => (Figure::Least(property.clone()), |it| is_number(it) || is_time(it)),
            "event_max" => (Figure::Most(property.clone()), |it| is_number(it) || is_time(it)),
            "event_first" => (Figure::FirstValue(property.clone()), |_| true),
            "event_last" => (Figure::LastValue(property.clone()), |_| true),
            "event_most_frequent" => (Figure::MostFrequent(property.clone()), |_| true),
            "event_distinct" => (Figure::DistinctCount(property.clone()), |_| true),
            _ => (Figure::Values(property.clone()), |it| it == ColumnType::Text),
        };
        self.check_property(call, property_sql, &property, fits)?;
        Ok(valued(Measure { events, figure, window: self.window_of(call)? }))
    }

    fn percentile(&self, call: &Call<'_>) -> Result<Typed> {
        let usage = "write `event_percentile('Order Completed', revenue, 0.5)`";
        let [event, property_sql, share] = call.positional.as_slice() else {
            let message = format!("`event_percentile` takes an event, a property and a share; {usage}");
            return self.refuse(call.sql, message);
        };
        let events = self.events(event, call.filter, usage)?;
        let property = self.property_argument(property_sql, usage)?;
        self.check_property(call, property_sql, &property, is_number)?;
        let literal = self.expression(share)?.0;
        let Some(share) = share_of(&literal) else {
            let message = format!(
                "the share must be a number from 0 to 1 with at most three decimal places, such as 0.5, not {}",
                snippet(share)
            );
            return self.refuse(share, message);
        };
        let figure = Figure::Percentile(property, share);
        Ok(valued(Measure { events, figure, window: self.window_of(call)? }))
    }

    /// Refuses columns whose type a figure cannot use. Properties are read as what the figure needs.
    fn check_property(
        &self,
        call: &Call<'_>,
        sql: &SqlExpr,
        property: &Property,
        fits: fn(ColumnType) -> bool,
    ) -> Result<()> {
        let Property::Column(name) = property else { return Ok(()) };
        let column_type = property.column_type();
        if fits(column_type) {
            return Ok(());
        }
        let needed = if call.name == "event_values" { "text" } else { "numbers, such as `revenue`" };
        let column_type = keyword(column_type);
        self.refuse(sql, format!("column `{name}` is {column_type}; `{}` needs {needed}", call.name))
    }

    fn did_weekly(&self, call: &Call<'_>) -> Result<Typed> {
        let usage = "write `did_weekly('Page Viewed', times => 3, weeks => 4)`";
        let [event] = call.positional.as_slice() else {
            return self.refuse(call.sql, format!("`did_weekly` takes one event; {usage}"));
        };
        let (Some(times), Some(weeks)) = (call.named("times"), call.named("weeks")) else {
            return self.refuse(call.sql, format!("`did_weekly` needs `times` and `weeks`; {usage}"));
        };
        let events = self.events(event, call.filter, usage)?;
        let times = self.count_argument(times, "`times`", 1, TIMES_MAX)?;
        let weeks = self.count_argument(weeks, "`weeks`", 1, WEEKS_MAX)?;
        // The day for which it is computed counts too.
        let window = Window::last(Span::of_days(weeks * 7 - 1));
        Ok(valued(Measure { events, figure: Figure::EachWeek { weeks, times }, window }))
    }

    /// Whether the first such event ever lies in a window: a comparison of its time with the window's bounds.
    fn did_first_time(&self, call: &Call<'_>) -> Result<Typed> {
        let first = self.counted(call, Figure::FirstTime)?;
        let window = first.window;
        let first = Box::new(Expr::Measure(Measure { window: Window::Ever, ..first }));
        let (least, end) = match window {
            Window::Ever => {
                let usage = "write `did_first_time('Order Completed', within => interval '90 days')`";
                return self.refuse(call.sql, format!("`did_first_time` needs a window; {usage}"));
            }
            Window::Within { last, ago } => (day_before(last.and(ago.unwrap_or_default())), ago.map(day_before)),
            Window::Since(day) => (Expr::Literal(Literal::Date(day)), None),
            Window::Between(day, last) => {
                let end = last.succ_opt().map(|end| Expr::Literal(Literal::Date(end)));
                (Expr::Literal(Literal::Date(day)), end)
            }
        };
        let compared = |op, right| Expr::Binary { op, left: first.clone(), right: Box::new(right) };
        let is_late = compared(BinaryOp::GreaterOrEqual, least);
        let condition = match end.map(|end| compared(BinaryOp::Less, end)) {
            Some(is_early) => Expr::And(vec![is_late, is_early]),
            None => is_late,
        };
        // Who never did it did not do it for the first time.
        let expr = Expr::IsBoolean { expr: Box::new(condition), value: true, negated: false };
        Ok((expr, Some(ColumnType::Boolean)))
    }

    /// The events of a name for which a condition is true.
    pub(super) fn events(&self, name: &SqlExpr, filter: Option<&SqlExpr>, usage: &str) -> Result<EventSelector> {
        let event = self.name_argument(name, "the event's name", usage)?;
        let condition = filter.map(|filter| self.over_events().condition(filter)).transpose()?;
        let condition = condition.map(|expression| {
            let text = text_of(&expression);
            EventCondition { expression: Box::new(expression), text }
        });
        Ok(EventSelector { event, condition })
    }

    /// `property('name')` in a condition over events.
    pub(super) fn property(&self, call: &Call<'_>) -> Result<Typed> {
        let usage = "write `property('coupon')`, or `property('shipping.city')` for one inside another";
        let [name] = call.positional.as_slice() else {
            return self.refuse(call.sql, format!("`property` takes one name; {usage}"));
        };
        let property = self.path(name, usage)?;
        Ok((Expr::Property { property, as_type: ColumnType::Text }, Some(ColumnType::Text)))
    }

    /// A column of events, or a property. A property that is called like a column is written `property('...')`.
    fn property_argument(&self, sql: &SqlExpr, usage: &str) -> Result<Property> {
        match sql {
            SqlExpr::Identifier(ident) => self.event_column(sql, ident),
            // As in a condition: what is meant is clear.
            SqlExpr::Function(function) => {
                let call = self.call(sql, function)?;
                match (call.name.as_str(), call.positional.as_slice()) {
                    ("property", [name]) => self.path(name, usage),
                    _ => self.path(sql, usage),
                }
            }
            _ => Ok(match self.path(sql, usage)? {
                Property::Path(path) if is_column(&path) => Property::Column(path.concat()),
                property => property,
            }),
        }
    }

    fn event_column(&self, sql: &SqlExpr, ident: &Ident) -> Result<Property> {
        let events = self.over_events();
        if let Some((name, _)) = events.known_column(ident) {
            return Ok(Property::Column(name.to_owned()));
        }
        let wanted = &ident.value;
        let hint = suggestion(wanted, super::EVENT_COLUMNS.iter().map(|(name, _)| *name));
        let message = format!("events have no column `{wanted}`; write '{wanted}' in quotes for a property; {hint}");
        self.refuse(sql, message)
    }

    fn path(&self, sql: &SqlExpr, usage: &str) -> Result<Property> {
        let path = self.name_argument(sql, "the property's name", usage)?;
        let names: Vec<String> = path.split('.').map(str::to_owned).collect();
        if names.iter().any(|name| name.trim().is_empty()) {
            return self.refuse(sql, format!("'{path}' has a point without a name beside it; {usage}"));
        }
        Ok(Property::Path(names))
    }
}

/// Whether a path is one name that events have a column of.
pub(super) fn is_column(path: &[String]) -> bool {
    matches!(path, [name] if super::EVENT_COLUMNS.iter().any(|(column, _)| column == name))
}

/// The value of a measure.
fn valued(measure: Measure) -> Typed {
    let column_type = measure.figure.column_type();
    (Expr::Measure(measure), Some(column_type))
}

/// The day that lies so long before today; today, if that is no time at all.
fn day_before(span: Span) -> Expr {
    let today = Expr::Function { function: ScalarFunction::CurrentDate, arguments: Vec::new() };
    if span.is_nothing() {
        return today;
    }
    let (left, right) = (Box::new(today), Box::new(Expr::Literal(Literal::Interval(span))));
    Expr::Binary { op: BinaryOp::Subtract, left, right }
}

/// `None` for what is not a share.
fn share_of(literal: &Expr) -> Option<Share> {
    let (whole, fraction) = match literal {
        Expr::Literal(Literal::Integer(whole)) => (u16::try_from(*whole).ok()?, 0),
        Expr::Literal(Literal::Decimal(digits)) => {
            let (whole, fraction) = digits.split_once('.')?;
            let fraction = fraction.trim_end_matches('0');
            let whole = if whole.is_empty() { 0 } else { whole.parse().ok()? };
            if fraction.len() > 3 {
                return None;
            }
            (whole, format!("{fraction:0<3}").parse().ok()?)
        }
        _ => return None,
    };
    let thousandths = whole.checked_mul(1_000)?.checked_add(fraction)?;
    (thousandths <= 1_000).then_some(Share { thousandths })
}

#[cfg(test)]
mod tests;
