//! Functions of real numbers, and of times that nanoseconds can tell. DataFusion's report an error for what has no value,
//! and one profile would stop a refresh; these give null.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use super::types::{QUOTIENT, timestamp_type};
use crate::clock::Micros;
use crate::query::functions::{of_column, of_columns};

/// The last instant that 64 bits of nanoseconds can tell, less a year: in 2261, and as long before 1970 the first.
const NANOS_LAST: Micros = 9_191_836_800_000_000;

/// The function that SQL calls so, of numbers of any kind: a quotient; `None` if there is none.
pub(super) fn real(name: &str) -> Option<Arc<ScalarUDF>> {
    Some(match name {
        "sqrt" => of_one("sqrt", f64::sqrt),
        "exp" => of_one("exp", f64::exp),
        "ln" => of_one("ln", f64::ln),
        "log10" => of_one("log10", f64::log10),
        "power" => of_columns("power", QUOTIENT, |[base, exponent]| {
            let (base, exponent) = (floats(base)?, floats(exponent)?);
            let pairs = base.iter().zip(&exponent);
            quotients(pairs.map(|(base, exponent)| Some(base?.powf(exponent?))).collect())
        }),
        _ => return None,
    })
}

/// `in_nanoseconds(time)`: the time, null if nanoseconds cannot tell it. Exports write 9999-12-31 for "never".
pub(super) fn in_nanoseconds() -> Arc<ScalarUDF> {
    of_column("in_nanoseconds", timestamp_type(), |times| {
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let known =
            times.unary_opt::<_, TimestampMicrosecondType>(|at| (-NANOS_LAST..=NANOS_LAST).contains(&at).then_some(at));
        Ok(Arc::new(known.with_data_type(timestamp_type())) as ArrayRef)
    })
}

fn of_one(name: &'static str, compute: fn(f64) -> f64) -> Arc<ScalarUDF> {
    of_column(name, QUOTIENT, move |numbers| quotients(floats(numbers)?.unary(compute)))
}

fn floats(numbers: &ArrayRef) -> Result<Float64Array> {
    Ok(cast(numbers, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

/// Null for what is infinite, no number, or too large.
fn quotients(floats: Float64Array) -> Result<ArrayRef> {
    Ok(cast(&floats, &QUOTIENT)?)
}
