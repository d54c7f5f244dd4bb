//! A refresh: brings every derived table up to date and publishes them as one generation.
//!
//! * [`run`] takes the lease, runs the models in order, the checks, and publishes.
//! * [`definitions`] is what the project defines beside models: traits and segments; [`lists`] are those that they name,
//!   [`list_log`] keeps those that were uploaded.
//! * [`kept`] is what one leaves in memory for the next.
//! * [`history`] is what histories need of the last generation.
//! * [`check`] plans every model without data, and runs the checks on what is to be published.
//! * [`merges`] stops one that merges too much; [`simulate`] shows what another configuration would do.
//! * [`report`] is what a run tells of itself.
//! * [`schedule`] says when a refresh is due.
//! * [`ledger`] keeps `ops.refreshes` and `ops.checks`: what each run did to each table.

pub(crate) mod check;
mod definitions;
mod history;
pub(crate) mod kept;
pub(crate) mod ledger;
pub(crate) mod list_log;
pub(crate) mod lists;
mod merges;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod simulate;
