//! Reads the file of a segment or of a trait: a header of comment lines, then one expression.
//!
//! ```sql
//! -- title: Loyal customers in France
//! -- purpose: marketing
//! country = 'FR' and event_count('Order Completed', within => interval '90 days') >= 2
//! ```

pub(super) use datafusion::sql::sqlparser as sql_parser;

use super::check::{Checker, Scope};
use super::header::read_header;
use super::syntax::{Kind, check_text, parse_sql};
use super::{ColumnType, SegmentDefinition, SourceFile};
use crate::error::{EngineError, Result};

const HEADER_KEYS: [&str; 3] = ["title", "purpose", "description"];

/// Parses and checks one segment. `columns` are those of `profile.profiles`.
///
/// Whether the segments that it refers to exist is for [`order`](fn@super::order) to find out.
///
/// # Errors
///
/// `InvalidInput` as `file:line:column: what is wrong, what is allowed`; positions count from 1, columns in characters.
pub(crate) fn parse_segment(source: &SourceFile, columns: &[(String, ColumnType)]) -> Result<SegmentDefinition> {
    let SourceFile { name, file, text } = source;
    check_name(name, file)?;
    let text = check_text(Kind::Segment, file, text)?;
    let header = read_header(text);
    header.check(file, &HEADER_KEYS)?;
    let parsed = parse_sql(Kind::Segment, file, text)?;
    let expression = Checker::new(Scope::Segment, name, file, columns).condition(&parsed)?;
    Ok(SegmentDefinition {
        name: name.to_owned(),
        file: file.to_owned(),
        title: header.text("title"),
        purpose: header.text("purpose"),
        description: header.text("description"),
        sql: as_written(header.rest),
        expression,
    })
}

/// Parses and checks all segments, in an order in which each comes after those that it names.
///
/// # Errors
///
/// `InvalidInput` with a line for each file that is wrong, as [`parse_segment`] and [`order`](fn@super::order) say it.
pub(crate) fn parse_segments(files: &[SourceFile], columns: &[(String, ColumnType)]) -> Result<Vec<SegmentDefinition>> {
    let mut definitions = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        match parse_segment(file, columns) {
            Ok(definition) => definitions.push(definition),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if !problems.is_empty() {
        return Err(EngineError::invalid(problems.join("\n")));
    }
    super::order(definitions)
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
