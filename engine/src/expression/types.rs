//! Which types fit each other, and what to write when they do not.

use super::check::{Checker, Typed, snippet};
use super::literals;
use super::parse::sql_parser::ast::Expr as SqlExpr;
use super::{ColumnType, Expr, Literal};
use crate::error::Result;

impl Checker<'_> {
    /// Makes two checked values fit each other: text constants beside a date or time are read as such.
    pub(super) fn fit(&self, left: (&SqlExpr, Typed), right: (&SqlExpr, Typed)) -> Result<(Expr, Expr, ColumnType)> {
        let (left_sql, (left_expr, left_type)) = left;
        let (right_sql, (right_expr, right_type)) = right;
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
            _ => {
                let hint = mismatch_hint((left_sql, left_type), (right_sql, right_type));
                let (left_name, right_name) = (type_name(left_type), type_name(right_type));
                let (left, right) = (snippet(left_sql), snippet(right_sql));
                self.refuse(right_sql, format!("{left} is {left_name}, but {right} is {right_name}; {hint}"))
            }
        }
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
        if typed.1.is_some_and(is_number) {
            return Ok(typed);
        }
        let is_text = typed.1 == Some(ColumnType::Text);
        let hint = if is_text { "; write `cast(... as decimal)` if it holds numbers" } else { "" };
        self.refuse(sql, format!("{} is {}, but a number is needed here{hint}", snippet(sql), type_name(typed.1)))
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

pub(super) fn type_name(value_type: Option<ColumnType>) -> &'static str {
    match value_type {
        None => "a number of days",
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

fn mismatch_hint(left: (&SqlExpr, Option<ColumnType>), right: (&SqlExpr, Option<ColumnType>)) -> String {
    let (text, other) = match (left.1, right.1) {
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
