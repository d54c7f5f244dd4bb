//! Values of an expression over a batch of rows, of which one may overflow.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::error::ArrowError;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;

/// The values, null where a number is too large for its type: one profile must not stop everybody's refresh. Arrow says only
/// that some row overflows, so the rows are halved until it is found: an expression that overflows for everybody is computed
/// twice a row, one by one, which takes some two microseconds a person.
///
/// # Errors
/// What else computing them reports.
pub(super) fn evaluated(expression: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    let rows = batch.num_rows();
    let values = expression.evaluate(batch).and_then(|values| values.into_array(rows));
    match values {
        Err(error) if is_overflow(&error) && rows <= 1 => {
            Ok(new_null_array(&expression.data_type(batch.schema_ref())?, rows))
        }
        Err(error) if is_overflow(&error) => {
            let half = rows / 2;
            let halves = [batch.slice(0, half), batch.slice(half, rows - half)];
            let [first, second] = [evaluated(expression, &halves[0])?, evaluated(expression, &halves[1])?];
            Ok(arrow::compute::concat(&[&*first, &*second])?)
        }
        values => values,
    }
}

fn is_overflow(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            // The second is of decimals that do not fit another scale: casts of what people write give null by themselves.
            ArrowError::ArithmeticOverflow(_) | ArrowError::CastError(_) => true,
            // Arrow's check of the digits of a decimal.
            ArrowError::InvalidArgumentError(message) => message.contains("to store in a Decimal"),
            // Days and times with an interval, and `abs` of the least number.
            ArrowError::ComputeError(message) => message.contains("overflow") || message.contains("out of range"),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Decimal128Array};
    use datafusion::common::DFSchema;
    use datafusion::logical_expr::{col, lit};
    use datafusion::prelude::SessionContext;

    use super::*;

    #[test]
    fn test_what_overflows_is_null_and_nothing_else() {
        let numbers =
            Decimal128Array::from(vec![Some(7), None, Some(10_i128.pow(37)), Some(-3), Some(10_i128.pow(30))]);
        let numbers: ArrayRef = Arc::new(numbers.with_precision_and_scale(38, 10).unwrap());
        let batch = RecordBatch::try_from_iter([("number", numbers)]).unwrap();
        let schema = DFSchema::try_from(batch.schema()).unwrap();
        let session = SessionContext::new();
        let is_small = (col("number") * col("number") * col("number")).lt(lit(1));
        let is_small = session.create_physical_expr(is_small, &schema).unwrap();
        let values = evaluated(&is_small, &batch).unwrap();
        let values: Vec<Option<bool>> = values.as_boolean().iter().collect();
        assert_eq!(values, [Some(true), None, None, Some(true), None]);
        assert_eq!(evaluated(&is_small, &batch.slice(0, 0)).unwrap().len(), 0);
    }
}
