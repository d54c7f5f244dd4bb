//! The column types that a model's header may name.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, Fields, TimeUnit};
use datafusion::logical_expr::ScalarUDF;

use crate::decimal;
use crate::query::functions::of_column;

/// The names of all types.
pub(crate) const NAMES: [&str; 11] =
    ["text", "texts", "bigint", "decimal", "double", "boolean", "timestamp", "date", "attributes", "integer", "binary"];

/// The Arrow type of a name, or `None` for an unknown name.
pub(crate) fn arrow_type(name: &str) -> Option<DataType> {
    Some(match name {
        "text" => DataType::Utf8View,
        "texts" => list_of(DataType::Utf8View),
        "integer" => DataType::Int32,
        "bigint" => DataType::Int64,
        "decimal" => DataType::Decimal128(decimal::PRECISION, decimal::SCALE),
        "double" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "date" => DataType::Date32,
        "binary" => DataType::BinaryView,
        "attributes" => list_of(DataType::Struct(Fields::from(vec![
            Field::new("name", DataType::Utf8, false),
            Field::new("value", DataType::Utf8, false),
        ]))),
        _ => return None,
    })
}

fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

/// A function that makes decimals of ours of others. A sum beyond their digits is the largest that they have: what somebody sent
/// must not stop a refresh.
pub(crate) fn saturated() -> Arc<ScalarUDF> {
    of_column("saturated", DataType::Decimal128(decimal::PRECISION, decimal::SCALE), |column| {
        if column.data_type() == &DataType::Decimal128(decimal::PRECISION, decimal::SCALE) {
            return Ok(Arc::clone(column));
        }
        let wide = cast(column, &DataType::Decimal128(DECIMAL128_MAX_PRECISION, decimal::SCALE))?;
        let clamp = |units: i128| units.clamp(-decimal::UNITS_MAX, decimal::UNITS_MAX);
        let values = wide.as_primitive::<Decimal128Type>().unary::<_, Decimal128Type>(clamp);
        Ok(Arc::new(values.with_precision_and_scale(decimal::PRECISION, decimal::SCALE)?))
    })
}

/// True for types that a query result is cast to; nested values are written as they come.
pub(crate) fn is_castable(data_type: &DataType) -> bool {
    !data_type.is_nested()
}
