//! What is kept of each event, as functions in SQL: `measured(...)` lists it for the models that fold it by day.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Builder, Int64Array, Int64Builder, ListArray, RecordBatch,
    StringViewArray, StringViewBuilder, StructArray, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, filter, take_record_batch};
use arrow::datatypes::{DataType, Decimal128Type, Field, Fields, Schema, SchemaRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;

use super::compile;
use super::evaluated::evaluated;
use super::kept::{Keeping, Kept, What};
use super::property::{PROPERTIES, property};
use super::types::stored_type;
use crate::decimal::{self, parse_decimal};
use crate::error::{EngineError, Result};
use crate::expression::{EVENT_COLUMNS, Property};
use crate::query::functions::{constant, of_column, of_used_columns, text};

/// The column by which events are told apart.
const EVENT_NAME: &str = "event_name";
/// Arguments of `measured`: the event's name, its columns, its properties.
const ARGUMENTS: usize = EVENT_COLUMNS.len() + 2;

/// The functions by which `sql/behavior/defined_measures.sql` and `sql/behavior/instants.sql` keep what `keeping` names:
/// * `measured(event_name, <columns of events>, properties)` lists what is kept of an event by day; `newly_measured` only
///   what the last generation did not keep.
/// * `instants(...)` and `new_instants(...)` list the numbers under which it is kept that it happened.
/// * `is_measured(event_name)`, `has_instants(event_name)` are true if that may be anything.
/// * `new_measures()` is how much the last generation did not keep.
pub(crate) fn functions(session: &SessionContext, keeping: &Keeping) -> Result<Vec<Arc<ScalarUDF>>> {
    let is_by_day = |kept: &Kept| !kept.is_of_all_events() && kept.what != What::Instant; // and not kept twice
    let is_instant = |kept: &Kept| kept.what == What::Instant;
    let is_new = |number: i64| keeping.new.contains(&number);
    let measured = Arc::new(Measurer::new(session, keeping, |kept, _| is_by_day(kept))?);
    let newly = Arc::new(Measurer::new(session, keeping, |kept, number| is_by_day(kept) && is_new(number))?);
    let instants = Arc::new(Measurer::new(session, keeping, |kept, _| is_instant(kept))?);
    let new_instants = Arc::new(Measurer::new(session, keeping, |kept, number| is_instant(kept) && is_new(number))?);
    let count = i64::try_from(keeping.new.len()).unwrap_or(i64::MAX);
    let knows = |name, measurer: &Arc<Measurer>| {
        let measurer = Arc::clone(measurer);
        of_column(name, DataType::Boolean, move |names| Ok(measurer.knows(&text(names)?)))
    };
    let lists = |name, measurer: &Arc<Measurer>| {
        let measurer = Arc::clone(measurer);
        of_used_columns(name, list_type(), measurer.used(), move |columns| Ok(measurer.measure(columns)?))
    };
    let numbers = |name, measurer: &Arc<Measurer>| {
        let (measurer, list) = (Arc::clone(measurer), DataType::new_list(DataType::Int64, true));
        of_used_columns(name, list, measurer.used(), move |columns| Ok(measurer.numbers(columns)?))
    };
    Ok(vec![
        lists("measured", &measured),
        lists("newly_measured", &newly),
        knows("is_measured", &measured),
        numbers("instants", &instants),
        numbers("new_instants", &new_instants),
        knows("has_instants", &instants),
        constant("new_measures", ScalarValue::Int64(Some(count))),
    ])
}

/// What is kept of the events of each name.
struct Measurer {
    by_event: BTreeMap<String, Vec<Measured>>,
    /// The columns of events that anything of it looks at.
    columns: BTreeSet<String>,
}

/// One thing that is kept.
struct Measured {
    number: i64,
    /// With its text, which tells whoever wrote it that it failed.
    condition: Option<(Arc<dyn PhysicalExpr>, String)>,
    what: What,
}

/// What was found: for a row of events, under which number, a value or a number or neither.
struct Found {
    row: u32,
    number: i64,
    value: Option<String>,
    amount: Option<i128>,
}

impl Measurer {
    fn new(session: &SessionContext, keeping: &Keeping, takes: impl Fn(&Kept, i64) -> bool) -> Result<Self> {
        let schema = DFSchema::try_from(event_schema())?;
        let mut by_event: BTreeMap<String, Vec<Measured>> = BTreeMap::new();
        let mut columns = BTreeSet::from([EVENT_NAME.to_owned()]);
        for (kept, number) in keeping.iter().filter(|(kept, number)| takes(kept, *number)) {
            let condition = match &kept.events.condition {
                Some(condition) => {
                    let compiled = compile::event_condition(&condition.expression)?;
                    columns.extend(compiled.column_refs().into_iter().map(|column| column.name.clone()));
                    Some((session.create_physical_expr(compiled, &schema)?, condition.text.clone()))
                }
                None => None,
            };
            columns.extend(match &kept.what {
                What::Event | What::Instant => None,
                What::Value(Property::Column(name)) | What::Number(Property::Column(name)) => Some(name.clone()),
                What::Value(Property::Path(_)) | What::Number(Property::Path(_)) => Some(PROPERTIES.to_owned()),
            });
            let measured = Measured { number, condition, what: kept.what.clone() };
            by_event.entry(kept.events.event.clone()).or_default().push(measured);
        }
        Ok(Self { by_event, columns })
    }

    /// Whether each argument is looked at.
    fn used(&self) -> [bool; ARGUMENTS] {
        let schema = event_schema();
        std::array::from_fn(|place| self.columns.contains(schema.field(place).name()))
    }

    fn knows(&self, names: &StringViewArray) -> ArrayRef {
        Arc::new(names.iter().map(|name| name.map(|name| self.by_event.contains_key(name))).collect::<BooleanArray>())
    }

    fn measure(&self, columns: &[ArrayRef; ARGUMENTS]) -> Result<ArrayRef> {
        let mut found = self.found(columns)?;
        found.sort_by_key(|found| found.row);
        listed(found, columns[0].len())
    }

    /// The same, of which only the numbers matter.
    fn numbers(&self, columns: &[ArrayRef; ARGUMENTS]) -> Result<ArrayRef> {
        let mut found = self.found(columns)?;
        found.sort_by_key(|found| found.row);
        let mut lengths = vec![0; columns[0].len()];
        found.iter().for_each(|found| lengths[found.row as usize] += 1);
        let numbers: Int64Array = found.iter().map(|found| Some(found.number)).collect();
        let element = Arc::new(Field::new_list_field(DataType::Int64, true));
        Ok(Arc::new(ListArray::try_new(element, OffsetBuffer::from_lengths(lengths), Arc::new(numbers), None)?))
    }

    fn found(&self, columns: &[ArrayRef; ARGUMENTS]) -> Result<Vec<Found>> {
        let names = text(&columns[0])?;
        let schema = event_schema();
        let given = columns.iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
        let events = RecordBatch::try_new(Arc::clone(&schema), given.collect::<std::result::Result<_, _>>()?)?;
        let mut rows_of: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (row, name) in names.iter().enumerate() {
            if let Some((name, _)) = name.and_then(|name| self.by_event.get_key_value(name)) {
                rows_of.entry(name).or_default().push(row as u32);
            }
        }
        let mut found = Vec::new();
        for (name, rows) in rows_of {
            let rows = UInt32Array::from(rows);
            // Columns of events are taken out only for those who look at them.
            let of_name = match self.by_event[name].iter().all(Measured::looks_at_nothing) {
                true => None,
                false => Some(take_record_batch(&events, &rows)?),
            };
            for measured in &self.by_event[name] {
                measured.find(of_name.as_ref(), &rows, &mut found)?;
            }
        }
        Ok(found)
    }
}

impl Measured {
    /// Whether the event's name is all that it needs.
    fn looks_at_nothing(&self) -> bool {
        self.condition.is_none() && matches!(self.what, What::Event | What::Instant)
    }

    /// Looks at events, which are those at `rows` of all; none if all that look at them look at nothing.
    fn find(&self, events: Option<&RecordBatch>, rows: &UInt32Array, found: &mut Vec<Found>) -> Result<()> {
        let nothing = RecordBatch::new_empty(event_schema());
        let events = events.unwrap_or(&nothing);
        let (events, rows) = match &self.condition {
            Some((condition, text)) => {
                let is_true = evaluated(condition, events).map_err(|error| {
                    EngineError::from(error).context(format!("`filter (where {text})` of a figure"))
                })?;
                let is_true = is_true.as_boolean();
                let events = arrow::compute::filter_record_batch(events, is_true)?;
                (events, filter(rows, is_true)?.as_primitive().clone())
            }
            None => (events.clone(), rows.clone()),
        };
        let number = self.number;
        let rows = rows.values().iter().copied();
        match &self.what {
            What::Event | What::Instant => {
                found.extend(rows.map(|row| Found { row, number, value: None, amount: None }))
            }
            What::Value(of) => {
                let values = values(&events, of)?;
                let some = rows.zip(values.iter()).filter_map(|(row, value)| Some((row, value?.to_owned())));
                found.extend(some.map(|(row, value)| Found { row, number, value: Some(value), amount: None }));
            }
            What::Number(of) => {
                let amounts = amounts(&events, of)?;
                let some = rows.zip(amounts).filter_map(|(row, amount)| Some((row, amount?)));
                found.extend(some.map(|(row, amount)| Found { row, number, value: None, amount: Some(amount) }));
            }
        }
        Ok(())
    }
}

/// The property of each event, as text.
fn values(events: &RecordBatch, of: &Property) -> Result<StringViewArray> {
    match of {
        Property::Column(name) => text_of(events, name),
        Property::Path(path) => {
            let mut values = StringViewBuilder::with_capacity(events.num_rows());
            for json in text_of(events, PROPERTIES)?.iter() {
                values.append_option(json.and_then(|json| property(json, path)));
            }
            Ok(values.finish())
        }
    }
}

/// The property of each event, if it is a number, in units of the last digit that decimals have.
fn amounts(events: &RecordBatch, of: &Property) -> Result<Vec<Option<i128>>> {
    if let Property::Column(name) = of
        && let Some(numbers) =
            events.column_by_name(name).and_then(|column| column.as_primitive_opt::<Decimal128Type>())
    {
        return Ok(numbers.iter().collect());
    }
    Ok(values(events, of)?.iter().map(|value| value.and_then(parse_decimal)).collect())
}

fn text_of(events: &RecordBatch, name: &str) -> Result<StringViewArray> {
    let column = events.column(events.schema().index_of(name)?);
    Ok(text(column)?)
}

fn event_schema() -> SchemaRef {
    let columns = EVENT_COLUMNS.iter().map(|(name, column_type)| Field::new(*name, stored_type(*column_type), true));
    let text = |name| Field::new(name, DataType::Utf8View, true);
    let fields = std::iter::once(text(EVENT_NAME)).chain(columns).chain(std::iter::once(text(PROPERTIES)));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn list_type() -> DataType {
    DataType::List(element())
}

fn element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(found_fields()), true))
}

fn found_fields() -> Fields {
    Fields::from(vec![
        Field::new("measure_id", DataType::Int64, true),
        Field::new("property_value", DataType::Utf8View, true),
        Field::new("number", DataType::Decimal128(decimal::PRECISION, decimal::SCALE), true),
    ])
}

/// A list for each of `rows` rows; `found` is in their order.
fn listed(found: Vec<Found>, rows: usize) -> Result<ArrayRef> {
    let mut lengths = vec![0; rows];
    let mut numbers = Int64Builder::with_capacity(found.len());
    let mut values = StringViewBuilder::with_capacity(found.len());
    let mut amounts = Decimal128Builder::with_capacity(found.len());
    for Found { row, number, value, amount } in found {
        lengths[row as usize] += 1;
        numbers.append_value(number);
        values.append_option(value);
        amounts.append_option(amount);
    }
    let amounts = amounts.finish().with_precision_and_scale(decimal::PRECISION, decimal::SCALE)?;
    let columns: Vec<ArrayRef> = vec![Arc::new(numbers.finish()), Arc::new(values.finish()), Arc::new(amounts)];
    let entries = StructArray::try_new(found_fields(), columns, None)?;
    Ok(Arc::new(ListArray::try_new(element(), OffsetBuffer::from_lengths(lengths), Arc::new(entries), None)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arguments are known by their places: two columns of text in each other's place would only be counted wrongly.
    #[test]
    fn test_queries_name_columns_in_the_order_of_arguments() {
        let columns = EVENT_COLUMNS.iter().map(|(name, _)| *name);
        let arguments: Vec<&str> = [EVENT_NAME].into_iter().chain(columns).chain([PROPERTIES]).collect();
        let queries = [
            include_str!("../../../sql/behavior/defined_measures.sql"),
            include_str!("../../../sql/behavior/instants.sql"),
        ];
        let mut calls = 0;
        for call in queries.iter().flat_map(|query| query.split("unnest(").skip(1)) {
            let (_, call) = call.split_once('(').unwrap();
            let (given, _) = call.split_once(')').unwrap();
            assert_eq!(given.split(',').map(str::trim).collect::<Vec<_>>(), arguments);
            calls += 1;
        }
        assert_eq!(calls, 4);
    }
}
