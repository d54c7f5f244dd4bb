//! Stage 5: segments. A segment is a boolean expression over a profile, in a file of the project or saved in the lake.
//!
//! * [`parsed`] are the segments of all files; [`evaluate`] finds their members in one pass; [`sets`] are who entered and left.
//! * [`members`] is who is in each segment and since when, in memory. [`member_sets`] are what that is read from, and
//!   [`serialized`] looks for some of them in there; [`rows`] makes rows of it in SQL.
//! * [`estimate`] answers for an expression that is not saved, with [`hints`] of what it may misspell; [`saved`] are those that are kept in the lake.

mod estimate;
mod evaluate;
mod hints;
mod member_sets;
mod members;
mod parsed;
pub(crate) mod personas;
mod rows;
pub(crate) mod saved;
mod serialized;
mod sets;

use std::sync::Arc;

pub(crate) use estimate::{Readings, Selected, names_hints, readings, selected};
pub(crate) use evaluate::{evaluate, table};
pub(crate) use members::Memberships;
pub(crate) use parsed::{ParsedSegments, columns, parse};

use crate::query::relation::Relations;

/// The relations of this stage.
pub(crate) fn relations() -> Relations {
    vec![Arc::new(rows::SetMembers), Arc::new(rows::MembersOf)]
}
