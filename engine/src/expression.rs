//! The language that traits and segments share, as a closed tree of our own: whoever compiles it need not fear SQL text,
//! and whoever adds a variant sees every place that must know it.
//!
//! * [`tree`] is an expression over one profile, [`behavior`] the figures of what profiles do, which it may contain.
//! * [`parse`] reads a file into a definition, or refuses it with the place and the nearest known names.
//! * [`used`] tells what an expression needs before it can be computed.

mod behavior;
mod check;
mod definition;
mod functions;
mod literals;
mod operators;
mod order;
mod parse;
mod tree;
mod types;
mod used;

pub(crate) use self::behavior::{
    EVENT_COLUMNS, EventCondition, EventSelector, Figure, Measure, Property, Sequence, SequenceStep, Share, Window,
};
pub(crate) use self::definition::{SegmentDefinition, SourceFile, TraitDefinition};
pub(crate) use self::order::{needed, order};
pub(crate) use self::parse::parse_segment;
pub(crate) use self::tree::{BinaryOp, ColumnType, Expr, Literal, ScalarFunction};
pub(crate) use self::used::{columns_used, measures_used, segments_used, sequences_used, uses_now};
