//! `coalesce`. DataFusion's own cannot be computed: its optimizer makes a `case` of it, and does not see expressions over
//! profiles and events. A `case` names every value twice, so that what is nested in it grows without bound.

use std::sync::Arc;

use arrow::array::Array;
use arrow::compute::is_not_null;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::logical_expr_common::type_coercion::binary::try_type_union_resolution;

/// A function of several values: the first that is not null.
pub(super) fn first_known() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(FirstKnown { signature: Signature::user_defined(Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FirstKnown {
    signature: Signature,
}

impl ScalarUDFImpl for FirstKnown {
    fn name(&self) -> &str {
        "first_known"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        try_type_union_resolution(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let known = types.iter().find(|data_type| !data_type.is_null()).or(types.first());
        known.cloned().ok_or_else(|| DataFusionError::Plan("`coalesce` has no value".to_owned()))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut values = ColumnarValue::values_to_arrays(&arguments.args)?.into_iter();
        let first = values.next().ok_or_else(|| DataFusionError::Execution("`coalesce` has no value".to_owned()))?;
        let mut known = first;
        for next in values {
            if known.logical_null_count() == 0 {
                break;
            }
            known = zip(&is_not_null(&known)?, &known, &next)?;
        }
        Ok(ColumnarValue::Array(known))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::{Field, Int64Type};
    use datafusion::common::ScalarValue;
    use datafusion::config::ConfigOptions;

    use super::*;

    #[test]
    fn takes_the_first_that_is_known() {
        let column = |values: [Option<i64>; 3]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        let constant = |value| ColumnarValue::Scalar(ScalarValue::Int64(value));
        let field = Arc::new(Field::new("value", DataType::Int64, true));
        let found = |args: Vec<ColumnarValue>| {
            let arguments = ScalarFunctionArgs {
                arg_fields: vec![Arc::clone(&field); args.len()],
                args,
                number_rows: 3,
                return_field: Arc::clone(&field),
                config_options: Arc::new(ConfigOptions::default()),
            };
            let values = first_known().invoke_with_args(arguments).unwrap().into_array(3).unwrap();
            values.as_primitive::<Int64Type>().iter().collect::<Vec<_>>()
        };
        let (left, right) = (column([Some(1), None, None]), column([Some(4), Some(5), None]));
        let (left, right) = (ColumnarValue::Array(left), ColumnarValue::Array(right));
        assert_eq!(found(vec![left.clone(), right.clone()]), [Some(1), Some(5), None]);
        assert_eq!(found(vec![constant(None), left, right, constant(Some(9))]), [Some(1), Some(5), Some(9)]);
        assert!(first_known().return_type(&[]).is_err());
    }
}
