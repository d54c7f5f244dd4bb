//! Traits and segments of all profiles at once.
//!
//! What events say is [`kept`] by day and identifier: of all of them how many there are, and what traits and segments
//! define beside that, which [`measured`] finds in one reading of new events. The [`census`] reads profiles into memory,
//! with what expressions need of them; [`fold`] adds days up to figures, in blocks of profiles that stay in a
//! processor's cache, and DataFusion computes what expressions make of them.

mod bits;
mod block;
mod breakdown;
mod castable;
mod census;
mod column_names;
mod compile;
mod conditions;
mod evaluated;
mod figures;
mod first_known;
mod fold;
mod kept;
mod measured;
mod people;
mod population;
mod property;
mod read;
mod reals;
mod scope;
mod score;
mod select;
mod sequence;
mod series;
mod split;
mod types;
mod utc_day;

pub(crate) use census::Census;
pub(crate) use column_names::{attribute_beside, attribute_of, renamed_columns};
pub(crate) use conditions::UNSAVED;
pub(crate) use kept::{Keeping, Kept, Listed, all_listed};
pub(crate) use measured::functions;
pub(crate) use people::{People, ascending};
pub(crate) use population::Population;
pub(crate) use scope::Scope;
pub(crate) use types::{arrow_type, column_type, day_of};

use crate::query::session::Functions;

/// The functions by which plain SQL says what segments do.
pub(crate) fn sql_functions() -> Functions {
    vec![property::function(), property::number(), castable::function(), split::function()]
}
