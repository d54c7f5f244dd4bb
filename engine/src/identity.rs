//! Stage 2: from identifiers to profiles. The tables are SQL under `sql/identity/`; here are the rules that SQL calls.
//!
//! * [`normalize`] brings a value into its namespace's normal form, or drops it.
//! * [`blocklist`] are the values that mean nobody.
//! * [`functions`] take identifier sets apart in SQL.

pub(crate) mod blocklist;
pub(crate) mod functions;
pub(crate) mod normalize;
