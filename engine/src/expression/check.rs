//! From the SQL parser's tree to ours: lets through what the language has, with types that fit, and says of
//! everything else where it is and what may stand there.

use super::behavior::{EVENT_COLUMNS, Figure, Window};
use super::literals;
use super::parse::sql_parser::ast::{
    BinaryOperator, CastKind, CeilFloorKind, DateTimeField, Expr as SqlExpr, Ident, Spanned, TrimWhereField,
    UnaryOperator, Value,
};
use super::parse::sql_parser::tokenizer::Location;
use super::syntax::refused;
use super::types::{settled, type_name};
use super::{BinaryOp, ColumnType, Expr, Literal, ScalarFunction};
use crate::config::nearest::{nearest, suggestion};
use crate::error::{EngineError, Result};

/// Of a piece of SQL shown in a message.
const SNIPPET_CHARACTERS_MAX: usize = 60;

pub(super) const ALLOWED: &str = "allowed are columns, constants, `and`, `or`, `not`, `= <> < <= > >=`, `+ - * / % ||`, \
    `is null`, `in (...)`, `between`, `like`, `ilike`, `~`, `case`, `cast(... as ...)` and functions";

/// A checked expression with its type; `None` is an interval.
pub(super) type Typed = (Expr, Option<ColumnType>);

/// Where an expression stands, which decides what it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// In a segment's file.
    Segment,
    /// In a trait's file.
    Trait,
    /// In the condition of a figure: over one event.
    Event,
}

impl Scope {
    /// The scope in the words of messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Scope::Segment => "segments",
            Scope::Trait => "traits",
            Scope::Event => "a condition over events",
        }
    }
}

/// Checks the expression of one file.
pub(super) struct Checker<'a> {
    pub(super) scope: Scope,
    /// The name of what the file defines.
    pub(super) name: &'a str,
    file: &'a str,
    columns: Vec<(&'a str, ColumnType)>,
    /// The window of figures that give none.
    pub(super) window: Window,
}

impl<'a> Checker<'a> {
    pub(super) fn new(scope: Scope, name: &'a str, file: &'a str, columns: &'a [(String, ColumnType)]) -> Self {
        let columns = columns.iter().map(|(name, column_type)| (name.as_str(), *column_type)).collect();
        Self { scope, name, file, columns, window: Window::Ever }
    }

    /// The checker with a window for figures that give none.
    pub(super) fn with_window(self, window: Window) -> Self {
        Self { window, ..self }
    }

    /// The checker of conditions over one event in the same file.
    pub(super) fn over_events(&self) -> Self {
        Self {
            scope: Scope::Event,
            name: self.name,
            file: self.file,
            columns: EVENT_COLUMNS.to_vec(),
            window: self.window,
        }
    }

    pub(super) fn refuse<T>(&self, sql: &SqlExpr, message: impl Into<String>) -> Result<T> {
        Err(self.error(sql, message))
    }

    /// An error at the start of `sql`.
    pub(super) fn error(&self, sql: &SqlExpr, message: impl Into<String>) -> EngineError {
        refused(self.file, start_of(sql), message.into())
    }

    pub(super) fn condition(&self, sql: &SqlExpr) -> Result<Expr> {
        match settled(self.expression(sql)?, Some(ColumnType::Boolean)) {
            (expr, Some(ColumnType::Boolean)) => Ok(expr),
            (expr, other) => {
                let hint = match (&expr, other) {
                    (Expr::Measure(measure), _) if measure.figure == Figure::Count => {
                        "compare it, such as `>= 1`, or use `did(...)`".to_owned()
                    }
                    (_, Some(ColumnType::Texts)) => "write `contains(list, '...')`".to_owned(),
                    (Expr::Column { name, .. }, Some(ColumnType::Text)) => {
                        format!("compare it, such as `{name} = '...'`")
                    }
                    (_, Some(ColumnType::Integer | ColumnType::Decimal)) => "compare it, such as `> 0`".to_owned(),
                    _ => "compare it with something".to_owned(),
                };
                self.refuse(sql, format!("{} is {}, not a condition; {hint}", snippet(sql), type_name(other)))
            }
        }
    }

    pub(super) fn expression(&self, sql: &SqlExpr) -> Result<Typed> {
        match sql {
            SqlExpr::Nested(inner) => self.expression(inner),
            SqlExpr::Identifier(ident) => self.column(sql, ident),
            SqlExpr::Value(value) => self.constant(sql, literals::literal(&value.value)),
            SqlExpr::TypedString(typed) => match &typed.value.value {
                Value::SingleQuotedString(text) => self.constant(sql, literals::typed_text(&typed.data_type, text)),
                _ => self.refuse(sql, "write the constant in single quotes"),
            },
            SqlExpr::Interval(interval) => self.constant(sql, literals::interval(interval).map(Literal::Interval)),
            SqlExpr::UnaryOp { op, expr } => self.unary(sql, *op, expr),
            SqlExpr::BinaryOp { op: BinaryOperator::And, .. } => self.chain(sql, &BinaryOperator::And),
            SqlExpr::BinaryOp { op: BinaryOperator::Or, .. } => self.chain(sql, &BinaryOperator::Or),
            SqlExpr::BinaryOp { left, op, right } => self.binary(sql, left, op, right),
            SqlExpr::IsNull(expr) => self.is_null(expr, false),
            SqlExpr::IsNotNull(expr) => self.is_null(expr, true),
            SqlExpr::IsUnknown(expr) => self.is_unknown(expr, false),
            SqlExpr::IsNotUnknown(expr) => self.is_unknown(expr, true),
            SqlExpr::IsTrue(expr) => self.is_boolean(expr, true, false),
            SqlExpr::IsNotTrue(expr) => self.is_boolean(expr, true, true),
            SqlExpr::IsFalse(expr) => self.is_boolean(expr, false, false),
            SqlExpr::IsNotFalse(expr) => self.is_boolean(expr, false, true),
            SqlExpr::IsDistinctFrom(left, right) => self.distinct(sql, BinaryOp::Distinct, left, right),
            SqlExpr::IsNotDistinctFrom(left, right) => self.distinct(sql, BinaryOp::NotDistinct, left, right),
            SqlExpr::InList { expr, list, negated } => self.is_one_of(expr, list, *negated),
            SqlExpr::Between { expr, negated, low, high } => self.between(expr, low, high, *negated),
            SqlExpr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, (pattern, escape_char.as_ref()), *negated, false)
            }
            SqlExpr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, (pattern, escape_char.as_ref()), *negated, true)
            }
            SqlExpr::Cast {
                kind: CastKind::Cast | CastKind::TryCast | CastKind::DoubleColon,
                expr,
                data_type,
                array: false,
                format: None,
            } => self.cast(sql, expr, data_type),
            SqlExpr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            // The parser has nodes of their own for these functions.
            SqlExpr::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.whole(expr, ScalarFunction::Floor)
            }
            SqlExpr::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.whole(expr, ScalarFunction::Ceil)
            }
            SqlExpr::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    None | Some(TrimWhereField::Both) => "trim",
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                };
                let characters = trim_what.as_deref().into_iter().chain(trim_characters.iter().flatten());
                self.plain(sql, name, &std::iter::once(&**expr).chain(characters).collect::<Vec<_>>())
            }
            SqlExpr::Substring { expr, substring_from: Some(from), substring_for, .. } => {
                let bounds = std::iter::once(&**from).chain(substring_for.as_deref());
                self.plain(sql, "substr", &std::iter::once(&**expr).chain(bounds).collect::<Vec<_>>())
            }
            SqlExpr::Position { expr, r#in } => self.plain(sql, "strpos", &[r#in, expr]),
            SqlExpr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
                let list = if let SqlExpr::Nested(list) = &**right { list } else { right };
                self.has_entry(list, left)
            }
            SqlExpr::AtTimeZone { timestamp, time_zone } => self.time_zone(timestamp, time_zone),
            SqlExpr::Extract { field, expr, .. } => self.date_part(sql, &field.to_string(), expr),
            SqlExpr::Function(function) => self.function(sql, function),
            other => {
                let (snippet, scope) = (snippet(other), self.scope.name());
                self.refuse(other, format!("{snippet} is not available in {scope}; {}", instead_of(other)))
            }
        }
    }

    fn column(&self, sql: &SqlExpr, ident: &Ident) -> Result<Typed> {
        if let Some((name, column_type)) = self.known_column(ident) {
            return Ok((Expr::Column { name: name.to_owned(), column_type }, Some(column_type)));
        }
        let wanted = ident.value.as_str();
        // Where no condition follows it, the parser takes it for a name.
        if ident.quote_style.is_none() && wanted.eq_ignore_ascii_case("not") {
            return self.refuse(sql, "there is no condition after `not`; write one, or remove `not`");
        }
        let names = self.columns.iter().map(|(name, _)| *name);
        let hint = match (nearest(wanted, names.clone()), ident.quote_style) {
            (Some(known), _) => format!("did you mean `{known}`?"),
            (None, Some(_)) => format!("if it is text, write it in single quotes: '{wanted}'"),
            (None, None) if self.scope == Scope::Event => {
                format!("write `property('{wanted}')` for a property; columns are {}", suggestion(wanted, names))
            }
            (None, None) => suggestion(wanted, names),
        };
        let table = if self.scope == Scope::Event { "`behavior.events`" } else { "`profile.profiles`" };
        self.refuse(sql, format!("there is no column `{wanted}` in {table}; {hint}"))
    }

    /// The column of a name. As in SQL, case does not count unless the name is quoted.
    pub(super) fn known_column(&self, ident: &Ident) -> Option<(&'a str, ColumnType)> {
        let exact = self.columns.iter().find(|(name, _)| *name == ident.value);
        let any_case = || match ident.quote_style {
            Some(_) => None,
            None => self.columns.iter().find(|(name, _)| name.eq_ignore_ascii_case(&ident.value)),
        };
        exact.or_else(any_case).copied()
    }

    pub(super) fn constant(&self, sql: &SqlExpr, literal: Result<Literal, String>) -> Result<Typed> {
        let literal = literal.map_err(|message| self.error(sql, message))?;
        let literal_type = literal.value_type();
        Ok((Expr::Literal(literal), literal_type))
    }

    fn unary(&self, sql: &SqlExpr, op: UnaryOperator, inner: &SqlExpr) -> Result<Typed> {
        match op {
            UnaryOperator::Not => {
                let condition = self.condition(inner)?;
                Ok((Expr::Not(Box::new(condition)), Some(ColumnType::Boolean)))
            }
            UnaryOperator::Minus | UnaryOperator::Plus => {
                let (expr, number_type) = self.number(inner)?;
                let expr = match expr {
                    unchanged if op == UnaryOperator::Plus => unchanged,
                    Expr::Literal(literal) => match literals::negated(&literal) {
                        Some(literal) => Expr::Literal(literal),
                        None => return self.refuse(sql, "the number is out of range"),
                    },
                    other => Expr::Negate(Box::new(other)),
                };
                Ok((expr, number_type))
            }
            _ => self.refuse(sql, format!("operator `{op}` is not available; {ALLOWED}")),
        }
    }

    /// The terms of `a and b and c`, which the parser nests to the left, as one list. Loops down the left side, so
    /// that a long chain needs no deep stack.
    fn chain(&self, sql: &SqlExpr, wanted: &BinaryOperator) -> Result<Typed> {
        let mut terms = Vec::new();
        let mut rest = sql;
        while let SqlExpr::BinaryOp { left, op, right } = rest
            && op == wanted
        {
            terms.push(right.as_ref());
            rest = left;
        }
        terms.push(rest);
        let conditions = terms.into_iter().rev().map(|term| self.condition(term)).collect::<Result<Vec<_>>>()?;
        let expr = if *wanted == BinaryOperator::And { Expr::And(conditions) } else { Expr::Or(conditions) };
        Ok((expr, Some(ColumnType::Boolean)))
    }
}

/// Where an expression starts. Walks down the left side in a loop: the parser's own `span` of a long chain of `and`
/// would need more stack than a thread has.
pub(super) fn start_of(sql: &SqlExpr) -> Location {
    let mut first = sql;
    loop {
        first = match first {
            SqlExpr::BinaryOp { left, .. } => left,
            SqlExpr::Nested(inner) => inner,
            SqlExpr::Function(function) => return function.name.span().start,
            other => return other.span().start,
        };
    }
}

/// The beginning of a piece of SQL, in backticks.
pub(super) fn snippet(sql: &SqlExpr) -> String {
    let text = sql.to_string();
    match text.char_indices().nth(SNIPPET_CHARACTERS_MAX) {
        Some((end, _)) => format!("`{}...`", text.get(..end).unwrap_or_default()),
        None => format!("`{text}`"),
    }
}

/// What to write instead of a construct that the language leaves out.
fn instead_of(sql: &SqlExpr) -> &'static str {
    match sql {
        SqlExpr::Subquery(_) | SqlExpr::Exists { .. } | SqlExpr::InSubquery { .. } => {
            "use another segment with `in_segment('name')`, or a trait"
        }
        SqlExpr::Floor { .. } | SqlExpr::Ceil { .. } => "write `floor(number)` or `ceil(number)`",
        SqlExpr::Substring { .. } => "write `substr(text, 1, 3)`",
        SqlExpr::AnyOp { .. } | SqlExpr::AllOp { .. } => "write `contains(list, 'entry')` or `not contains(...)`",
        SqlExpr::CompoundIdentifier(_) | SqlExpr::CompoundFieldAccess { .. } => "write the column's name alone",
        SqlExpr::Like { .. } | SqlExpr::ILike { .. } => "write `like` with one pattern",
        SqlExpr::SimilarTo { .. } | SqlExpr::RLike { .. } => "use `like`, or `~` with a regular expression",
        SqlExpr::Tuple(_) => "compare columns one by one",
        _ => ALLOWED,
    }
}
