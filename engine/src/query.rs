//! SQL over pinned tables.
//!
//! * [`session`] makes a DataFusion session with our settings, limits and functions.
//! * [`connected_components`] is a relation in SQL: `connected_components((select a, b from ...))`.
//! * [`relation`] is how SQL calls an operator of ours; [`interner`], [`forest`] and [`latest_edges`] are what such operators are
//!   made of.
//! * [`functions`] are what the stages' scalar functions are made of.
//! * [`generators`] bounds the functions that make much out of little; [`concatenation`] bounds `||`.
//! * [`filter_pushdown`] keeps the optimizer from mixing up columns.
//! * [`catalog`] registers table versions and views under their names.
//! * [`placeholders`] numbers the parameters of a query; [`bounds`] refuses one that would be too much for the planner.
//! * [`cpu_runtime`] are the threads that queries run on; [`limited`] is what one query may use.

pub(crate) mod bounds;
pub(crate) mod catalog;
pub(crate) mod concatenation;
pub(crate) mod connected_components;
pub(crate) mod cpu_runtime;
mod filter_pushdown;
pub(crate) mod forest;
pub(crate) mod functions;
mod generators;
pub(crate) mod interner;
mod latest_edges;
pub(crate) mod limited;
pub(crate) mod placeholders;
pub(crate) mod relation;
pub(crate) mod session;
