//! The operators of the language: comparison, arithmetic, membership of a list or range, casts.

use super::check::{ALLOWED, Checker, Typed, snippet};
use super::parse::sql_parser::ast::{BinaryOperator, DataType, Expr as SqlExpr, UnaryOperator};
use super::types::{is_number, is_time, settled, type_name};
use super::{BinaryOp, ColumnType, Expr, Literal, ScalarFunction};
use crate::error::Result;

const UNORDERED: &str = "conditions have no order; compare them with `=` or `<>`";

impl Checker<'_> {
    pub(super) fn binary(&self, sql: &SqlExpr, left: &SqlExpr, op: &BinaryOperator, right: &SqlExpr) -> Result<Typed> {
        match op {
            BinaryOperator::Eq => self.compare(sql, BinaryOp::Equal, left, right),
            BinaryOperator::NotEq => self.compare(sql, BinaryOp::NotEqual, left, right),
            BinaryOperator::Lt => self.compare(sql, BinaryOp::Less, left, right),
            BinaryOperator::LtEq => self.compare(sql, BinaryOp::LessOrEqual, left, right),
            BinaryOperator::Gt => self.compare(sql, BinaryOp::Greater, left, right),
            BinaryOperator::GtEq => self.compare(sql, BinaryOp::GreaterOrEqual, left, right),
            BinaryOperator::Plus => self.arithmetic(sql, BinaryOp::Add, left, right),
            BinaryOperator::Minus => self.arithmetic(sql, BinaryOp::Subtract, left, right),
            BinaryOperator::Multiply => self.arithmetic(sql, BinaryOp::Multiply, left, right),
            BinaryOperator::Divide => self.arithmetic(sql, BinaryOp::Divide, left, right),
            BinaryOperator::Modulo => self.arithmetic(sql, BinaryOp::Modulo, left, right),
            BinaryOperator::PGRegexMatch => self.matches(left, right, false, false),
            BinaryOperator::PGRegexIMatch => self.matches(left, right, false, true),
            BinaryOperator::PGRegexNotMatch => self.matches(left, right, true, false),
            BinaryOperator::PGRegexNotIMatch => self.matches(left, right, true, true),
            BinaryOperator::StringConcat => {
                let (left, right) = (Box::new(self.text(left)?), Box::new(self.text(right)?));
                Ok((Expr::Binary { op: BinaryOp::Concatenate, left, right }, Some(ColumnType::Text)))
            }
            other => self.refuse(sql, format!("operator `{other}` is not available; {ALLOWED}")),
        }
    }

    pub(super) fn compare(&self, sql: &SqlExpr, op: BinaryOp, left: &SqlExpr, right: &SqlExpr) -> Result<Typed> {
        let (left_expr, right_expr, common) = self.comparable(left, right)?;
        let is_order =
            matches!(op, BinaryOp::Less | BinaryOp::LessOrEqual | BinaryOp::Greater | BinaryOp::GreaterOrEqual);
        match common {
            ColumnType::Boolean if is_order => return self.refuse(sql, UNORDERED),
            ColumnType::Texts => return self.refuse(sql, "lists are not compared; write `contains(list, 'entry')`"),
            _ => {}
        }
        let expr = Expr::Binary { op, left: Box::new(left_expr), right: Box::new(right_expr) };
        Ok((expr, Some(ColumnType::Boolean)))
    }

    /// `is distinct from`. The parser takes all that follows, `and` included, for the right side: what does not end there is
    /// refused, so that nobody is misread.
    pub(super) fn distinct(&self, sql: &SqlExpr, op: BinaryOp, left: &SqlExpr, right: &SqlExpr) -> Result<Typed> {
        let ends_here = match right {
            SqlExpr::BinaryOp { op, .. } => matches!(
                op,
                BinaryOperator::Plus
                    | BinaryOperator::Minus
                    | BinaryOperator::Multiply
                    | BinaryOperator::Divide
                    | BinaryOperator::Modulo
                    | BinaryOperator::StringConcat
            ),
            SqlExpr::Identifier(_)
            | SqlExpr::Value(_)
            | SqlExpr::TypedString(_)
            | SqlExpr::Nested(_)
            | SqlExpr::Function(_)
            | SqlExpr::Cast { .. }
            | SqlExpr::Case { .. } => true,
            SqlExpr::UnaryOp { op, .. } => *op != UnaryOperator::Not,
            _ => false,
        };
        if !ends_here {
            return self
                .refuse(sql, "write brackets around `... is distinct from ...`, so that it is clear where it ends");
        }
        self.compare(sql, op, left, right)
    }

    /// Two values that can be compared, and their type.
    fn comparable(&self, left: &SqlExpr, right: &SqlExpr) -> Result<(Expr, Expr, ColumnType)> {
        let left_typed = self.expression(left)?;
        let right_typed = self.expression(right)?;
        self.fit((left, left_typed), (right, right_typed))
    }

    pub(super) fn arithmetic(&self, sql: &SqlExpr, op: BinaryOp, left: &SqlExpr, right: &SqlExpr) -> Result<Typed> {
        let left_typed = self.expression(left)?;
        let mut right = right;
        while let SqlExpr::Nested(inner) = right {
            right = inner;
        }
        let is_shift = matches!(op, BinaryOp::Add | BinaryOp::Subtract);
        if is_shift && matches!(right, SqlExpr::Interval(_)) {
            return self.shift(op, (left, left_typed), right);
        }
        if is_shift && left_typed.1.is_some_and(is_time) {
            let right_typed = self.expression(right)?;
            if op == BinaryOp::Subtract && [left_typed.1, right_typed.1] == [Some(ColumnType::Date); 2] {
                let since = |day| Expr::DaysSince(Box::new(day));
                let is_until_today =
                    matches!(left_typed.0, Expr::Function { function: ScalarFunction::CurrentDate, .. });
                let days = if is_until_today {
                    since(right_typed.0)
                } else {
                    let (left, right) = (Box::new(since(right_typed.0)), Box::new(since(left_typed.0)));
                    Expr::Binary { op, left, right }
                };
                return Ok((days, Some(ColumnType::Integer)));
            }
            return self.no_shift(sql, op, left_typed.1, (right, right_typed.1));
        }
        let (left_expr, left_type) = self.as_number(left, left_typed)?;
        let (right_expr, right_type) = self.number(right)?;
        let is_integer = left_type == Some(ColumnType::Integer) && right_type == left_type && op != BinaryOp::Divide;
        let result_type = if is_integer { ColumnType::Integer } else { ColumnType::Decimal };
        let expr = Expr::Binary { op, left: Box::new(left_expr), right: Box::new(right_expr) };
        Ok((expr, Some(result_type)))
    }

    /// Refuses to add something that is no interval to a time, or to take it off.
    fn no_shift(
        &self,
        sql: &SqlExpr,
        op: BinaryOp,
        left_type: Option<ColumnType>,
        right: (&SqlExpr, Option<ColumnType>),
    ) -> Result<Typed> {
        let (right_sql, right_type) = right;
        let (done, preposition) = if op == BinaryOp::Add { ("added", "to") } else { ("subtracted", "from") };
        if right_type.is_some_and(is_time) {
            let hint = "write `days_since(first_seen_at) > 30`, or `first_seen_at < now() - interval '30 days'`";
            return self.refuse(sql, format!("times cannot be {done}; {hint}"));
        }
        let message = format!(
            "{} is {}, which cannot be {done} {preposition} {}; write an interval, such as `interval '30 days'`",
            snippet(right_sql),
            type_name(right_type),
            type_name(left_type)
        );
        self.refuse(right_sql, message)
    }

    /// A date or time moved by an interval.
    fn shift(&self, op: BinaryOp, moved: (&SqlExpr, Typed), interval_sql: &SqlExpr) -> Result<Typed> {
        let (moved_sql, moved) = moved;
        let (moved_expr, moved_type) = settled(moved, Some(ColumnType::Timestamp));
        if !moved_type.is_some_and(is_time) {
            let message = format!(
                "{} is {}; only a date or a time can be moved by an interval",
                snippet(moved_sql),
                type_name(moved_type)
            );
            return self.refuse(moved_sql, message);
        }
        let (interval, _) = self.expression(interval_sql)?;
        let has_minutes = matches!(interval, Expr::Literal(Literal::Interval(span)) if span.minutes > 0);
        if has_minutes && moved_type == Some(ColumnType::Date) {
            let message = format!(
                "{} is a date, which has no hours and minutes; move a time, such as `now()`",
                snippet(moved_sql)
            );
            return self.refuse(interval_sql, message);
        }
        Ok((Expr::Binary { op, left: Box::new(moved_expr), right: Box::new(interval) }, moved_type))
    }

    pub(super) fn is_null(&self, inner: &SqlExpr, negated: bool) -> Result<Typed> {
        match self.expression(inner)? {
            (Expr::Literal(_), _) => {
                self.refuse(inner, format!("{} is a constant, which is never null", snippet(inner)))
            }
            (expr, _) => Ok((Expr::IsNull { expr: Box::new(expr), negated }, Some(ColumnType::Boolean))),
        }
    }

    /// A condition that is neither true nor false.
    pub(super) fn is_unknown(&self, inner: &SqlExpr, negated: bool) -> Result<Typed> {
        match self.condition(inner)? {
            // What it is null of depends on what it is read as.
            Expr::Property { .. } => self.refuse(inner, format!("{} is no condition; write `is null`", snippet(inner))),
            expr => Ok((Expr::IsNull { expr: Box::new(expr), negated }, Some(ColumnType::Boolean))),
        }
    }

    pub(super) fn is_boolean(&self, inner: &SqlExpr, value: bool, negated: bool) -> Result<Typed> {
        let expr = Box::new(self.condition(inner)?);
        Ok((Expr::IsBoolean { expr, value, negated }, Some(ColumnType::Boolean)))
    }

    pub(super) fn is_one_of(&self, inner: &SqlExpr, items: &[SqlExpr], negated: bool) -> Result<Typed> {
        if items.is_empty() {
            return self.refuse(inner, "`in ()` is empty; name at least one value");
        }
        let all: Vec<&SqlExpr> = std::iter::once(inner).chain(items).collect();
        let (mut fitted, common) = self.fit_all(&all)?;
        if common == ColumnType::Texts {
            return self.refuse(inner, "lists are not compared; write `contains(list, 'entry')`");
        }
        let expr = Box::new(fitted.remove(0));
        Ok((Expr::IsOneOf { expr, list: fitted, negated }, Some(ColumnType::Boolean)))
    }

    pub(super) fn between(&self, inner: &SqlExpr, low: &SqlExpr, high: &SqlExpr, negated: bool) -> Result<Typed> {
        let (fitted, common) = self.fit_all(&[inner, low, high])?;
        match (common, <[Expr; 3]>::try_from(fitted)) {
            (ColumnType::Boolean, _) => self.refuse(inner, UNORDERED),
            (ColumnType::Texts, _) | (_, Err(_)) => {
                self.refuse(inner, "lists have no order; write `contains(list, 'entry')`")
            }
            (_, Ok([expr, low, high])) => {
                let (expr, low, high) = (Box::new(expr), Box::new(low), Box::new(high));
                Ok((Expr::Between { expr, low, high, negated }, Some(ColumnType::Boolean)))
            }
        }
    }

    pub(super) fn cast(&self, sql: &SqlExpr, inner: &SqlExpr, data_type: &DataType) -> Result<Typed> {
        let to = match data_type {
            DataType::Text | DataType::Varchar(None) => ColumnType::Text,
            DataType::Int(None) | DataType::Integer(None) | DataType::BigInt(None) => ColumnType::Integer,
            DataType::Decimal(_) | DataType::Numeric(_) => ColumnType::Decimal,
            DataType::Bool | DataType::Boolean => ColumnType::Boolean,
            DataType::Date => ColumnType::Date,
            DataType::Timestamp(None, _) => ColumnType::Timestamp,
            other => {
                let allowed = "`text`, `integer`, `decimal`, `boolean`, `date` or `timestamp`";
                return self.refuse(sql, format!("cast to `{other}` is not available; cast to {allowed}"));
            }
        };
        let (expr, from) = self.expression(inner)?;
        let fits = match (from, to) {
            (None | Some(ColumnType::Texts), _) => false,
            (Some(from), to) if from == to => true,
            (Some(ColumnType::Text), _) | (_, ColumnType::Text) => true,
            (Some(from), to) => (is_number(from) && is_number(to)) || (is_time(from) && is_time(to)),
        };
        if !fits {
            let (from, to) = (type_name(from), type_name(Some(to)));
            return self.refuse(sql, format!("{} is {from}, which cannot become {to}", snippet(inner)));
        }
        Ok((Expr::Cast { expr: Box::new(expr), to }, Some(to)))
    }
}
