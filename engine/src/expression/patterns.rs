//! What a text looks like: `like` and regular expressions.

use regex::Regex;

use super::check::{Checker, Typed, snippet};
use super::literals::text_constant;
use super::parse::sql_parser::ast::{Expr as SqlExpr, Value, ValueWithSpan};
use super::{ColumnType, Expr};
use crate::error::Result;

/// The longest pattern of `like`, which becomes a regular expression: of many wildcards it would be too large to run.
const PATTERN_BYTES_MAX: usize = 1_000;

impl Checker<'_> {
    pub(super) fn like(
        &self,
        inner: &SqlExpr,
        (pattern_sql, escape): (&SqlExpr, Option<&ValueWithSpan>),
        negated: bool,
        case_insensitive: bool,
    ) -> Result<Typed> {
        let expr = Box::new(self.text(inner)?);
        let Some(pattern) = text_constant(pattern_sql) else {
            return self.refuse(pattern_sql, "a pattern must be a text constant, such as '%@example.com'");
        };
        let pattern = match escape.map(|escape| &escape.value) {
            None => Ok(pattern.to_owned()),
            Some(Value::SingleQuotedString(escape)) => with_backslashes(pattern, escape),
            Some(other) => Err(format!("`escape {other}` is no text; write a character, such as '!'")),
        };
        let pattern = pattern.map_err(|message| self.error(pattern_sql, message))?;
        if pattern.len() > PATTERN_BYTES_MAX {
            return self.refuse(pattern_sql, format!("the pattern is longer than {PATTERN_BYTES_MAX} bytes"));
        }
        Ok((Expr::Like { expr, pattern, negated, case_insensitive }, Some(ColumnType::Boolean)))
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

/// The pattern with a backslash in front of what is meant literally, as without `escape`. An empty `escape` is none.
fn with_backslashes(pattern: &str, escape: &str) -> std::result::Result<String, String> {
    let mut characters = escape.chars();
    let (escape, None) = (characters.next(), characters.next()) else {
        return Err(format!("`escape '{escape}'` is longer than one character; write one such as '!'"));
    };
    let mut written = String::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        let literal = if Some(character) == escape {
            let hint = "write it twice, or a character behind it";
            Some(rest.next().ok_or_else(|| format!("the pattern ends with its `escape` character; {hint}"))?)
        } else {
            (character == '\\').then_some(character)
        };
        written.extend(literal.map(|_| '\\'));
        written.push(literal.unwrap_or(character));
    }
    Ok(written)
}
