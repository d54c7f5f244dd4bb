//! What clients ask about the data: which tables there are, and which types.

use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables, Nullable, Searchable, XdbcDataType,
};
use tessera_engine::TableInfo;

use super::wire_types::wire_schema;

/// The one catalog.
pub(crate) const CATALOG: &str = "tessera";
const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";

/// A longer pattern is that of no name, and one that is much longer cannot be looked for. pandas sends whole queries as patterns.
const PATTERN_BYTES_MAX: usize = 1024;

/// Answers GetXdbcTypeInfo.
pub(crate) static TYPES: LazyLock<Result<XdbcTypeInfoData, FlightError>> = LazyLock::new(|| {
    let mut types = XdbcTypeInfoDataBuilder::new();
    let quote = || Some("'".to_owned());
    for (name, data_type, size, quote) in [
        ("BOOLEAN", XdbcDataType::XdbcBit, 1, None),
        ("INTEGER", XdbcDataType::XdbcInteger, 32, None),
        ("BIGINT", XdbcDataType::XdbcBigint, 64, None),
        ("DOUBLE", XdbcDataType::XdbcDouble, 53, None),
        ("DECIMAL", XdbcDataType::XdbcDecimal, 38, None),
        ("VARCHAR", XdbcDataType::XdbcVarchar, i32::MAX, quote()),
        ("DATE", XdbcDataType::XdbcDate, 10, quote()),
        ("TIMESTAMP", XdbcDataType::XdbcTimestamp, 32, quote()),
    ] {
        types.append(XdbcTypeInfo {
            type_name: name.to_owned(),
            data_type,
            column_size: Some(size),
            literal_prefix: quote.clone(),
            literal_suffix: quote,
            create_params: None,
            nullable: Nullable::NullabilityNullable,
            case_sensitive: data_type == XdbcDataType::XdbcVarchar,
            searchable: Searchable::Full,
            unsigned_attribute: Some(false),
            fixed_prec_scale: false,
            auto_increment: Some(false),
            local_type_name: Some(name.to_owned()),
            minimum_scale: None,
            maximum_scale: None,
            sql_data_type: data_type,
            datetime_subcode: None,
            num_prec_radix: None,
            interval_precision: None,
        });
    }
    types.build()
});

/// Answers GetCatalogs.
pub(crate) fn catalogs(query: CommandGetCatalogs) -> Result<RecordBatch, FlightError> {
    let mut builder = query.into_builder();
    builder.append(CATALOG);
    builder.build()
}

/// Answers GetDbSchemas.
pub(crate) fn schemas(mut query: CommandGetDbSchemas, tables: &[TableInfo]) -> Result<RecordBatch, FlightError> {
    let tables = if is_of_no_name(&mut query.db_schema_filter_pattern) { &[] } else { tables };
    let mut builder = query.into_builder();
    let mut names: Vec<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    names.dedup(); // tables come sorted
    for name in names {
        builder.append(CATALOG, name);
    }
    builder.build()
}

/// Answers GetTables.
pub(crate) fn tables(mut query: CommandGetTables, tables: &[TableInfo]) -> Result<RecordBatch, FlightError> {
    // Grafana asks for `BASE TABLE` and `table`, ADBC for `BASE TABLE`, JDBC for what GetTableTypes says.
    for kind in &mut query.table_types {
        *kind = match kind.to_ascii_uppercase().as_str() {
            "BASE TABLE" => TABLE.to_owned(),
            other => other.to_owned(),
        };
    }
    let patterns = [&mut query.db_schema_filter_pattern, &mut query.table_name_filter_pattern];
    let tables = if patterns.map(is_of_no_name).contains(&true) { &[] } else { tables };
    let mut builder = query.into_builder();
    for table in tables {
        let kind = if table.is_view { VIEW } else { TABLE };
        builder.append(CATALOG, &table.schema, &table.table, kind, &wire_schema(&table.columns))?;
    }
    builder.build()
}

/// Whether no name is like a pattern because it is too long; then it is taken away.
fn is_of_no_name(pattern: &mut Option<String>) -> bool {
    pattern.take_if(|pattern| pattern.len() > PATTERN_BYTES_MAX).is_some()
}

/// Answers GetTableTypes.
pub(crate) fn table_types() -> Result<RecordBatch, FlightError> {
    let mut builder = CommandGetTableTypes {}.into_builder();
    builder.append(TABLE);
    builder.append(VIEW);
    builder.build()
}

/// The columns of GetPrimaryKeys. Tables declare no constraints, so there are no rows.
pub(crate) fn primary_keys_schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        text("catalog_name"),
        text("db_schema_name"),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        text("key_name"),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

/// The columns of GetImportedKeys, GetExportedKeys and GetCrossReference.
pub(crate) fn foreign_keys_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let mut fields = Vec::new();
    for side in ["pk", "fk"] {
        fields.push(text(&format!("{side}_catalog_name"), true));
        fields.push(text(&format!("{side}_db_schema_name"), true));
        fields.push(text(&format!("{side}_table_name"), false));
        fields.push(text(&format!("{side}_column_name"), false));
    }
    fields.push(Field::new("key_sequence", DataType::Int32, false));
    fields.extend([text("fk_key_name", true), text("pk_key_name", true)]);
    fields.push(Field::new("update_rule", DataType::UInt8, false));
    fields.push(Field::new("delete_rule", DataType::UInt8, false));
    Arc::new(Schema::new(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_no_name_is_like_a_very_long_pattern() {
        let columns = Arc::new(Schema::empty());
        let known = [TableInfo { schema: "profile".to_owned(), table: "profiles".to_owned(), is_view: false, columns }];
        let find = |db_schema_filter_pattern: Option<String>, table_name_filter_pattern: Option<String>| {
            let query = CommandGetTables { db_schema_filter_pattern, table_name_filter_pattern, ..Default::default() };
            tables(query, &known).unwrap().num_rows()
        };
        for (pattern, rows) in [("p%", 1), (&*"_".repeat(PATTERN_BYTES_MAX), 0), (&*"_".repeat(12_000), 0)] {
            let pattern = || Some(pattern.to_owned());
            assert_eq!([find(pattern(), None), find(None, pattern()), find(pattern(), pattern())], [rows; 3]);
            let query = CommandGetDbSchemas { db_schema_filter_pattern: pattern(), ..Default::default() };
            assert_eq!(schemas(query, &known).unwrap().num_rows(), rows);
        }
    }
}
