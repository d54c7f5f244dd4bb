//! Stage 4: what people did. The logic is SQL; here are its settings and ids.

use std::sync::Arc;

use arrow::datatypes::IntervalDayTime;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;

use crate::config::BehaviorConfig;
use crate::ids;
use crate::query::functions::{constant, of_text};

const MILLISECONDS_PER_MINUTE: i32 = 60_000;

/// Functions of behaviour in SQL: `session_timeout()`, `session_id(first_event)`.
pub(crate) fn functions(config: &BehaviorConfig) -> Vec<Arc<ScalarUDF>> {
    let minutes = i32::try_from(config.session_timeout_minutes).unwrap_or(i32::MAX / MILLISECONDS_PER_MINUTE);
    let timeout = IntervalDayTime::new(0, minutes.saturating_mul(MILLISECONDS_PER_MINUTE));
    vec![
        constant("session_timeout", ScalarValue::IntervalDayTime(Some(timeout))),
        of_text("session_id", ids::session_id),
    ]
}
