//! The types on the wire: those that old clients know too. Superset's driver shows string views as blobs, Grafana's knows
//! neither large strings nor lists of views, and few know unsigned numbers.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

/// The columns as they are sent. Every column may be null: what is promised before a query runs must hold afterwards.
pub(crate) fn wire_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(|field| wire_field(field)).collect::<Vec<_>>()))
}

fn wire_field(field: &Field) -> Field {
    Field::new(field.name(), wire_type(field.data_type()), true)
}

fn wire_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => wire_type(value),
        DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            DataType::List(Arc::new(wire_field(item)))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| wire_field(field)).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_views_become_plain_also_inside_of_lists() {
        let item = Arc::new(Field::new("item", DataType::Utf8View, false));
        let schema = Schema::new(vec![
            Field::new("a", DataType::Utf8View, false),
            Field::new("b", DataType::List(item), true),
            Field::new("c", DataType::UInt64, false),
        ]);
        let wire = wire_schema(&schema);
        assert_eq!(wire.field(0).data_type(), &DataType::Utf8);
        assert_eq!(wire.field(1).data_type(), &DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))));
        assert_eq!(wire.field(2).data_type(), &DataType::Int64);
        assert!(wire.fields().iter().all(|field| field.is_nullable()));
    }
}
