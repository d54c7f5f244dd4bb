//! What a text calls and names, found before any column is known.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::behavior::{Measure, Sequence, Window};
use super::check::{Checker, Scope};
use super::functions::{Family, family};
use super::header::read_header;
use super::parse::sql_parser::ast::{Expr as SqlExpr, Function, Ident, Visit, Visitor};
use super::syntax::{Kind, check_text, parse_sql};
use super::traits::window_of;
use super::tree::{ColumnType, Expr};
use super::used::{measures_used, sequences_used};
use crate::error::{EngineError, Result};

/// Returns the measures that the file of a segment or a trait calls, each once, ordered. Says nothing of what else is
/// in the file; only these calls are checked.
///
/// # Errors
///
/// `InvalidInput` as `file:line:column: what is wrong, what is allowed`.
pub(crate) fn measures_in(text: &str, file: &str) -> Result<Vec<Measure>> {
    let calls = calls(text, file)?;
    let measures: BTreeSet<Measure> = calls.iter().flat_map(measures_used).collect();
    Ok(measures.into_iter().collect())
}

/// Returns the sequences that the file of a segment or a trait calls, each once, ordered.
///
/// # Errors
///
/// As [`measures_in`].
pub(crate) fn sequences_in(text: &str, file: &str) -> Result<Vec<Sequence>> {
    let calls = calls(text, file)?;
    let sequences: BTreeSet<Sequence> = calls.iter().flat_map(sequences_used).collect();
    Ok(sequences.into_iter().collect())
}

/// Whether every column that an expression names is one of some.
pub(super) fn names_only(sql: &SqlExpr, columns: &[(String, ColumnType)]) -> bool {
    let is_column = |name: &Ident| {
        columns.iter().any(|(column, _)| match name.quote_style {
            Some(_) => *column == name.value,
            None => column.eq_ignore_ascii_case(&name.value),
        })
    };
    let mut names_others = false;
    walk(sql, &mut |node| {
        if let Node::Name(name) = node {
            names_others |= !is_column(name);
        }
    });
    !names_others
}

/// The checked calls of measures and sequences.
fn calls(text: &str, file: &str) -> Result<Vec<Expr>> {
    let text = check_text(Kind::File, file, text)?;
    let window = window_of(file, &read_header(text))?;
    let parsed = parse_sql(Kind::File, file, text)?;
    // These calls are the same in segments and in traits, and name no column of profiles.
    let checker = Checker::new(Scope::Trait, "", file, &[]).with_window(window.unwrap_or(Window::Ever));
    let mut calls = Vec::new();
    let mut failed: Option<EngineError> = None;
    walk(&parsed, &mut |node| {
        if let Node::Events(call) = node
            && failed.is_none()
        {
            match checker.expression(call) {
                Ok((expr, _)) => calls.push(expr),
                Err(error) => failed = Some(error),
            }
        }
    });
    failed.map_or(Ok(calls), Err)
}

/// What a walk finds.
pub(super) enum Node<'s> {
    /// A call that tells of events. What is inside it is not walked: it is about events.
    Events(&'s SqlExpr),
    /// Another call: the whole of it, and taken apart. What is inside it is walked, too.
    Call(&'s SqlExpr, &'s Function),
    /// The name of a column of profiles.
    Name(&'s Ident),
}

/// Calls `visit` for each such node, in the order of the text.
pub(super) fn walk(sql: &SqlExpr, visit: &mut impl FnMut(Node<'_>)) {
    let mut walk = Walk { visit, inside: 0 };
    let _ = sql.visit(&mut walk);
}

struct Walk<'v, F> {
    visit: &'v mut F,
    /// How many calls that tell of events surround the current node.
    inside: usize,
}

fn tells_of_events(sql: &SqlExpr) -> bool {
    let SqlExpr::Function(function) = sql else { return false };
    let name = function.name.to_string().to_lowercase();
    matches!(family(&name), Some(Family::Measure | Family::Sequence))
}

impl<F: FnMut(Node<'_>)> Visitor for Walk<'_, F> {
    type Break = ();

    fn pre_visit_expr(&mut self, sql: &SqlExpr) -> ControlFlow<()> {
        if tells_of_events(sql) {
            if self.inside == 0 {
                (self.visit)(Node::Events(sql));
            }
            self.inside += 1;
        } else if self.inside == 0 {
            match sql {
                SqlExpr::Function(function) => (self.visit)(Node::Call(sql, function)),
                SqlExpr::Identifier(name) => (self.visit)(Node::Name(name)),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, sql: &SqlExpr) -> ControlFlow<()> {
        if tells_of_events(sql) {
            self.inside -= 1;
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests;
