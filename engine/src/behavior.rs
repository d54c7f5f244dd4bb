//! Stage 4: what people did. The logic is SQL; here are its settings and ids.
//!
//! * [`sessionize`] joins fragments of visits into visits.

mod sessionize;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

use crate::config::BehaviorConfig;
use crate::ids;
use crate::query::functions::of_text;
use crate::query::relation::Relation;

const MICROS_PER_MINUTE: i64 = 60_000_000;

/// Functions of behaviour in SQL: `session_id(first_event)`.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![of_text("session_id", ids::session_id)]
}

/// Relations of behaviour in SQL: `sessionize((select ...))`.
pub(crate) fn relations(config: &BehaviorConfig) -> Vec<Arc<dyn Relation>> {
    vec![Arc::new(sessionize::Sessionize { timeout: i64::from(config.session_timeout_minutes) * MICROS_PER_MINUTE })]
}
