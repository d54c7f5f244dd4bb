//! Stage 3: one profile for each person. Its tables are SQL; here is what SQL cannot do.
//!
//! * [`survivors`] says which of the values that sources tell of an attribute stands.
//! * [`normalize`] makes values of attributes comparable.
//! * [`columns`] gives `profile.persons` a column for each attribute; [`pivot`] finds the values of all in one pass.
//! * [`traits`] computes what the project defines beside them.

mod columns;
mod normalize;
mod pivot;
mod survivors;
pub(crate) mod traits;

pub(crate) use columns::{attribute_columns, columns_differ, is_wide, register_columns, with_attributes};
pub(crate) use survivors::functions;
