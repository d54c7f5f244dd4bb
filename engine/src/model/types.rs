//! The column types that a model's header may name.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::decimal;

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
        "binary" => DataType::Binary,
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

/// True for types that a query result is cast to; nested values are written as they come.
pub(crate) fn is_castable(data_type: &DataType) -> bool {
    !data_type.is_nested()
}
