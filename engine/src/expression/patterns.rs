//! What a text looks like: `like` and regular expressions.

use regex::Regex;

use super::check::{Checker, Typed, snippet};
use super::literals::text_constant;
use super::parse::sql_parser::ast::Expr as SqlExpr;
use super::{ColumnType, Expr};
use crate::error::Result;

impl Checker<'_> {
    pub(super) fn like(
        &self,
        inner: &SqlExpr,
        pattern: &SqlExpr,
        negated: bool,
        case_insensitive: bool,
    ) -> Result<Typed> {
        let expr = self.text(inner)?;
        let Some(pattern) = text_constant(pattern) else {
            return self.refuse(pattern, "a pattern must be a text constant, such as '%@example.com'");
        };
        let expr = Expr::Like { expr: Box::new(expr), pattern: pattern.to_owned(), negated, case_insensitive };
        Ok((expr, Some(ColumnType::Boolean)))
    }

    /// Whether a text matches a regular expression.
    pub(super) fn matches(
        &self,
        inner: &SqlExpr,
        pattern_sql: &SqlExpr,
        negated: bool,
        case_insensitive: bool,
    ) -> Result<Typed> {
        let expr = Box::new(self.text(inner)?);
        let Some(pattern) = text_constant(pattern_sql) else {
            return self.refuse(pattern_sql, "a regular expression must be a text constant, such as '@(gmail|gmx)[.]'");
        };
        // As it will be run.
        let run = if case_insensitive { format!("(?i){pattern}") } else { pattern.to_owned() };
        if let Err(error) = Regex::new(&run) {
            // The first lines show the pattern again.
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            return self.refuse(pattern_sql, format!("{} is no regular expression: {why}", snippet(pattern_sql)));
        }
        let expr = Expr::Matches { expr, pattern: pattern.to_owned(), negated, case_insensitive };
        Ok((expr, Some(ColumnType::Boolean)))
    }
}
