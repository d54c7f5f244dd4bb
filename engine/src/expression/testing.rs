//! What the tests of the language share.

use super::parse::parse_segment;
use super::{ColumnType, Expr, SourceFile, TraitDefinition, parse_traits};
use crate::error::Result;

/// The columns of profiles in tests.
pub(super) fn columns() -> Vec<(String, ColumnType)> {
    [
        ("country", ColumnType::Text),
        ("firstName", ColumnType::Text),
        ("age", ColumnType::Integer),
        ("lifetime_value", ColumnType::Decimal),
        ("is_customer", ColumnType::Boolean),
        ("birthday", ColumnType::Date),
        ("last_seen_at", ColumnType::Timestamp),
        ("tags", ColumnType::Texts),
    ]
    .map(|(name, column_type)| (name.to_owned(), column_type))
    .to_vec()
}

/// The expression of a segment that must be right.
#[track_caller]
pub(crate) fn segment(text: &str) -> Expr {
    let parsed = parse_segment(&crate::expression::testing::source("loyal", "segments/loyal.sql", text), &columns());
    parsed.unwrap_or_else(|error| panic!("{text}\n--> {error}")).expression
}

/// Parses one trait.
pub(super) fn parse_trait(name: &str, text: &str) -> Result<TraitDefinition> {
    let source = SourceFile { name: name.to_owned(), file: format!("traits/{name}.sql"), text: text.to_owned() };
    parse_traits(&[source], &columns()).map(|mut definitions| definitions.remove(0))
}

/// The expression of a trait that must be right.
#[track_caller]
pub(super) fn expression(text: &str) -> Expr {
    parse_trait("rank", text).unwrap_or_else(|error| panic!("{text}\n--> {error}")).expression
}

/// A segment must be refused with exactly this message.
#[track_caller]
pub(super) fn refuses_segment(text: &str, message: &str) {
    let refused = parse_segment(&crate::expression::testing::source("loyal", "segments/loyal.sql", text), &columns())
        .expect_err(text)
        .to_string();
    assert_eq!(refused, format!("segments/loyal.sql:{message}"), "{text}");
}

/// A trait must be refused with exactly this message.
#[track_caller]
pub(super) fn refuses_trait(text: &str, message: &str) {
    let refused = parse_trait("rank", text).expect_err(text).to_string();
    assert_eq!(refused, format!("traits/rank.sql:{message}"), "{text}");
}

/// A file.
pub(super) fn source(name: &str, file: impl Into<String>, text: &str) -> SourceFile {
    SourceFile { name: name.to_owned(), file: file.into(), text: text.to_owned() }
}
