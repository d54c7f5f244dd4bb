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
use super::{ColumnType, SegmentDefinition};
use crate::error::{EngineError, Result};

const HEADER_KEYS: [&str; 3] = ["title", "purpose", "description"];

/// Parses and checks one segment. `name` is the file's name without its ending, `file` is what messages call it,
/// `columns` are those of `profile.profiles`.
///
/// Whether the segments that it refers to exist is for [`order`](fn@super::order) to find out.
///
/// # Errors
///
/// `InvalidInput` as `file:line:column: what is wrong, what is allowed`; positions count from 1, columns in characters.
pub(crate) fn parse_segment(
    name: &str,
    file: &str,
    text: &str,
    columns: &[(String, ColumnType)],
) -> Result<SegmentDefinition> {
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
            "{file}: segment name `{name}` may hold only lower-case letters, digits, `_` and `-`; rename the file"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
