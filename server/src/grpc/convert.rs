//! The one place where rows become messages, and where the names of tables become those of the contract: an instant is
//! `..._at` in a table and `..._time` in a message.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp, Value};
use tessera_engine::{Engine, EngineError, ErrorKind, Snapshot};
use tessera_proto::v1;
use tonic::Status;

use super::status::{invalid_field, to_status};

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Microseconds since 1970 UTC as a timestamp.
pub(crate) fn timestamp(micros: i64) -> Timestamp {
    let nanos = micros.rem_euclid(MICROS_PER_SECOND) * 1000;
    Timestamp { seconds: micros.div_euclid(MICROS_PER_SECOND), nanos: i32::try_from(nanos).unwrap_or_default() }
}

/// An identifier, `namespace:value`.
pub(crate) fn identifier(text: &str) -> v1::Identifier {
    let (namespace, value) = text.split_once(':').unwrap_or((text, ""));
    v1::Identifier { namespace: namespace.to_owned(), value: value.to_owned() }
}

/// An identifier of a request, namespace and value in the form in which they are stored.
///
/// # Errors
/// INVALID_ARGUMENT, naming the field, if there is none, or one that cannot be used.
pub(crate) fn normalized(
    engine: &Engine,
    field: &'static str,
    written: Option<&v1::Identifier>,
) -> Result<(String, String), Status> {
    engine.read_identifier("the identifier", &given(field, written)?).map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => invalid_field(field, "IDENTIFIER_INVALID", error.to_string()),
        _ => to_status(error),
    })
}

/// An identifier of a request as it was written, `namespace:value`.
///
/// # Errors
/// INVALID_ARGUMENT, naming the field, if a part of it is missing, or its namespace would be read as another one.
pub(crate) fn given(field: &'static str, written: Option<&v1::Identifier>) -> Result<String, Status> {
    match written {
        Some(v1::Identifier { namespace, .. }) if namespace.contains(':') => {
            let message = "no namespace has a `:`: write what is before it as the namespace, and the rest as the value";
            Err(invalid_field(field, "IDENTIFIER_INVALID", message))
        }
        Some(v1::Identifier { namespace, value }) if !namespace.is_empty() && !value.is_empty() => {
            Ok(format!("{namespace}:{value}"))
        }
        _ => Err(invalid_field(field, "IDENTIFIER_INVALID", "give an identifier, with its namespace and its value")),
    }
}

/// The generation that an answer was read from.
pub(crate) fn generation(snapshot: &Snapshot) -> Option<v1::Generation> {
    Some(v1::Generation { number: snapshot.number()?, publish_time: snapshot.published_at().map(timestamp) })
}

/// A row of a batch, read by the names of its columns.
#[derive(Clone, Copy)]
pub(crate) struct Row<'b> {
    batch: &'b RecordBatch,
    number: usize,
}

/// All rows of some batches.
pub(crate) fn rows(batches: &[RecordBatch]) -> impl Iterator<Item = Row<'_>> {
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |number| Row { batch, number }))
}

impl Row<'_> {
    /// The column if its value is not null.
    fn column(&self, name: &str) -> Result<Option<&ArrayRef>, Status> {
        let column = self.batch.column_by_name(name).ok_or_else(|| missing(name))?;
        Ok(column.is_valid(self.number).then_some(column))
    }

    /// The value as one of `data_type`, alone in an array; `None` for null.
    fn cast(&self, name: &str, data_type: &DataType) -> Result<Option<ArrayRef>, Status> {
        let column = self.column(name)?.map(|column| cast(&column.slice(self.number, 1), data_type));
        column.transpose().map_err(|error| to_status(EngineError::from(error)))
    }

    /// A text, or any other value as text; `None` for null.
    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<String>, Status> {
        let Some(column) = self.column(name)? else { return Ok(None) };
        if let Some(texts) = column.as_string_opt::<i32>() {
            return Ok(Some(texts.value(self.number).to_owned()));
        }
        let text = self.cast(name, &DataType::Utf8)?;
        Ok(text.map(|text| text.as_string::<i32>().value(0).to_owned()))
    }

    /// A text; empty for null.
    pub(crate) fn text(&self, name: &str) -> Result<String, Status> {
        Ok(self.optional_text(name)?.unwrap_or_default())
    }

    /// An instant; `None` for null.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, Status> {
        let column = self.cast(name, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))?;
        Ok(column.map(|column| timestamp(column.as_primitive::<TimestampMicrosecondType>().value(0))))
    }

    /// A whole number; 0 for null.
    pub(crate) fn integer(&self, name: &str) -> Result<i64, Status> {
        let column = self.cast(name, &DataType::Int64)?;
        Ok(column.map_or(0, |column| column.as_primitive::<Int64Type>().value(0)))
    }

    /// A number; 0 for null.
    pub(crate) fn number(&self, name: &str) -> Result<f64, Status> {
        let column = self.cast(name, &DataType::Float64)?;
        Ok(column.map_or(0.0, |column| column.as_primitive::<Float64Type>().value(0)))
    }

    /// True or false; false for null.
    pub(crate) fn boolean(&self, name: &str) -> Result<bool, Status> {
        let column = self.cast(name, &DataType::Boolean)?;
        Ok(column.is_some_and(|column| column.as_boolean().value(0)))
    }

    /// All columns that are not null, but for those `without`. A decimal becomes text, so that no cent is lost.
    pub(crate) fn fields(&self, without: &[&str]) -> Result<Struct, Status> {
        let schema = self.batch.schema();
        let names = schema.fields().iter().map(|field| field.name()).filter(|name| !without.contains(&name.as_str()));
        let mut fields = std::collections::BTreeMap::new();
        for name in names {
            let column = self.batch.column_by_name(name).ok_or_else(|| missing(name))?.slice(self.number, 1);
            if !column.is_null(0) {
                fields.insert(name.clone(), value(column.as_ref())?);
            }
        }
        Ok(Struct { fields })
    }
}

/// The first value of a column, which is not null.
fn value(column: &dyn Array) -> Result<Value, Status> {
    let kind = match column.data_type() {
        DataType::Boolean => Kind::BoolValue(column.as_boolean().value(0)),
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(0);
            let values =
                (0..list.len()).filter(|&item| list.is_valid(item)).map(|item| value(list.slice(item, 1).as_ref()));
            Kind::ListValue(ListValue { values: values.collect::<Result<_, _>>()? })
        }
        // Beyond 2^53 a double is not exact, but no count of one person's doings is there.
        data_type if data_type.is_integer() || data_type.is_floating() => {
            Kind::NumberValue(text(column)?.parse().unwrap_or(f64::NAN))
        }
        _ => Kind::StringValue(text(column)?),
    };
    Ok(Value { kind: Some(kind) })
}

fn text(column: &dyn Array) -> Result<String, Status> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options).map_err(|error| to_status(EngineError::from(error)))?;
    Ok(formatter.value(0).to_string())
}

fn missing(name: &str) -> Status {
    to_status(EngineError::internal(format!("an answer of ours has no column `{name}`")))
}
