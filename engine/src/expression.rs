//! The language that traits and segments share, as a closed tree of our own: whoever compiles it need not fear SQL text,
//! and whoever adds a variant sees every place that must know it.
//!
//! * [`tree`] is an expression over one profile, [`behavior`] the figures of what profiles do, which it may contain.
//! * [`parse`] reads the file of a segment into a definition, [`traits`] those of traits, or refuses it with the place
//!   and the nearest known names: [`syntax`] makes the SQL parser's tree of a text, [`check`] makes ours of that.
//! * [`search`] finds what a text needs before any column is known, [`used`] what an expression needs, [`references`] what
//!   it names that must be defined elsewhere.
//! * [`mod@text`] writes an expression in its own language again, [`words`] in plain English, [`sql`] as a query.

mod behavior;
mod calls;
mod check;
mod definition;
mod files;
mod functions;
mod header;
mod literals;
mod measures;
mod operators;
mod order;
mod parse;
mod patterns;
mod plain;
mod references;
mod scalars;
mod search;
mod sequences;
mod span;
mod sql;
mod syntax;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod traits;
mod tree;
mod types;
mod used;
mod value_type;
mod windows;
mod words;

pub(crate) use self::behavior::{EVENT_COLUMNS, EventSelector, Figure, Measure, Property, Sequence, Share, Window};
pub(crate) use self::definition::{SegmentDefinition, SourceFile, TraitDefinition};
pub(crate) use self::files::load;
pub(crate) use self::header::first_key;
pub(crate) use self::order::needed;
pub(crate) use self::parse::{
    ReadSegments, SegmentHeader, parse_segment, parse_segments, read_segment_header, read_segments,
};
pub(crate) use self::plain::Plain;
pub(crate) use self::references::KnownNames;
pub(crate) use self::search::{measures_in, sequences_in};
pub(crate) use self::sequences::STEPS_MAX;
pub(crate) use self::span::Span;
pub(crate) use self::sql::members_sql;
pub(crate) use self::text::text_of;
pub(crate) use self::traits::{TraitHeader, check_trait_names, parse_traits, read_trait_header};
pub(crate) use self::tree::{BinaryOp, ColumnType, Expr, Literal, ScalarFunction};
pub(crate) use self::used::{
    SPLIT_COLUMN, columns_used, events_used, is_of_everybody, lists_used, measures_used, purposes_used, segments_used,
    sequences_used,
};
pub(crate) use self::words::in_words;
