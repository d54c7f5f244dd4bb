//! Reads the file of a segment or of a trait: a header of comment lines, then one expression.
//!
//! ```sql
//! -- title: Loyal customers in France
//! -- purpose: marketing
//! country = 'FR' and event_count('Order Completed', within => interval '90 days') >= 2
//! ```

pub(super) use datafusion::sql::sqlparser as sql_parser;

use std::collections::BTreeSet;

use self::sql_parser::ast::Expr as SqlExpr;
use super::check::{Checker, Scope};
use super::header::read_header;
use super::order::order;
use super::references::{KnownNames, references_in};
use super::search::{measures_in, names_only};
use super::syntax::{Kind, check_text, parse_sql};
use super::{ColumnType, Expr, Literal, SegmentDefinition, SourceFile};
use crate::error::{EngineError, Result};

const HEADER_KEYS: [&str; 3] = ["title", "purpose", "description"];

/// Parses and checks one segment. `columns` are those of `profile.profiles`.
///
/// Whether what it names exists is for [`ReadSegments::checked`] to find out.
///
/// # Errors
///
/// `InvalidInput` as `file:line:column: what is wrong, what is allowed`; positions count from 1, columns in characters.
pub(crate) fn parse_segment(source: &SourceFile, columns: &[(String, ColumnType)]) -> Result<SegmentDefinition> {
    let SourceFile { name, file, .. } = source;
    read_segment(source, |parsed| Checker::new(Scope::Segment, name, file, columns).condition(parsed))
}

/// Parses one segment, whose expression `check` makes of what the parser does.
fn read_segment(source: &SourceFile, check: impl FnOnce(&SqlExpr) -> Result<Expr>) -> Result<SegmentDefinition> {
    let SegmentHeader { title, purpose, description, sql } = read_segment_header(source)?;
    let SourceFile { name, file, text } = source;
    let parsed = parse_sql(Kind::Segment, file, check_text(Kind::Segment, file, text)?)?;
    let (name, file, references) = (name.to_owned(), file.to_owned(), references_in(&parsed));
    Ok(SegmentDefinition { name, file, title, purpose, description, sql, expression: check(&parsed)?, references })
}

impl SourceFile {
    /// Checks segments as far as it shows without any data. `columns` are those that profiles always have, and traits: what else
    /// one names may be an attribute, and then only its figures are checked, and what it names that is no column.
    ///
    /// # Errors
    ///
    /// As [`ReadSegments::checked`].
    pub(crate) fn check_segments(files: &[Self], columns: &[(String, ColumnType)], known: KnownNames) -> Result<()> {
        let check = |source: &Self| {
            let Self { name, file, text } = source;
            read_segment(source, |parsed| match names_only(parsed, columns) {
                true => Checker::new(Scope::Segment, name, file, columns).condition(parsed),
                // Nobody computes it.
                false => measures_in(text, file).map(|_| Expr::Literal(Literal::Boolean(false))),
            })
        };
        ReadSegments::new(files, check).checked(known).map(drop)
    }
}

/// Parses and checks all segments, in an order in which each comes after those that it names. Lists and purposes of consent
/// may be any.
///
/// # Errors
///
/// As [`ReadSegments::checked`].
pub(crate) fn parse_segments(files: &[SourceFile], columns: &[(String, ColumnType)]) -> Result<Vec<SegmentDefinition>> {
    read_segments(files, columns).checked(KnownNames::default())
}

/// Parses and checks each segment for itself.
pub(crate) fn read_segments(files: &[SourceFile], columns: &[(String, ColumnType)]) -> ReadSegments {
    ReadSegments::new(files, |file| parse_segment(file, columns))
}

/// All segments before it is known whether what they name is there.
pub(crate) struct ReadSegments {
    /// Those of wrong ones, too: who names one of them is right.
    names: BTreeSet<String>,
    read: Vec<Result<SegmentDefinition>>,
}

/// Several parts as one.
impl FromIterator<Self> for ReadSegments {
    fn from_iter<I: IntoIterator<Item = Self>>(parts: I) -> Self {
        let mut whole = Self { names: BTreeSet::new(), read: Vec::new() };
        for part in parts {
            whole.names.extend(part.names);
            whole.read.extend(part.read);
        }
        whole
    }
}

impl ReadSegments {
    /// Segments as `read` parses and checks each for itself.
    pub(crate) fn new(files: &[SourceFile], read: impl FnMut(&SourceFile) -> Result<SegmentDefinition>) -> Self {
        let names = files.iter().map(|file| file.name.clone()).collect();
        Self { names, read: files.iter().map(read).collect() }
    }

    /// Those that are right as far as it is known, in the order of the files.
    pub(crate) fn definitions(&self) -> impl Iterator<Item = Option<&SegmentDefinition>> {
        self.read.iter().map(|read| read.as_ref().ok())
    }

    /// The conditions of those that are right as far as it is known.
    pub(crate) fn expressions(&self) -> Vec<&Expr> {
        self.definitions().flatten().map(|definition| &definition.expression).collect()
    }

    /// The segments, in an order in which each comes after those that it names. `known` says which lists and purposes there
    /// are.
    ///
    /// # Errors
    ///
    /// `InvalidInput` with a line for each mistake: as [`parse_segment`] says it, one of a file; for each call that names what
    /// is not there; for each circle of segments.
    pub(crate) fn checked(self, known: KnownNames) -> Result<Vec<SegmentDefinition>> {
        let known = KnownNames { segments: Some(self.names), ..known };
        let (mut definitions, mut mistakes) = (Vec::new(), Vec::new());
        for read in self.read {
            match read {
                Ok(definition) => {
                    mistakes.extend(definition.mistakes(&known));
                    definitions.push(definition);
                }
                Err(error) => mistakes.push(error.to_string()),
            }
        }
        let ordered = order(definitions, &mut mistakes);
        if mistakes.is_empty() { Ok(ordered) } else { Err(EngineError::invalid(mistakes.join("\n"))) }
    }
}

impl SegmentDefinition {
    /// Refuses what it names that there is not.
    ///
    /// # Errors
    ///
    /// `InvalidInput` as [`parse_segment`], with a line for each call.
    pub(crate) fn check_names(&self, known: &KnownNames) -> Result<()> {
        let mistakes = self.mistakes(known);
        if mistakes.is_empty() { Ok(()) } else { Err(EngineError::invalid(mistakes.join("\n"))) }
    }

    fn mistakes(&self, known: &KnownNames) -> Vec<String> {
        known.mistakes(&self.file, &self.name, &self.references)
    }
}

/// What the file of a segment says before its expression is checked.
#[derive(Debug, Clone)]
pub(crate) struct SegmentHeader {
    /// As [`SegmentDefinition`] has it.
    pub(crate) title: Option<String>,
    /// As [`SegmentDefinition`] has it.
    pub(crate) purpose: Option<String>,
    /// As [`SegmentDefinition`] has it.
    pub(crate) description: Option<String>,
    /// As [`SegmentDefinition`] has it.
    pub(crate) sql: String,
}

/// Reads what needs no column of profiles.
///
/// # Errors
///
/// As [`parse_segment`], for the name and the header.
pub(crate) fn read_segment_header(source: &SourceFile) -> Result<SegmentHeader> {
    check_name(&source.name, &source.file)?;
    let text = check_text(Kind::Segment, &source.file, &source.text)?;
    let header = read_header(text);
    header.check(&source.file, &HEADER_KEYS)?;
    let [title, purpose, description] = HEADER_KEYS.map(|key| header.text(key));
    Ok(SegmentHeader { title, purpose, description, sql: as_written(header.rest) })
}

/// An expression for people to read: without what surrounds it.
pub(super) fn as_written(text: &str) -> String {
    let text = text.trim();
    text.strip_suffix(';').unwrap_or(text).trim_end().to_owned()
}

/// Segment names become file names, partition values and parts of page tokens.
fn check_name(name: &str, file: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(EngineError::invalid(format!(
            "{file}: segment name `{name}` may hold only lower-case letters, digits, `_` and `-`; rename it"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
