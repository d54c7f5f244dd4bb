//! The real binary, as users run it: one test binary, a module a subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod cli;
mod crash;
mod identity;
mod project;
