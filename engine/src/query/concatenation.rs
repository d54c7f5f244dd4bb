//! Bounds for what makes long texts of shorter ones without being a scalar function: the operator `||`, which doubles a text each
//! time that it is put behind itself, and the aggregate `string_agg`, which puts its delimiter behind each row.
//!
//! For queries of users only: those of models join texts in their innermost loops, and are ours, or are run by who could fill the
//! machine in other ways.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::compute::kernels::concat_elements::concat_elements_dyn;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::optimizer::AnalyzerRule;

use super::generators::refusal;
use crate::error::EngineError;
use crate::limits::{CONCATENATED_BYTES_MAX, DELIMITER_BYTES_MAX};

/// Asks of each `||` first how much it will make, and refuses a long delimiter of `string_agg`.
#[derive(Debug)]
pub(crate) struct BoundConcatenation {
    bounded: Arc<ScalarUDF>,
}

impl Default for BoundConcatenation {
    fn default() -> Self {
        let signature = Signature::any(2, Volatility::Immutable);
        Self { bounded: Arc::new(ScalarUDF::from(Concatenation { signature })) }
    }
}

impl AnalyzerRule for BoundConcatenation {
    /// What errors begin with.
    fn name(&self) -> &str {
        "putting texts together"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let bounded = plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expression| {
                let name = names.save(&expression);
                Ok(expression.transform_up(|expression| self.bounded(expression))?.update_data(|new| name.restore(new)))
            })
        })?;
        Ok(bounded.data)
    }
}

impl BoundConcatenation {
    /// A function in the place of `||`; others as they are.
    fn bounded(&self, expression: Expr) -> Result<Transformed<Expr>> {
        match expression {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
                Ok(Transformed::yes(self.bounded.call(vec![*left, *right])))
            }
            Expr::AggregateFunction(aggregate) if aggregate.func.name() == "string_agg" => {
                match aggregate.params.args.get(1).is_none_or(is_short) {
                    true => Ok(Transformed::no(Expr::AggregateFunction(aggregate))),
                    false => Err(EngineError::invalid(format!(
                        "the delimiter of `string_agg` must be a text of at most {DELIMITER_BYTES_MAX} bytes"
                    ))
                    .into()),
                }
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// True for a literal that is short.
fn is_short(delimiter: &Expr) -> bool {
    match delimiter {
        Expr::Cast(cast) => is_short(&cast.expr),
        Expr::Literal(value, _) => value.try_as_str().flatten().is_none_or(|text| text.len() <= DELIMITER_BYTES_MAX),
        _ => false,
    }
}

/// `||` of two texts, which have one type by then, if that does not make too much.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Concatenation {
    signature: Signature,
}

impl ScalarUDFImpl for Concatenation {
    fn name(&self) -> &str {
        "bounded_concatenation"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        arguments.first().cloned().ok_or_else(|| DataFusionError::Internal("`||` has no operand".to_owned()))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_column = |argument: &ColumnarValue| matches!(argument, ColumnarValue::Array(_));
        let has_columns = arguments.args.iter().any(is_column);
        let rows = if has_columns { arguments.number_rows } else { 1 };
        let mut bytes = 0_usize;
        for argument in &arguments.args {
            bytes = bytes.saturating_add(match argument {
                ColumnarValue::Array(column) => text_bytes(column),
                ColumnarValue::Scalar(value) => text_bytes(&value.to_array_of_size(1)?).saturating_mul(rows),
            });
        }
        if bytes > CONCATENATED_BYTES_MAX {
            return Err(refusal("||", "would make more than 128 MiB of one batch of rows: ask for less at once"));
        }
        let columns = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [left, right] = columns.as_slice() else {
            return Err(DataFusionError::Internal("`||` has two operands".to_owned()));
        };
        let whole = concat_elements_dyn(left, right)?;
        match has_columns {
            true => Ok(ColumnarValue::Array(whole)),
            false => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&whole, 0)?)),
        }
    }
}

/// The bytes of all texts of a column; 0 if it has none.
fn text_bytes(column: &ArrayRef) -> usize {
    match column.data_type() {
        DataType::Utf8View => column.as_string_view().lengths().map(|length| length as usize).sum(),
        DataType::LargeUtf8 => between_offsets(column.as_string::<i64>().value_offsets()),
        DataType::Utf8 => between_offsets(column.as_string::<i32>().value_offsets()),
        _ => 0,
    }
}

fn between_offsets<O: OffsetSizeTrait>(offsets: &[O]) -> usize {
    offsets.first().zip(offsets.last()).map_or(0, |(first, last)| (*last - *first).as_usize())
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::error::ErrorKind;
    use crate::query::functions::text;

    async fn answer(query: &str) -> Result<String> {
        let session = SessionContext::new();
        session.add_analyzer_rule(Arc::new(BoundConcatenation::default()));
        let batches = session.sql(query).await?.collect().await?;
        let all = arrow::compute::concat_batches(&batches[0].schema(), &batches)?;
        Ok(text(all.column(0))?.iter().flatten().collect::<Vec<_>>().join(","))
    }

    #[tokio::test]
    async fn test_what_is_short_is_as_before() {
        for (query, expected) in [
            ("select 'a' || n from (values ('b'), (null), ('c')) as t(n)", "ab,ac"),
            ("select \"Utf8(\"\"a\"\") || t.n\" from (select 'a' || n from (values ('b')) as t(n))", "ab"),
            ("select 1 || n from (values ('2')) as t(n)", "12"),
            ("select 'a' || 'b' || null", ""),
            ("select n || null || 'a' from (values ('2')) as t(n)", ""),
            ("select arrow_cast(n, 'LargeUtf8') || n from (values ('b')) as t(n)", "bb"),
            ("select arrow_cast(n, 'Utf8') || arrow_cast('c', 'Utf8') from (values ('b')) as t(n)", "bc"),
            ("select arrow_cast(n, 'Dictionary(Int32, Utf8)') || 'c' from (values ('b'), (null)) as t(n)", "bc"),
            ("select array_to_string([1] || [2], '-')", "1-2"),
            ("select string_agg(n, ', ' order by n) from (values ('b'), ('a')) as t(n)", "a, b"),
            ("select n from (values ('ab'), ('b')) as t(n) where n || 'c' = (select max('ab' || 'c'))", "ab"),
        ] {
            match answer(query).await {
                Ok(found) => assert_eq!(found, expected, "{query}"),
                Err(error) => panic!("{query}: {error}"),
            }
        }
    }

    #[tokio::test]
    async fn test_operands_are_not_planned_twice() {
        let nested = format!("select {}n{} from (values ('b')) as t(n)", "'a' || (".repeat(20), ")".repeat(20));
        assert_eq!(answer(&nested).await.unwrap(), format!("{}b", "a".repeat(20)));
    }

    #[tokio::test]
    async fn test_what_grows_without_end_is_refused() {
        let doubled = "with recursive a as (
                select 'x' as n, 1 as i union all select n || n, i + 1 from a where i < 40
            ) select cast(max(length(n)) as varchar) from a";
        let side_by_side =
            "with a as (select repeat('x', 18000000) as n) select n || n || n || n || n || n || n || n from a";
        for query in [doubled, side_by_side] {
            let error = answer(query).await.expect_err(query);
            assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{query}: {error}");
        }
        let error = answer("select string_agg('a', repeat('x', 10000))").await.unwrap_err();
        let error = EngineError::from(error);
        let said = "putting texts together: the delimiter of `string_agg` must be a text of at most 1024 bytes";
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, said));
    }
}
