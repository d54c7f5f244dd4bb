//! What the functions of the stages are made of: scalar functions of one column, and constants.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StringViewBuilder};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};

type Body = dyn Fn(&[ArrayRef]) -> Result<ColumnarValue> + Send + Sync;

/// A function that is known by its name.
#[derive(Clone)]
struct NamedFunction {
    name: &'static str,
    return_type: DataType,
    signature: Signature,
    /// Whether it looks at each argument.
    is_used: Vec<bool>,
    body: Arc<Body>,
}

/// A function of one column.
pub(crate) fn of_column(
    name: &'static str,
    return_type: DataType,
    body: impl Fn(&ArrayRef) -> Result<ArrayRef> + Send + Sync + 'static,
) -> Arc<ScalarUDF> {
    of_columns(name, return_type, move |[column]| body(column))
}

/// A function of several columns.
pub(crate) fn of_columns<const N: usize>(
    name: &'static str,
    return_type: DataType,
    body: impl Fn(&[ArrayRef; N]) -> Result<ArrayRef> + Send + Sync + 'static,
) -> Arc<ScalarUDF> {
    columns_function(name, return_type, Volatility::Immutable, body)
}

/// As [`of_columns`], for a function that does not look at all columns: those are null to it, and nobody reads them for it.
pub(crate) fn of_used_columns<const N: usize>(
    name: &'static str,
    return_type: DataType,
    is_used: [bool; N],
    body: impl Fn(&[ArrayRef; N]) -> Result<ArrayRef> + Send + Sync + 'static,
) -> Arc<ScalarUDF> {
    let function = named(name, return_type, Volatility::Immutable, body);
    Arc::new(ScalarUDF::from(NamedFunction { is_used: is_used.to_vec(), ..function }))
}

/// As [`of_columns`], for what is worth computing once: the optimizer does not repeat it in a filter below.
pub(crate) fn of_columns_once<const N: usize>(
    name: &'static str,
    return_type: DataType,
    body: impl Fn(&[ArrayRef; N]) -> Result<ArrayRef> + Send + Sync + 'static,
) -> Arc<ScalarUDF> {
    columns_function(name, return_type, Volatility::Volatile, body)
}

/// A function of one column that is worth computing once: the optimizer does not repeat it in a filter below.
pub(crate) fn of_column_once(
    name: &'static str,
    return_type: DataType,
    body: impl Fn(&ArrayRef) -> Result<ArrayRef> + Send + Sync + 'static,
) -> Arc<ScalarUDF> {
    of_columns_once(name, return_type, move |[column]| body(column))
}

/// A function without arguments, such as a number that a project sets.
pub(crate) fn constant(name: &'static str, value: ScalarValue) -> Arc<ScalarUDF> {
    let return_type = value.data_type();
    let body = Arc::new(move |_: &[ArrayRef]| Ok(ColumnarValue::Scalar(value.clone())));
    let signature = Signature::nullary(Volatility::Immutable);
    Arc::new(ScalarUDF::from(NamedFunction { name, return_type, signature, is_used: Vec::new(), body }))
}

/// A function of one text column that gives text.
pub(crate) fn of_text(name: &'static str, map: impl Fn(&str) -> String + Send + Sync + 'static) -> Arc<ScalarUDF> {
    of_column(name, DataType::Utf8View, move |column| {
        let mut mapped = StringViewBuilder::with_capacity(column.len());
        for value in text(column)?.iter() {
            mapped.append_option(value.map(&map));
        }
        Ok(Arc::new(mapped.finish()) as ArrayRef)
    })
}

/// The column as text.
pub(crate) fn text(column: &ArrayRef) -> Result<StringViewArray> {
    Ok(arrow::compute::cast(column, &DataType::Utf8View)?.as_string_view().clone())
}

fn columns_function<const N: usize>(
    name: &'static str,
    return_type: DataType,
    volatility: Volatility,
    body: impl Fn(&[ArrayRef; N]) -> Result<ArrayRef> + Send + Sync + 'static,
) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(named(name, return_type, volatility, body)))
}

fn named<const N: usize>(
    name: &'static str,
    return_type: DataType,
    volatility: Volatility,
    body: impl Fn(&[ArrayRef; N]) -> Result<ArrayRef> + Send + Sync + 'static,
) -> NamedFunction {
    let body = move |columns: &[ArrayRef]| match columns.try_into() {
        Ok(columns) => Ok(ColumnarValue::Array(body(columns)?)),
        Err(_) => Err(DataFusionError::Plan(format!("{name} takes {N} argument(s)"))),
    };
    let signature = Signature::any(N, volatility);
    NamedFunction { name, return_type, signature, is_used: vec![true; N], body: Arc::new(body) }
}

impl std::fmt::Debug for NamedFunction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

impl PartialEq for NamedFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for NamedFunction {}

impl Hash for NamedFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for NamedFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.return_type.clone())
    }

    /// Null in place of what the function does not look at.
    fn simplify(&self, mut arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let mut is_simpler = false;
        for (argument, is_used) in arguments.iter_mut().zip(&self.is_used) {
            if !is_used && !matches!(argument, Expr::Literal(..)) {
                *argument = lit(ScalarValue::try_new_null(&context.get_data_type(argument)?)?);
                is_simpler = true;
            }
        }
        if !is_simpler {
            return Ok(ExprSimplifyResult::Original(arguments));
        }
        let function = ScalarUDF::from(self.clone());
        Ok(ExprSimplifyResult::Simplified(function.call(arguments)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        (self.body)(&ColumnarValue::values_to_arrays(&arguments.args)?)
    }
}
