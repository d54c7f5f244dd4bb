//! The landing tables' schemas and the builders of their rows.
//!
//! `batch_id` is not among the columns: it is derived from the input's content, which is known only when the input has been read.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BooleanBuilder, Decimal128Builder, Int64Builder, ListArray, StringArray, StringBuilder, StructArray,
    TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use crate::decimal;
use crate::error::Result;
use crate::landing::row_id::{EventId, event_hash};
use crate::limits::PART_BYTES_MAX;

static EVENTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("position", DataType::Int64, false),
        Field::new("landed_at", time_type(), false),
        Field::new("source", DataType::Utf8, false),
        Field::new("event_id", DataType::Utf8, false),
        Field::new("event_hash", DataType::Int64, false),
        Field::new("event_type", DataType::Utf8, false),
        Field::new("event_name", DataType::Utf8, false),
        Field::new("occurred_at", time_type(), false),
        Field::new("received_at", time_type(), true),
        Field::new("sent_at", time_type(), true),
        Field::new("client_timestamp", time_type(), true),
        Field::new("original_timestamp", time_type(), true),
        Field::new("identifiers", pair_list_type("namespace"), false),
        Field::new("attributes", pair_list_type("name"), false),
        Field::new("page_path", DataType::Utf8, true),
        Field::new("page_title", DataType::Utf8, true),
        Field::new("referrer", DataType::Utf8, true),
        Field::new("utm_source", DataType::Utf8, true),
        Field::new("utm_medium", DataType::Utf8, true),
        Field::new("utm_campaign", DataType::Utf8, true),
        Field::new("revenue", DataType::Decimal128(decimal::PRECISION, decimal::SCALE), true),
        Field::new("currency", DataType::Utf8, true),
        Field::new("properties", DataType::Utf8, true),
        Field::new("context", DataType::Utf8, true),
    ]))
});

static RECORDS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("position", DataType::Int64, false),
        Field::new("landed_at", time_type(), false),
        Field::new("source", DataType::Utf8, false),
        Field::new("record_key", DataType::Utf8, false),
        Field::new("updated_at", time_type(), true),
        Field::new("is_deleted", DataType::Boolean, false),
        Field::new("identifiers", pair_list_type("namespace"), false),
        Field::new("attributes", pair_list_type("name"), false),
        Field::new("payload", DataType::Utf8, false),
    ]))
});

static QUARANTINE: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("landed_at", time_type(), false),
        Field::new("source", DataType::Utf8, false),
        Field::new("file", DataType::Utf8, false),
        Field::new("line", DataType::Int64, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("detail", DataType::Utf8, false),
        Field::new("raw", DataType::Utf8, false),
    ]))
});

/// Columns of `landing.events`, without `batch_id`.
pub(crate) fn events_schema() -> SchemaRef {
    Arc::clone(&EVENTS)
}

/// Columns of `landing.records`, without `batch_id`.
pub(crate) fn records_schema() -> SchemaRef {
    Arc::clone(&RECORDS)
}

/// Columns of `landing.quarantine`, without `batch_id`.
pub(crate) fn quarantine_schema() -> SchemaRef {
    Arc::clone(&QUARANTINE)
}

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn pair_fields(first: &str) -> Fields {
    Fields::from(vec![Field::new(first, DataType::Utf8, false), Field::new("value", DataType::Utf8, false)])
}

fn pair_list_type(first: &str) -> DataType {
    DataType::List(Arc::new(Field::new("element", DataType::Struct(pair_fields(first)), true)))
}

/// `text` in every one of `rows` rows.
pub(crate) fn repeat_text(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
}

/// One instant (microseconds) in every one of `rows` rows.
pub(crate) fn repeat_time(at_us: i64, rows: usize) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_value(at_us, rows).with_timezone("UTC"))
}

fn time_builder() -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::new().with_data_type(time_type())
}

/// Builds a list of pairs of texts a row. (Arrow's own nested builders look up their children's types at each append.)
struct PairListBuilder {
    first_name: &'static str,
    firsts: StringBuilder,
    values: StringBuilder,
    offsets: Vec<i32>,
    pairs: i32,
}

impl PairListBuilder {
    fn new(first_name: &'static str) -> Self {
        Self { first_name, firsts: StringBuilder::new(), values: StringBuilder::new(), offsets: vec![0], pairs: 0 }
    }

    fn append_row<T: AsRef<str>>(&mut self, pairs: &[(T, T)]) {
        for (first, value) in pairs {
            self.firsts.append_value(first);
            self.values.append_value(value);
        }
        self.pairs += pairs.len() as i32;
        self.offsets.push(self.pairs);
    }

    fn text_bytes(&self) -> usize {
        self.firsts.values_slice().len() + self.values.values_slice().len()
    }

    /// The rows so far; the builder is empty again.
    fn finish(&mut self) -> Result<ArrayRef> {
        let fields = pair_fields(self.first_name);
        let pairs = StructArray::try_new(
            fields.clone(),
            vec![Arc::new(self.firsts.finish()), Arc::new(self.values.finish())],
            None,
        )?;
        let element = Arc::new(Field::new("element", DataType::Struct(fields), true));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.offsets, vec![0])));
        self.pairs = 0;
        Ok(Arc::new(ListArray::try_new(element, offsets, Arc::new(pairs), None)?))
    }
}

/// A pair of texts: namespace and value of an identifier, or name and value of an attribute.
pub(crate) type Pair<'a> = (std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>);

/// One event, ready to be stored. Times are microseconds since 1970 UTC.
pub(crate) struct EventRow<'a> {
    pub(crate) id: EventId<'a>,
    pub(crate) event_type: &'a str,
    pub(crate) event_name: &'a str,
    pub(crate) occurred_at: i64,
    pub(crate) received_at: Option<i64>,
    pub(crate) sent_at: Option<i64>,
    pub(crate) client_timestamp: Option<i64>,
    pub(crate) original_timestamp: Option<i64>,
    pub(crate) identifiers: &'a [Pair<'a>],
    pub(crate) attributes: &'a [Pair<'a>],
    pub(crate) page_path: Option<&'a str>,
    pub(crate) page_title: Option<&'a str>,
    pub(crate) referrer: Option<&'a str>,
    pub(crate) utm_source: Option<&'a str>,
    pub(crate) utm_medium: Option<&'a str>,
    pub(crate) utm_campaign: Option<&'a str>,
    /// In units of 0.0001.
    pub(crate) revenue: Option<i128>,
    pub(crate) currency: Option<&'a str>,
    pub(crate) properties: Option<&'a str>,
    pub(crate) context: Option<&'a str>,
}

/// One record, ready to be stored. Times are microseconds since 1970 UTC.
pub(crate) struct RecordRow<'a> {
    pub(crate) key: &'a str,
    pub(crate) updated_at: Option<i64>,
    pub(crate) is_deleted: bool,
    pub(crate) identifiers: &'a [Pair<'a>],
    pub(crate) attributes: &'a [Pair<'a>],
    pub(crate) payload: &'a str,
}

/// Rows of one chunk, or of a part of it, before they are numbered: `columns` are the schema's without `position`.
pub(crate) struct UnnumberedRows {
    pub(crate) schema: SchemaRef,
    pub(crate) columns: Vec<ArrayRef>,
    /// Rows known by their content: row among these, and hash of the content.
    pub(crate) content_hashes: Vec<(usize, u128)>,
}

/// Takes rows of a chunk before it ends. Their text may be many times longer than the chunk's, for each call of a batch call
/// repeats its context, and each row the names of its columns: so much may not fit in one array, nor in memory.
pub(crate) type TakePart<'p> = &'p mut dyn FnMut(Result<UnnumberedRows>);

/// Builds the events of one chunk.
pub(crate) struct EventsBuilder<'p> {
    source: String,
    landed_at_us: i64,
    take_part: TakePart<'p>,
    content_hashes: Vec<(usize, u128)>,
    ids: StringBuilder,
    hashes: Int64Builder,
    types: StringBuilder,
    names: StringBuilder,
    occurred_at: TimestampMicrosecondBuilder,
    other_times: [TimestampMicrosecondBuilder; 4],
    identifiers: PairListBuilder,
    attributes: PairListBuilder,
    page_and_utm: [StringBuilder; 6],
    revenue: Decimal128Builder,
    texts: [StringBuilder; 3],
    rows: usize,
}

impl<'p> EventsBuilder<'p> {
    pub(crate) fn new(source: &str, landed_at_us: i64, take_part: TakePart<'p>) -> Self {
        Self {
            source: source.to_owned(),
            landed_at_us,
            take_part,
            content_hashes: Vec::new(),
            ids: StringBuilder::new(),
            hashes: Int64Builder::new(),
            types: StringBuilder::new(),
            names: StringBuilder::new(),
            occurred_at: time_builder(),
            other_times: std::array::from_fn(|_| time_builder()),
            identifiers: PairListBuilder::new("namespace"),
            attributes: PairListBuilder::new("name"),
            page_and_utm: std::array::from_fn(|_| StringBuilder::new()),
            revenue: Decimal128Builder::new().with_data_type(DataType::Decimal128(decimal::PRECISION, decimal::SCALE)),
            texts: std::array::from_fn(|_| StringBuilder::new()),
            rows: 0,
        }
    }

    pub(crate) fn push(&mut self, row: &EventRow<'_>) {
        match &row.id {
            EventId::Given(id) => {
                self.ids.append_value(id);
                self.hashes.append_value(event_hash(&self.source, id));
            }
            EventId::Content(hash) => {
                // The id ends with the row's number among its equals, which the ordered stage knows.
                self.content_hashes.push((self.rows, *hash));
                self.ids.append_value("");
                self.hashes.append_value(0);
            }
        }
        self.types.append_value(row.event_type);
        self.names.append_value(row.event_name);
        self.occurred_at.append_value(row.occurred_at);
        let times = [row.received_at, row.sent_at, row.client_timestamp, row.original_timestamp];
        for (builder, time) in self.other_times.iter_mut().zip(times) {
            builder.append_option(time);
        }
        self.identifiers.append_row(row.identifiers);
        self.attributes.append_row(row.attributes);
        let page_and_utm =
            [row.page_path, row.page_title, row.referrer, row.utm_source, row.utm_medium, row.utm_campaign];
        for (builder, text) in self.page_and_utm.iter_mut().zip(page_and_utm) {
            builder.append_option(text);
        }
        self.revenue.append_option(row.revenue);
        let currency = row.currency.map(currency_code);
        for (builder, text) in self.texts.iter_mut().zip([currency.as_deref(), row.properties, row.context]) {
            builder.append_option(text);
        }
        self.rows += 1;
        if self.text_bytes() > PART_BYTES_MAX {
            let part = self.finish();
            (self.take_part)(part);
        }
    }

    fn text_bytes(&self) -> usize {
        let texts = [&self.ids, &self.types, &self.names].into_iter().chain(&self.page_and_utm).chain(&self.texts);
        let bytes: usize = texts.map(|text| text.values_slice().len()).sum();
        bytes + self.identifiers.text_bytes() + self.attributes.text_bytes()
    }

    /// The rows since the last part; the builder is empty again.
    pub(crate) fn finish(&mut self) -> Result<UnnumberedRows> {
        let mut columns: Vec<ArrayRef> = vec![
            repeat_time(self.landed_at_us, self.rows),
            repeat_text(&self.source, self.rows),
            Arc::new(self.ids.finish()),
            Arc::new(self.hashes.finish()),
            Arc::new(self.types.finish()),
            Arc::new(self.names.finish()),
            Arc::new(self.occurred_at.finish()),
        ];
        columns.extend(self.other_times.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        columns.push(self.identifiers.finish()?);
        columns.push(self.attributes.finish()?);
        columns.extend(self.page_and_utm.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        columns.push(Arc::new(self.revenue.finish()));
        columns.extend(self.texts.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        self.rows = 0;
        let content_hashes = std::mem::take(&mut self.content_hashes);
        Ok(UnnumberedRows { schema: events_schema(), columns, content_hashes })
    }
}

/// A currency as ISO 4217 writes it; what is none stays as it is.
fn currency_code(text: &str) -> Cow<'_, str> {
    let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_code { Cow::Owned(text.to_ascii_uppercase()) } else { Cow::Borrowed(text) }
}

/// Builds the records of one chunk.
pub(crate) struct RecordsBuilder<'p> {
    source: String,
    landed_at_us: i64,
    take_part: TakePart<'p>,
    keys: StringBuilder,
    updated_at: TimestampMicrosecondBuilder,
    is_deleted: BooleanBuilder,
    identifiers: PairListBuilder,
    attributes: PairListBuilder,
    payloads: StringBuilder,
    rows: usize,
}

impl<'p> RecordsBuilder<'p> {
    pub(crate) fn new(source: &str, landed_at_us: i64, take_part: TakePart<'p>) -> Self {
        Self {
            source: source.to_owned(),
            landed_at_us,
            take_part,
            keys: StringBuilder::new(),
            updated_at: time_builder(),
            is_deleted: BooleanBuilder::new(),
            identifiers: PairListBuilder::new("namespace"),
            attributes: PairListBuilder::new("name"),
            payloads: StringBuilder::new(),
            rows: 0,
        }
    }

    pub(crate) fn push(&mut self, row: &RecordRow<'_>) {
        self.keys.append_value(row.key);
        self.updated_at.append_option(row.updated_at);
        self.is_deleted.append_value(row.is_deleted);
        self.identifiers.append_row(row.identifiers);
        self.attributes.append_row(row.attributes);
        self.payloads.append_value(row.payload);
        self.rows += 1;
        if self.text_bytes() > PART_BYTES_MAX {
            let part = self.finish();
            (self.take_part)(part);
        }
    }

    fn text_bytes(&self) -> usize {
        let bytes = self.keys.values_slice().len() + self.payloads.values_slice().len();
        bytes + self.identifiers.text_bytes() + self.attributes.text_bytes()
    }

    /// The rows since the last part; the builder is empty again.
    pub(crate) fn finish(&mut self) -> Result<UnnumberedRows> {
        let columns: Vec<ArrayRef> = vec![
            repeat_time(self.landed_at_us, self.rows),
            repeat_text(&self.source, self.rows),
            Arc::new(self.keys.finish()),
            Arc::new(self.updated_at.finish()),
            Arc::new(self.is_deleted.finish()),
            self.identifiers.finish()?,
            self.attributes.finish()?,
            Arc::new(self.payloads.finish()),
        ];
        self.rows = 0;
        Ok(UnnumberedRows { schema: records_schema(), columns, content_hashes: Vec::new() })
    }
}
