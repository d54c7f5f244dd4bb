//! Which types fit each other, and what to write when they do not.

use std::cmp::Ordering;

use super::check::{Checker, Typed, snippet};
use super::literals;
use super::parse::sql_parser::ast::Expr as SqlExpr;
use super::{ColumnType, Expr, Literal};
use crate::error::Result;

impl Checker<'_> {
    /// Makes two checked values fit each other: text constants beside a date or time are read as such, and so are
    /// properties of events beside anything.
    pub(super) fn fit(&self, left: (&SqlExpr, Typed), right: (&SqlExpr, Typed)) -> Result<(Expr, Expr, ColumnType)> {
        let ((left_sql, left), (right_sql, right)) = (left, right);
        let (left_expr, left_type) = settled(left, right.1);
        let (right_expr, right_type) = settled(right, left_type);
        let (left_expr, left_type) = self.as_time(left_sql, left_expr, left_type, right_type)?;
        let (right_expr, right_type) = self.as_time(right_sql, right_expr, right_type, left_type)?;
        match (left_type, right_type) {
            (Some(left_type), Some(right_type)) if left_type == right_type => Ok((left_expr, right_expr, left_type)),
            (Some(left_type), Some(right_type)) if is_number(left_type) && is_number(right_type) => {
                Ok((left_expr, right_expr, ColumnType::Decimal))
            }
            (Some(left_type), Some(right_type)) if is_time(left_type) && is_time(right_type) => {
                Ok((left_expr, right_expr, ColumnType::Timestamp))
            }
            (None, _) => self.no_value(left_sql),
            (_, None) => self.no_value(right_sql),
            _ => {
                let hint = mismatch_hint((left_sql, left_type), (right_sql, right_type));
                let (left_name, right_name) = (type_name(left_type), type_name(right_type));
                let (left, right) = (snippet(left_sql), snippet(right_sql));
                self.refuse(right_sql, format!("{left} is {left_name}, but {right} is {right_name}; {hint}"))
            }
        }
    }

    /// Makes values fit one another, in their order, and gives the type in which they can be compared. What decides is
    /// the first that is no text constant and no property, since those are read as what they stand beside.
    pub(super) fn fit_all(&self, all: &[&SqlExpr]) -> Result<(Vec<Expr>, ColumnType)> {
        let typed = all.iter().map(|sql| Ok((*sql, self.expression(sql)?))).collect::<Result<Vec<_>>>()?;
        let is_property = |typed: &Typed| matches!(typed.0, Expr::Property { .. });
        let is_firm = |typed: &Typed| !is_property(typed) && !matches!(typed.0, Expr::Literal(Literal::Text(_)));
        let firm = typed.iter().position(|(_, typed)| is_firm(typed));
        let decisive = firm.or_else(|| typed.iter().position(|(_, typed)| !is_property(typed))).unwrap_or(0);
        let Some((decisive_sql, decisive_typed)) = typed.get(decisive).cloned() else {
            return Ok((Vec::new(), ColumnType::Text));
        };
        let mut common = decisive_typed.1;
        let mut fitted = Vec::with_capacity(typed.len());
        for (index, (sql, typed)) in typed.into_iter().enumerate() {
            let decisive_pair = (decisive_sql, decisive_typed.clone());
            let (expr, fits) = match index.cmp(&decisive) {
                Ordering::Less => self.fit((sql, typed), decisive_pair).map(|(expr, _, fits)| (expr, fits))?,
                Ordering::Equal => {
                    fitted.push(typed.0);
                    continue;
                }
                Ordering::Greater => self.fit(decisive_pair, (sql, typed)).map(|(_, expr, fits)| (expr, fits))?,
            };
            // One value of the wider type (decimal, timestamp) makes all of that type.
            if decisive_typed.1 != Some(fits) {
                common = Some(fits);
            }
            fitted.push(expr);
        }
        match common {
            Some(common) => Ok((fitted, common)),
            None => self.no_value(decisive_sql),
        }
    }

    /// Refuses an interval where a value is needed.
    fn no_value<T>(&self, sql: &SqlExpr) -> Result<T> {
        let hint = "move a time by it, such as `last_seen_at < now() - interval '30 days'`";
        self.refuse(sql, format!("{} is an interval, not a value; {hint}", snippet(sql)))
    }

    fn as_time(&self, sql: &SqlExpr, expr: Expr, own: Option<ColumnType>, other: Option<ColumnType>) -> Result<Typed> {
        let Expr::Literal(Literal::Text(text)) = &expr else {
            return Ok((expr, own));
        };
        match other {
            // Beside a day, a constant with an hour is still an instant: cutting the hour off would change the answer.
            Some(ColumnType::Date) => {
                let instant = |refused| literals::timestamp(text).map_err(|_| refused);
                self.constant(sql, literals::date(text).or_else(instant))
            }
            Some(ColumnType::Timestamp) => self.constant(sql, literals::timestamp(text)),
            _ => Ok((expr, own)),
        }
    }

    pub(super) fn number(&self, sql: &SqlExpr) -> Result<Typed> {
        let typed = self.expression(sql)?;
        self.as_number(sql, typed)
    }

    pub(super) fn as_number(&self, sql: &SqlExpr, typed: Typed) -> Result<Typed> {
        let typed = settled(typed, Some(ColumnType::Decimal));
        if typed.1.is_some_and(is_number) {
            return Ok(typed);
        }
        let is_text = typed.1 == Some(ColumnType::Text);
        let hint = if is_text { "; write `cast(... as decimal)` if it holds numbers" } else { "" };
        self.refuse(sql, format!("{} is {}, but a number is needed here{hint}", snippet(sql), type_name(typed.1)))
    }

    /// A date or a timestamp.
    pub(super) fn time(&self, sql: &SqlExpr) -> Result<Typed> {
        let typed = settled(self.expression(sql)?, Some(ColumnType::Timestamp));
        if typed.1.is_some_and(is_time) {
            return Ok(typed);
        }
        self.refuse(sql, format!("{} is {}, but a date or a time is needed here", snippet(sql), type_name(typed.1)))
    }

    pub(super) fn text(&self, sql: &SqlExpr) -> Result<Expr> {
        match self.expression(sql)? {
            (expr, Some(ColumnType::Text)) => Ok(expr),
            (_, other) => self.refuse(
                sql,
                format!("{} is {}, but text is needed here; write `cast(... as text)`", snippet(sql), type_name(other)),
            ),
        }
    }
}

/// A property of an event takes the type that is asked of it; everything else keeps its own.
pub(super) fn settled(typed: Typed, asked: Option<ColumnType>) -> Typed {
    let as_type = match asked {
        // What JSON calls a number may have a fraction.
        Some(ColumnType::Integer | ColumnType::Decimal) => ColumnType::Decimal,
        Some(other) if other != ColumnType::Texts => other,
        _ => return typed,
    };
    match typed {
        (Expr::Property { property, .. }, _) => (Expr::Property { property, as_type }, Some(as_type)),
        other => other,
    }
}

pub(super) fn type_name(value_type: Option<ColumnType>) -> &'static str {
    match value_type {
        None => "an interval",
        Some(ColumnType::Text) => "text",
        Some(ColumnType::Integer | ColumnType::Decimal) => "a number",
        Some(ColumnType::Boolean) => "true or false",
        Some(ColumnType::Date) => "a date",
        Some(ColumnType::Timestamp) => "a time",
        Some(ColumnType::Texts) => "a list",
    }
}

pub(super) fn is_number(value_type: ColumnType) -> bool {
    matches!(value_type, ColumnType::Integer | ColumnType::Decimal)
}

pub(super) fn is_time(value_type: ColumnType) -> bool {
    matches!(value_type, ColumnType::Date | ColumnType::Timestamp)
}

/// A type as files write it.
pub(super) fn keyword(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Text => "text",
        ColumnType::Integer => "integer",
        ColumnType::Decimal => "decimal",
        ColumnType::Boolean => "boolean",
        ColumnType::Date => "date",
        ColumnType::Timestamp => "timestamp",
        ColumnType::Texts => "list",
    }
}

fn mismatch_hint(left: (&SqlExpr, Option<ColumnType>), right: (&SqlExpr, Option<ColumnType>)) -> String {
    let (text, other) = match (left.1, right.1) {
        (Some(ColumnType::Texts), _) | (_, Some(ColumnType::Texts)) => {
            return "write `contains(list, 'entry')`".to_owned();
        }
        (Some(ColumnType::Boolean), Some(other)) | (Some(other), Some(ColumnType::Boolean)) if is_number(other) => {
            return "a condition stands by itself; to count events, use `event_count(...)`".to_owned();
        }
        (Some(ColumnType::Text), _) => (left.0, right),
        (_, Some(ColumnType::Text)) => (right.0, left),
        _ => return "compare values of one type".to_owned(),
    };
    let wanted = match other.1 {
        Some(ColumnType::Integer | ColumnType::Decimal) => "decimal",
        Some(ColumnType::Boolean) => "boolean",
        Some(ColumnType::Date) => "date",
        Some(ColumnType::Timestamp) => "timestamp",
        _ => return "compare values of one type".to_owned(),
    };
    match (text, other.0) {
        (SqlExpr::Value(_), SqlExpr::Value(_)) => "compare a column with a constant".to_owned(),
        (SqlExpr::Value(value), _) => {
            let bare = value.to_string();
            format!("write {} without quotes", bare.trim_matches('\''))
        }
        (_, SqlExpr::Value(value)) => {
            format!("write '{value}' in quotes, or `cast({text} as {wanted})`")
        }
        _ => format!("write `cast({text} as {wanted})`"),
    }
}
