//! The functions of the segment language.

use chrono::NaiveDate;

use super::check::{Checker, Typed, snippet};
use super::literals;
use super::parse::sql_parser::ast::{
    Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments, Value,
    ValueWithSpan,
};
use super::types::{is_time, type_name};
use super::{ColumnType, EventSelector, Expr, Figure, Literal, Measure, ScalarFunction, Window};
use crate::config::nearest::suggestion;
use crate::error::Result;

const FUNCTIONS: [&str; 15] = [
    "event_count",
    "did",
    "first_event_at",
    "last_event_at",
    "in_segment",
    "lower",
    "upper",
    "length",
    "abs",
    "round",
    "coalesce",
    "starts_with",
    "date_trunc",
    "now",
    "current_date",
];
/// Those that take a window.
const MEASURES: [&str; 4] = ["event_count", "did", "first_event_at", "last_event_at"];
/// How a window is given.
const WINDOWS: [&str; 3] = ["within", "since", "between"];
const BETWEEN_USAGE: &str = "write two days: `between => (date '2026-01-01', date '2026-01-31')`";
const DATE_TRUNC_UNITS: [&str; 5] = ["day", "week", "month", "quarter", "year"];

/// A call with its arguments sorted out.
struct Call<'s> {
    /// In lower case.
    name: String,
    /// Arguments without a name.
    positional: Vec<&'s SqlExpr>,
    /// The name and the value of `within => ...`, `since => ...` or `between => ...`.
    window: Option<(&'s str, &'s SqlExpr)>,
}

impl Checker<'_> {
    pub(super) fn function(&self, sql: &SqlExpr, function: &Function) -> Result<Typed> {
        let call = self.call(sql, function)?;
        if let Some((window, _)) = call.window
            && !MEASURES.contains(&call.name.as_str())
        {
            let measures = MEASURES.join("`, `");
            return self.refuse(sql, format!("`{}` has no `{window}`; only `{measures}` have", call.name));
        }
        let boolean = Some(ColumnType::Boolean);
        match call.name.as_str() {
            "event_count" => {
                Ok((Expr::Measure(self.event_measure(sql, &call, Figure::Count)?), Some(ColumnType::Integer)))
            }
            "did" => Ok((Expr::Did(self.event_measure(sql, &call, Figure::Count)?), boolean)),
            "first_event_at" => self.event_time(sql, &call, Figure::FirstTime),
            "last_event_at" => self.event_time(sql, &call, Figure::LastTime),
            "in_segment" => Ok((self.in_segment(sql, &call)?, boolean)),
            "lower" => self.text_function(sql, &call, ScalarFunction::Lower, ColumnType::Text),
            "upper" => self.text_function(sql, &call, ScalarFunction::Upper, ColumnType::Text),
            "length" => self.text_function(sql, &call, ScalarFunction::Length, ColumnType::Integer),
            "starts_with" => self.starts_with(sql, &call),
            "abs" => self.abs(sql, &call),
            "round" => self.round(sql, &call),
            "coalesce" => self.coalesce(sql, &call),
            "date_trunc" => self.date_trunc(sql, &call),
            "now" => self.no_arguments(sql, &call, ScalarFunction::Now, ColumnType::Timestamp),
            "current_date" => self.no_arguments(sql, &call, ScalarFunction::CurrentDate, ColumnType::Date),
            unknown => {
                let hint = suggestion(unknown, FUNCTIONS);
                self.refuse(sql, format!("function `{unknown}` is not available in segments; {hint}"))
            }
        }
    }

    /// Takes a call apart and refuses what belongs to aggregates and windows.
    fn call<'s>(&self, sql: &SqlExpr, function: &'s Function) -> Result<Call<'s>> {
        let mut call = Call { name: function.name.to_string().to_lowercase(), positional: Vec::new(), window: None };
        let Function { name: _, uses_odbc_syntax, parameters, args, filter, null_treatment, over, within_group } =
            function;
        let is_plain = !uses_odbc_syntax
            && matches!(parameters, FunctionArguments::None)
            && filter.is_none()
            && null_treatment.is_none()
            && over.is_none()
            && within_group.is_empty();
        let arguments = match args {
            FunctionArguments::None => return Ok(call),
            FunctionArguments::List(list)
                if is_plain && list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
            {
                &list.args
            }
            _ => {
                let message = format!(
                    "`{}` is called with its arguments in brackets only, without `over`, `filter` or `distinct`",
                    call.name
                );
                return self.refuse(sql, message);
            }
        };
        for argument in arguments {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => call.positional.push(value),
                FunctionArg::Named {
                    name,
                    arg: FunctionArgExpr::Expr(value),
                    operator: FunctionArgOperator::RightArrow,
                } => self.set_window(&name.value, &mut call.window, value)?,
                FunctionArg::ExprNamed {
                    name: SqlExpr::Identifier(name),
                    arg: FunctionArgExpr::Expr(value),
                    operator: FunctionArgOperator::RightArrow,
                } => self.set_window(&name.value, &mut call.window, value)?,
                other => {
                    return self.refuse(sql, format!("argument `{other}` of `{}` is not available", call.name));
                }
            }
        }
        Ok(call)
    }

    fn set_window<'s>(
        &self,
        name: &str,
        window: &mut Option<(&'s str, &'s SqlExpr)>,
        value: &'s SqlExpr,
    ) -> Result<()> {
        let Some(known) = WINDOWS.into_iter().find(|known| name.eq_ignore_ascii_case(known)) else {
            return self.refuse(value, format!("there is no argument `{name}`; {}", suggestion(name, WINDOWS)));
        };
        match window.replace((known, value)) {
            None => Ok(()),
            Some((earlier, _)) if earlier == known => {
                self.refuse(value, format!("`{known}` is given twice; keep one of them"))
            }
            Some((earlier, _)) => {
                self.refuse(value, format!("`{earlier}` and `{known}` are two windows; keep one of them"))
            }
        }
    }

    fn event_time(&self, sql: &SqlExpr, call: &Call<'_>, figure: Figure) -> Result<Typed> {
        Ok((Expr::Measure(self.event_measure(sql, call, figure)?), Some(ColumnType::Timestamp)))
    }

    fn event_measure(&self, sql: &SqlExpr, call: &Call<'_>, figure: Figure) -> Result<Measure> {
        let usage = format!("write `{}('Event Name')` or `{0}('Event Name', within => interval '90 days')`", call.name);
        let event = match call.positional.as_slice() {
            [event] => self.name_argument(event, "the event's name", &usage)?,
            [_, second, ..] => {
                return self.refuse(second, format!("`{}` takes one event; {usage}", call.name));
            }
            [] => return self.refuse(sql, format!("`{}` names no event; {usage}", call.name)),
        };
        let window = match call.window {
            None => Window::Ever,
            Some(("since", day)) => Window::Since(self.day(day, "`since`")?),
            Some(("between", days)) => self.days_between(days)?,
            Some((_, window @ SqlExpr::Interval(interval))) => {
                let days = literals::interval_days(interval);
                Window::Within { days: days.map_err(|message| self.error(window, message))?, ago: 0 }
            }
            Some((_, other)) => {
                return self.refuse(other, format!("`within` must be an interval, not {}; {usage}", snippet(other)));
            }
        };
        Ok(Measure { events: EventSelector { event, condition: None }, figure, window })
    }

    fn days_between(&self, days: &SqlExpr) -> Result<Window> {
        let SqlExpr::Tuple(pair) = days else { return self.refuse(days, BETWEEN_USAGE) };
        let [first, last] = pair.as_slice() else { return self.refuse(days, BETWEEN_USAGE) };
        let (first_day, last_day) = (self.day(first, "`between`")?, self.day(last, "`between`")?);
        if last_day < first_day {
            return self.refuse(last, format!("{last_day} is before {first_day}: no day is between them"));
        }
        Ok(Window::Between(first_day, last_day))
    }

    /// A day must be known before any profile is read, so it is a constant.
    fn day(&self, sql: &SqlExpr, what: &str) -> Result<NaiveDate> {
        match self.expression(sql)?.0 {
            Expr::Literal(Literal::Date(day)) => Ok(day),
            _ => self.refuse(sql, format!("{what} must be a day such as `date '2026-01-31'`, not {}", snippet(sql))),
        }
    }

    fn in_segment(&self, sql: &SqlExpr, call: &Call<'_>) -> Result<Expr> {
        let usage = "write `in_segment('name')`";
        let [segment] = call.positional.as_slice() else {
            return self.refuse(sql, format!("`in_segment` takes one name; {usage}"));
        };
        let segment = self.name_argument(segment, "the segment's name", usage)?;
        if segment == self.segment {
            return self.refuse(sql, format!("segment `{segment}` refers to itself; refer to other segments only"));
        }
        Ok(Expr::InSegment(segment))
    }

    /// A name must be there before any profile is read, so it is a constant.
    fn name_argument(&self, sql: &SqlExpr, what: &str, usage: &str) -> Result<String> {
        match sql {
            SqlExpr::Value(ValueWithSpan { value: Value::SingleQuotedString(name), .. }) if !name.trim().is_empty() => {
                Ok(name.clone())
            }
            SqlExpr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. }) => {
                self.refuse(sql, format!("{what} is blank; {usage}"))
            }
            _ => self.refuse(sql, format!("{what} must be text in single quotes, not {}; {usage}", snippet(sql))),
        }
    }

    fn wrong_arguments<T>(&self, sql: &SqlExpr, usage: &str) -> Result<T> {
        self.refuse(sql, format!("wrong arguments; write `{usage}`"))
    }

    fn text_function(
        &self,
        sql: &SqlExpr,
        call: &Call<'_>,
        function: ScalarFunction,
        result: ColumnType,
    ) -> Result<Typed> {
        let [argument] = call.positional.as_slice() else {
            return self.wrong_arguments(sql, &format!("{}(text)", call.name));
        };
        Ok((Expr::Function { function, arguments: vec![self.text(argument)?] }, Some(result)))
    }

    fn starts_with(&self, sql: &SqlExpr, call: &Call<'_>) -> Result<Typed> {
        let [text, start] = call.positional.as_slice() else {
            return self.wrong_arguments(sql, "starts_with(text, start)");
        };
        let arguments = vec![self.text(text)?, self.text(start)?];
        Ok((Expr::Function { function: ScalarFunction::StartsWith, arguments }, Some(ColumnType::Boolean)))
    }

    fn abs(&self, sql: &SqlExpr, call: &Call<'_>) -> Result<Typed> {
        let [number] = call.positional.as_slice() else {
            return self.wrong_arguments(sql, "abs(number)");
        };
        let (number, number_type) = self.number(number)?;
        Ok((Expr::Function { function: ScalarFunction::Abs, arguments: vec![number] }, number_type))
    }

    fn round(&self, sql: &SqlExpr, call: &Call<'_>) -> Result<Typed> {
        let (number, places) = match call.positional.as_slice() {
            [number] => (number, None),
            [number, places] => (number, Some(places)),
            _ => return self.wrong_arguments(sql, "round(number, 2)"),
        };
        let (number, number_type) = self.number(number)?;
        let mut arguments = vec![number];
        if let Some(places) = places {
            match self.expression(places)?.0 {
                Expr::Literal(Literal::Integer(count)) if (0..=18).contains(&count) => {
                    arguments.push(Expr::Literal(Literal::Integer(count)));
                }
                _ => {
                    return self.refuse(places, "decimal places must be a whole number from 0 to 18");
                }
            }
        }
        Ok((Expr::Function { function: ScalarFunction::Round, arguments }, number_type))
    }

    fn coalesce(&self, sql: &SqlExpr, call: &Call<'_>) -> Result<Typed> {
        let [first, others @ ..] = call.positional.as_slice() else {
            return self.wrong_arguments(sql, "coalesce(column, instead)");
        };
        if others.is_empty() {
            return self.wrong_arguments(sql, "coalesce(column, instead)");
        }
        let first_typed = self.expression(first)?;
        if matches!(first_typed.0, Expr::Literal(_)) {
            return self.refuse(first, "a constant is never null; begin `coalesce` with a column");
        }
        let mut result = first_typed.1;
        let mut arguments = vec![first_typed.0.clone()];
        for other in others {
            let other_typed = self.expression(other)?;
            let (_, fitted, common) = self.fit((first, first_typed.clone()), (other, other_typed))?;
            arguments.push(fitted);
            // One argument of the wider type (decimal, timestamp) makes the result of that type.
            if first_typed.1 != Some(common) {
                result = Some(common);
            }
        }
        Ok((Expr::Function { function: ScalarFunction::Coalesce, arguments }, result))
    }

    fn date_trunc(&self, sql: &SqlExpr, call: &Call<'_>) -> Result<Typed> {
        let [unit, time] = call.positional.as_slice() else {
            return self.wrong_arguments(sql, "date_trunc('month', last_seen_at)");
        };
        let (unit_expr, _) = self.expression(unit)?;
        let known = match &unit_expr {
            Expr::Literal(Literal::Text(text)) => {
                DATE_TRUNC_UNITS.iter().find(|known| text.eq_ignore_ascii_case(known))
            }
            _ => None,
        };
        let Some(known) = known else {
            let message = format!("{} is not a unit; write 'day', 'week', 'month', 'quarter' or 'year'", snippet(unit));
            return self.refuse(unit, message);
        };
        let (time_expr, time_type) = self.expression(time)?;
        if !time_type.is_some_and(is_time) {
            let message = format!("{} is {}, but a date or a time is needed here", snippet(time), type_name(time_type));
            return self.refuse(time, message);
        }
        let arguments = vec![Expr::Literal(Literal::Text((*known).to_owned())), time_expr];
        Ok((Expr::Function { function: ScalarFunction::DateTrunc, arguments }, Some(ColumnType::Timestamp)))
    }

    fn no_arguments(
        &self,
        sql: &SqlExpr,
        call: &Call<'_>,
        function: ScalarFunction,
        result: ColumnType,
    ) -> Result<Typed> {
        if !call.positional.is_empty() {
            return self.refuse(sql, format!("`{}` takes no argument", call.name));
        }
        Ok((Expr::Function { function, arguments: Vec::new() }, Some(result)))
    }
}
