//! Functions of single values: text, numbers, times, lists, and choices among values.

use chrono_tz::Tz;

use super::calls::Call;
use super::check::{ALLOWED, Checker, Typed, snippet};
use super::literals::text_constant;
use super::parse::sql_parser::ast::{CaseWhen, Expr as SqlExpr, Value};
use super::plain::{self, Takes};
use super::types::type_name;
use super::{BinaryOp, ColumnType, Expr, Literal, ScalarFunction};
use crate::error::Result;

const DATE_TRUNC_UNITS: [&str; 5] = ["day", "week", "month", "quarter", "year"];
const DATE_PARTS: [&str; 9] = ["year", "quarter", "month", "week", "day", "dow", "doy", "hour", "minute"];

impl Checker<'_> {
    pub(super) fn scalar(&self, call: &Call<'_>) -> Result<Typed> {
        match call.name.as_str() {
            "concat" => self.concat(call, ScalarFunction::Concat, "concat(first_name, ' ', last_name)"),
            "concat_ws" => self.concat(call, ScalarFunction::ConcatWith, "concat_ws(' ', first_name, last_name)"),
            "contains" => self.contains(call),
            "regexp_like" => self.regexp_like(call),
            "mod" => self.modulo(call),
            "abs" => self.abs(call),
            "round" => self.round(call),
            "coalesce" => self.coalesce(call),
            "nullif" => self.null_if(call),
            "greatest" => self.extreme(call, ScalarFunction::Greatest),
            "least" => self.extreme(call, ScalarFunction::Least),
            "date_trunc" => self.date_trunc(call),
            "date_part" => self.date_part_call(call),
            "timezone" => self.time_zone_call(call),
            "days_since" => self.days_since(call),
            "now" => self.no_arguments(call, ScalarFunction::Now, ColumnType::Timestamp),
            "current_date" => self.no_arguments(call, ScalarFunction::CurrentDate, ColumnType::Date),
            name => self.plain(call.sql, name, &call.positional),
        }
    }

    /// A function that takes values of fixed types.
    pub(super) fn plain(&self, sql: &SqlExpr, name: &str, given: &[&SqlExpr]) -> Result<Typed> {
        if let ("length", [list]) = (name, given)
            && let (list, Some(ColumnType::Texts)) = self.expression(list)?
        {
            let function = ScalarFunction::ListLength;
            return Ok((Expr::Function { function, arguments: vec![list] }, Some(ColumnType::Integer)));
        }
        let Some(plain) = plain::named(name).find(|plain| plain.takes.len() == given.len()) else {
            let usages: Vec<String> = plain::named(name).map(|plain| format!("`{}`", plain.usage())).collect();
            return match usages.as_slice() {
                // The parser has nodes of its own for the others.
                [] => self.refuse(sql, format!("`{name}` is not called like this; {ALLOWED}")),
                usages => self.refuse(sql, format!("wrong arguments; write {}", usages.join(" or "))),
            };
        };
        let argument = |(sql, takes): (&&SqlExpr, &Takes)| match takes {
            Takes::Text => self.text(sql),
            Takes::Number => Ok(self.number(sql)?.0),
            Takes::Short => match text_constant(sql) {
                Some(text) if text.len() <= plain::SHORT_BYTES_MAX => Ok(Expr::Literal(Literal::Text(text.to_owned()))),
                _ => {
                    let bytes = plain::SHORT_BYTES_MAX;
                    self.refuse(sql, format!("{} must be a text constant of at most {bytes} bytes", snippet(sql)))
                }
            },
            Takes::Whole => {
                let count = self.count_argument(sql, "a number of characters or parts", 1, i64::from(i32::MAX))?;
                Ok(Expr::Literal(Literal::Integer(i64::from(count))))
            }
        };
        let arguments = given.iter().zip(plain.takes).map(argument).collect::<Result<_>>()?;
        let function = Expr::Function { function: ScalarFunction::Plain(plain), arguments };
        let mut lengthening = 0;
        function.for_each(&mut |inner| lengthening += u32::from(makes_longer(inner)));
        if lengthening > 1 {
            return self.refuse(sql, "`replace` makes longer what another one made longer; leave that to one of them");
        }
        Ok((function, Some(plain.gives)))
    }

    /// `regexp_like(text, pattern)` is `text ~ pattern`, with `'i'` it is `text ~* pattern`.
    fn regexp_like(&self, call: &Call<'_>) -> Result<Typed> {
        let (text, pattern, case_insensitive) = match call.positional.as_slice() {
            [text, pattern] => (text, pattern, false),
            [text, pattern, flag] if text_constant(flag) == Some("i") => (text, pattern, true),
            [_, _, flag] => return self.refuse(flag, "the only flag is 'i', for upper or lower case"),
            _ => return self.wrong_arguments(call, "regexp_like(text, 'pattern')"),
        };
        self.matches(text, pattern, false, case_insensitive)
    }

    fn modulo(&self, call: &Call<'_>) -> Result<Typed> {
        let [number, divisor] = call.positional.as_slice() else {
            return self.wrong_arguments(call, "mod(number, 2)");
        };
        self.arithmetic(call.sql, BinaryOp::Modulo, number, divisor)
    }

    fn concat(&self, call: &Call<'_>, function: ScalarFunction, usage: &str) -> Result<Typed> {
        if call.positional.len() < 2 {
            return self.wrong_arguments(call, usage);
        }
        let arguments = call.positional.iter().map(|text| self.text(text)).collect::<Result<Vec<_>>>()?;
        Ok((Expr::Function { function, arguments }, Some(ColumnType::Text)))
    }

    fn contains(&self, call: &Call<'_>) -> Result<Typed> {
        let [list, value] = call.positional.as_slice() else {
            return self.wrong_arguments(call, "contains(list, 'entry')");
        };
        self.has_entry(list, value)
    }

    /// `contains(list, 'entry')` and `'entry' = any(list)`.
    pub(super) fn has_entry(&self, list_sql: &SqlExpr, value: &SqlExpr) -> Result<Typed> {
        let (list, list_type) = self.expression(list_sql)?;
        if list_type != Some(ColumnType::Texts) {
            let hint =
                if list_type == Some(ColumnType::Text) { "; to search in text, write `like '%word%'`" } else { "" };
            let (snippet, type_name) = (snippet(list_sql), type_name(list_type));
            return self.refuse(list_sql, format!("{snippet} is {type_name}, but a list is needed here{hint}"));
        }
        let value = Box::new(self.text(value)?);
        Ok((Expr::Contains { list: Box::new(list), value }, Some(ColumnType::Boolean)))
    }

    fn abs(&self, call: &Call<'_>) -> Result<Typed> {
        let [number] = call.positional.as_slice() else {
            return self.wrong_arguments(call, "abs(number)");
        };
        let (number, number_type) = self.number(number)?;
        Ok((Expr::Function { function: ScalarFunction::Abs, arguments: vec![number] }, number_type))
    }

    fn round(&self, call: &Call<'_>) -> Result<Typed> {
        let (number, places) = match call.positional.as_slice() {
            [number] => (number, None),
            [number, places] => (number, Some(places)),
            _ => return self.wrong_arguments(call, "round(number, 2)"),
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

    /// `floor` and `ceil`; a whole number is its own.
    pub(super) fn whole(&self, number: &SqlExpr, function: ScalarFunction) -> Result<Typed> {
        match self.number(number)? {
            (number, Some(ColumnType::Integer)) => Ok((number, Some(ColumnType::Integer))),
            (number, number_type) => Ok((Expr::Function { function, arguments: vec![number] }, number_type)),
        }
    }

    fn coalesce(&self, call: &Call<'_>) -> Result<Typed> {
        let [first, _, ..] = call.positional.as_slice() else {
            return self.wrong_arguments(call, "coalesce(column, instead)");
        };
        if matches!(self.expression(first)?.0, Expr::Literal(_)) {
            return self.refuse(first, "a constant is never null; begin `coalesce` with a column");
        }
        let (arguments, common) = self.fit_all(&call.positional)?;
        Ok((Expr::Function { function: ScalarFunction::Coalesce, arguments }, Some(common)))
    }

    fn null_if(&self, call: &Call<'_>) -> Result<Typed> {
        let [value, _] = call.positional.as_slice() else {
            return self.wrong_arguments(call, "nullif(column, '')");
        };
        let (arguments, common) = self.fit_all(&call.positional)?;
        if common == ColumnType::Texts {
            return self.refuse(value, "lists are not compared; write `contains(list, 'entry')`");
        }
        Ok((Expr::Function { function: ScalarFunction::NullIf, arguments }, Some(common)))
    }

    fn extreme(&self, call: &Call<'_>, function: ScalarFunction) -> Result<Typed> {
        let [first, _, ..] = call.positional.as_slice() else {
            return self.wrong_arguments(call, &format!("{}(column, another)", call.name));
        };
        let (arguments, common) = self.fit_all(&call.positional)?;
        if matches!(common, ColumnType::Boolean | ColumnType::Texts) {
            let type_name = type_name(Some(common));
            return self.refuse(first, format!("{} is {type_name}, which has no order", snippet(first)));
        }
        Ok((Expr::Function { function, arguments }, Some(common)))
    }

    fn date_trunc(&self, call: &Call<'_>) -> Result<Typed> {
        let [unit, time] = call.positional.as_slice() else {
            return self.wrong_arguments(call, "date_trunc('month', last_seen_at)");
        };
        let known = self.unit(unit, &DATE_TRUNC_UNITS)?;
        let arguments = vec![Expr::Literal(Literal::Text(known.to_owned())), self.time(time)?.0];
        Ok((Expr::Function { function: ScalarFunction::DateTrunc, arguments }, Some(ColumnType::Timestamp)))
    }

    fn date_part_call(&self, call: &Call<'_>) -> Result<Typed> {
        let [part, time] = call.positional.as_slice() else {
            return self.wrong_arguments(call, "date_part('month', last_seen_at)");
        };
        let part_name = self.unit(part, &DATE_PARTS)?;
        self.date_part(part, part_name, time)
    }

    /// `date_part('year', ...)` and `extract(year from ...)`.
    pub(super) fn date_part(&self, sql: &SqlExpr, part: &str, time: &SqlExpr) -> Result<Typed> {
        let Some(known) = DATE_PARTS.iter().find(|known| part.eq_ignore_ascii_case(known)) else {
            return self.refuse(sql, format!("`{}` is not a unit; {}", part.to_lowercase(), choice(&DATE_PARTS)));
        };
        let arguments = vec![Expr::Literal(Literal::Text((*known).to_owned())), self.time(time)?.0];
        Ok((Expr::Function { function: ScalarFunction::DatePart, arguments }, Some(ColumnType::Integer)))
    }

    /// One of some units, as a text constant.
    fn unit(&self, sql: &SqlExpr, known: &[&'static str]) -> Result<&'static str> {
        let unit = match self.expression(sql)?.0 {
            Expr::Literal(Literal::Text(text)) => known.iter().find(|known| text.eq_ignore_ascii_case(known)),
            _ => None,
        };
        let message = || self.error(sql, format!("{} is not a unit; {}", snippet(sql), choice(known)));
        unit.copied().ok_or_else(message)
    }

    fn time_zone_call(&self, call: &Call<'_>) -> Result<Typed> {
        let [zone, time] = call.positional.as_slice() else {
            return self.wrong_arguments(call, "timezone('Europe/Paris', last_seen_at)");
        };
        self.time_zone(time, zone)
    }

    /// `timezone('Europe/Paris', time)` and `time at time zone 'Europe/Paris'`.
    pub(super) fn time_zone(&self, time_sql: &SqlExpr, zone_sql: &SqlExpr) -> Result<Typed> {
        let (time, time_type) = self.time(time_sql)?;
        if time_type != Some(ColumnType::Timestamp) {
            let message = format!("{} is a date, which is the same by all clocks", snippet(time_sql));
            return self.refuse(time_sql, message);
        }
        let Some(zone) = text_constant(zone_sql).and_then(|zone| zone.parse::<Tz>().ok()) else {
            let message = format!("{} is no time zone; write one such as 'Europe/Paris' or 'UTC'", snippet(zone_sql));
            return self.refuse(zone_sql, message);
        };
        let arguments = vec![Expr::Literal(Literal::Text(zone.name().to_owned())), time];
        Ok((Expr::Function { function: ScalarFunction::TimeZone, arguments }, Some(ColumnType::Timestamp)))
    }

    fn days_since(&self, call: &Call<'_>) -> Result<Typed> {
        let [time] = call.positional.as_slice() else {
            return self.wrong_arguments(call, "days_since(last_seen_at)");
        };
        Ok((Expr::DaysSince(Box::new(self.time(time)?.0)), Some(ColumnType::Integer)))
    }

    fn no_arguments(&self, call: &Call<'_>, function: ScalarFunction, result: ColumnType) -> Result<Typed> {
        if !call.positional.is_empty() {
            return self.refuse(call.sql, format!("`{}` takes no argument", call.name));
        }
        Ok((Expr::Function { function, arguments: Vec::new() }, Some(result)))
    }

    /// `case when ... then ...`, or `case x when ... then ...`, whose conditions are `x = ...`.
    pub(super) fn case(
        &self,
        operand: Option<&SqlExpr>,
        branches: &[CaseWhen],
        otherwise: Option<&SqlExpr>,
    ) -> Result<Typed> {
        if let Some(operand) = operand {
            let mut is_nested = false;
            self.expression(operand)?.0.for_each(&mut |inner| is_nested |= matches!(inner, Expr::Case { .. }));
            // It stands in the condition of each branch.
            if is_nested {
                return self.refuse(operand, "a `case` of a `case`; write the inner one as a trait");
            }
        }
        let mut conditions = Vec::with_capacity(branches.len());
        for CaseWhen { condition, .. } in branches {
            conditions.push(match operand {
                Some(operand) => self.compare(condition, BinaryOp::Equal, operand, condition)?.0,
                None => self.condition(condition)?,
            });
        }
        let otherwise = otherwise.filter(|value| !is_null(value));
        let results = branches.iter().map(|branch| &branch.result);
        let values: Vec<&SqlExpr> = results.clone().filter(|value| !is_null(value)).chain(otherwise).collect();
        if let ([], Some(null)) = (values.as_slice(), results.clone().next()) {
            return self.refuse(null, "a `case` that is always null; give a value to one condition");
        }
        let (mut values, common) = self.fit_all(&values)?;
        let otherwise = if otherwise.is_some() { values.pop().map(Box::new) } else { None };
        let mut values = values.into_iter();
        let values = results.map(|result| if is_null(result) { None } else { values.next() });
        let branches = conditions.into_iter().zip(values).collect();
        Ok((Expr::Case { branches, otherwise }, Some(common)))
    }
}

/// Whether it is a `replace` that may give more text than it takes.
fn makes_longer(expr: &Expr) -> bool {
    match expr {
        Expr::Function { function: ScalarFunction::Plain(plain), arguments } if plain.sql == "replace" => {
            match arguments.as_slice() {
                [_, Expr::Literal(Literal::Text(old)), Expr::Literal(Literal::Text(new))] => new.len() > old.len(),
                _ => true,
            }
        }
        _ => false,
    }
}

fn is_null(sql: &SqlExpr) -> bool {
    matches!(sql, SqlExpr::Value(value) if value.value == Value::Null)
}

/// What may be written, for messages.
fn choice(known: &[&str]) -> String {
    match known.split_last() {
        Some((last, others)) => format!("write '{}' or '{last}'", others.join("', '")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
