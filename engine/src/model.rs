//! What a SQL model is: a file `<schema>/<table>.sql` with a header that says what it holds and how it is kept, and one
//! query.
//!
//! * [`definition`] reads a file.
//! * [`catalog`] holds all models, ours and the project's, in the order in which they can run.
//! * [`workspace`] holds the tables of one refresh, [`materialize`] runs one model in it, [`replace`] replaces rows.
//! * [`frugal`] runs a query again that did not fit the memory.
//! * [`types`] are the column types of the headers.

pub(crate) mod built_in;
pub(crate) mod catalog;
pub(crate) mod definition;
mod frugal;
pub(crate) mod materialize;
mod replace;
pub(crate) mod types;
pub(crate) mod workspace;
