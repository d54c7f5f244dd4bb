//! The engine's integration tests: one binary, a module a subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod as_of_date;
mod check;
mod damage;
mod identity_doc;
mod incremental;
mod kept;
mod lookup;
mod segments;
mod segments_doc;
mod serving;
mod shop;
mod sql_logic;
mod tidy;
