//! The day of an instant, as a function of DataFusion's.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::logical_expr::ScalarUDF;

use super::types::MICROS_PER_DAY;
use crate::query::functions::of_column;

/// `utc_day(time)`: the day, counted from 1970. A cast to a date asks the time zone's rules for each value.
pub(super) fn utc_day() -> Arc<ScalarUDF> {
    of_column("utc_day", DataType::Int64, |times| match times.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => Ok(Arc::new(times.unary::<_, Int64Type>(|at| at.div_euclid(MICROS_PER_DAY))) as ArrayRef),
        None => {
            let days = arrow::compute::cast(&arrow::compute::cast(times, &DataType::Date32)?, &DataType::Int32)?;
            Ok(arrow::compute::cast(&days, &DataType::Int64)?)
        }
    })
}
