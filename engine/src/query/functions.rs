//! What the functions of the stages are made of: scalar functions of one column or several, and constants.

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

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, RecordBatch};
    use arrow::compute::kernels::numeric::add;
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::{SessionConfig, SessionContext};
    use parquet::arrow::ArrowWriter;

    use super::*;

    #[tokio::test]
    async fn what_a_function_does_not_look_at_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers.parquet");
        let column = |values: [i64; 2]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        let rows = [("a", column([1, 2])), ("b", column([10, 20])), ("c", column([100, 200]))];
        let batch = RecordBatch::try_from_iter(rows).unwrap();
        let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();

        let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        session.register_parquet("numbers", path.to_str().unwrap(), Default::default()).await.unwrap();
        let sum = |columns: &[ArrayRef; 3]| {
            assert_eq!(columns[1].null_count(), columns[1].len());
            Ok(add(&columns[0], &columns[2])?)
        };
        session
            .register_udf(of_used_columns("sum_of_some", DataType::Int64, [true, false, true], sum).as_ref().clone());

        let frame = session.sql("select sum_of_some(a, b, c) as sum from numbers order by 1").await.unwrap();
        let plan = frame.clone().explain(false, false).unwrap().collect().await.unwrap();
        let plan = pretty_format_batches(&plan).unwrap().to_string();
        assert!(plan.contains("projection=[a, c]"), "{plan}");
        let batches = frame.collect().await.unwrap();
        assert_eq!(batches[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().values(), &[101, 202]);
    }
}
