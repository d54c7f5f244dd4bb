//! Rows of named cells (CSV, NDJSON, Parquet) as events or records, by a source's mapping.

mod mapping;

use std::borrow::Cow;

pub(crate) use self::mapping::{Grouping, Mapping, ProductColumn};
use self::mapping::{Rank, Slot};
use crate::config::{EventName, SourceKind};
use crate::decimal::{parse_decimal, with_decimal_point};
use crate::error::Result;
use crate::landing::json::{ObjectWriter, entries_text, with_whole_number};
use crate::landing::quarantine::{Reason, Rejection};
use crate::landing::row_id::{EventId, content_hash};
use crate::landing::schema::{EventRow, EventsBuilder, Pair, RecordRow, RecordsBuilder, TakePart, UnnumberedRows};
use crate::landing::time::{check_possible, parse_time};
use crate::salesforce_id;

/// The property that holds what rows of one event say of its products, as the Segment spec calls it.
pub(crate) const PRODUCTS: &str = "products";

/// One value of a row that is neither null nor blank.
#[derive(Debug, Clone)]
pub(crate) struct Cell<'a> {
    pub(crate) name: Cow<'a, str>,
    /// Trimmed.
    pub(crate) text: Cow<'a, str>,
    /// Its JSON text where the source has one; a string otherwise.
    pub(crate) json: Option<&'a str>,
}

impl Cell<'_> {
    /// False for what JSON or Parquet have as a number, a list and so on.
    fn is_text(&self) -> bool {
        self.json.is_none_or(|json| json.starts_with('"'))
    }
}

/// A cell of a preset's column without the apostrophe in front that keeps spreadsheets from taking a text for a number. `'t
/// Hooft` is a name.
pub(crate) fn unguarded(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if text.bytes().any(|byte| byte.is_ascii_digit()) => rest.trim_start(),
        _ => text,
    }
}

enum Rows<'m> {
    Events(Box<EventsBuilder<'m>>),
    Records(Box<RecordsBuilder<'m>>),
}

/// Builds the rows of one chunk.
pub(crate) struct TabularBuilder<'m> {
    mapping: &'m Mapping,
    rows: Rows<'m>,
    json: ObjectWriter,
}

/// The cells of a row, and which of them each slot is, with the rank of its name.
struct Row<'r> {
    mapping: &'r Mapping,
    cells: &'r [Cell<'r>],
    slots: Vec<Option<(Rank, usize)>>,
}

impl<'r> Row<'r> {
    fn new(mapping: &'r Mapping, cells: &'r [Cell<'r>]) -> Self {
        let mut slots: Vec<Option<(Rank, usize)>> = vec![None; mapping.columns.len()];
        for (index, cell) in cells.iter().enumerate() {
            for (slot, rank) in mapping.slots.get(cell.name.as_ref()).into_iter().flatten() {
                if slots[*slot].is_none_or(|(best, _)| *rank < best) {
                    slots[*slot] = Some((*rank, index));
                }
            }
        }
        Self { mapping, cells, slots }
    }

    fn cell(&self, slot: Option<Slot>) -> Option<&'r Cell<'r>> {
        self.slots[slot?].map(|(_, index)| &self.cells[index])
    }

    fn text(&self, slot: Option<Slot>) -> Option<&'r str> {
        let text = self.cell(slot)?.text.as_ref();
        let is_loose = slot.is_some_and(|slot| self.mapping.loose[slot]);
        let text = if is_loose { unguarded(text) } else { text };
        (!text.is_empty()).then_some(text)
    }

    /// The text of a column of ids.
    fn id(&self, slot: Slot) -> Option<Cow<'r, str>> {
        let text = Cow::Borrowed(self.text(Some(slot))?);
        Some(match self.cell(Some(slot)).and_then(|cell| cell.json) {
            Some(json) => with_whole_number(text, json),
            None => text,
        })
    }

    /// Cells of columns that have no use of their own.
    fn unused(&self) -> impl Iterator<Item = &'r Cell<'r>> {
        let mut is_used = vec![false; self.cells.len()];
        self.slots[..self.mapping.own_use_end].iter().flatten().for_each(|(_, index)| is_used[*index] = true);
        self.cells.iter().zip(is_used).filter(|(_, is_used)| !is_used).map(|(cell, _)| cell)
    }
}

impl<'m> TabularBuilder<'m> {
    pub(crate) fn new(source: &str, landed_at_us: i64, mapping: &'m Mapping, take_part: TakePart<'m>) -> Self {
        let rows = match mapping.kind {
            SourceKind::Events => Rows::Events(Box::new(EventsBuilder::new(source, landed_at_us, take_part))),
            SourceKind::Records => Rows::Records(Box::new(RecordsBuilder::new(source, landed_at_us, take_part))),
        };
        Self { mapping, rows, json: ObjectWriter::default() }
    }

    /// Adds one row, or says why not. A name occurs once among `cells`.
    pub(crate) fn push(&mut self, cells: &[Cell<'_>]) -> Result<(), Rejection> {
        let row = Row::new(self.mapping, cells);
        match &mut self.rows {
            Rows::Events(events) => push_event(self.mapping, &row, events, &mut self.json),
            Rows::Records(records) => push_record(self.mapping, &row, records, &mut self.json),
        }
    }

    /// The rows since the last part.
    pub(crate) fn finish(mut self) -> Result<UnnumberedRows> {
        match &mut self.rows {
            Rows::Events(events) => events.finish(),
            Rows::Records(records) => records.finish(),
        }
    }
}

fn push_event(
    mapping: &Mapping,
    row: &Row<'_>,
    events: &mut EventsBuilder<'_>,
    json: &mut ObjectWriter,
) -> Result<(), Rejection> {
    let event_name = match &mapping.event {
        Some(EventName::Literal(name)) => Some(name.as_str()),
        _ => row.text(mapping.event_slot),
    };
    let event_name =
        event_name.ok_or_else(|| Rejection::new(Reason::NoEventName, "the column mapped as `event` is empty"))?;
    let occurred_at = time(mapping, row, mapping.occurred_at, "occurred_at")?
        .ok_or_else(|| Rejection::new(Reason::NoTime, "the column mapped as `occurred_at` is empty"))?;
    let identifiers = identifiers(mapping, row)?;
    let attributes = mapped_attributes(mapping, row);
    let revenue = revenue(mapping, row)?;
    json.clear();
    match &mapping.properties {
        Some(slots) => {
            for slot in slots {
                row.cell(Some(*slot))
                    .into_iter()
                    .for_each(|cell| push_property(json, mapping, cell, mapping.loose[*slot]));
            }
            let products = row.cells.iter().filter(|cell| !mapping.products.is_empty() && cell.name == PRODUCTS);
            products.for_each(|cell| push_cell(json, cell));
        }
        None => row.unused().for_each(|cell| push_property(json, mapping, cell, false)),
    }
    events.push(&EventRow {
        id: match row.text(mapping.message_id) {
            Some(id) => EventId::Given(Cow::Borrowed(id)),
            None => EventId::Content(cells_hash(row.cells)),
        },
        event_type: "track",
        event_name,
        occurred_at,
        received_at: None,
        sent_at: None,
        client_timestamp: None,
        original_timestamp: None,
        identifiers: &identifiers,
        attributes: &attributes,
        page_path: row.text(mapping.page_path),
        page_title: None,
        referrer: None,
        utm_source: None,
        utm_medium: None,
        utm_campaign: None,
        revenue,
        currency: row.text(mapping.currency).or(mapping.currency_literal.as_deref()),
        properties: Some(json.finish()),
        context: None,
    });
    Ok(())
}

fn push_record(
    mapping: &Mapping,
    row: &Row<'_>,
    records: &mut RecordsBuilder<'_>,
    json: &mut ObjectWriter,
) -> Result<(), Rejection> {
    let key = mapping.key.and_then(|slot| row.id(slot));
    let key = key.ok_or_else(|| Rejection::new(Reason::NoKey, "the column mapped as `key` is empty"))?;
    let spelled = if mapping.has_salesforce_keys { salesforce_id::with_18_letters(&key) } else { None };
    let key = spelled.as_deref().unwrap_or(&key);
    let updated_at = time(mapping, row, mapping.updated_at, "updated_at")?;
    let is_merged = row.text(mapping.merged_into).is_some();
    let is_deleted = is_deleted(mapping, row)? && !is_merged;
    // A version that names nobody lands all the same, as a mark: what earlier ones said of the record's person ends with it. But
    // for one that was merged, whose identifiers stay linked.
    let (identifiers, refusal) = match identifiers(mapping, row) {
        Ok(identifiers) => (identifiers, None),
        Err(refusal) if is_merged => return Err(refusal),
        Err(refusal) => (Vec::new(), Some(refusal)),
    };
    let attributes = if is_merged || refusal.is_some() {
        Vec::new()
    } else if mapping.attributes.is_empty() {
        row.unused().map(|cell| (Cow::Borrowed(cell.name.as_ref()), Cow::Borrowed(cell.text.as_ref()))).collect()
    } else {
        mapped_attributes(mapping, row)
    };
    json.clear();
    row.cells.iter().for_each(|cell| push_cell(json, cell));
    let payload = json.finish();
    records.push(&RecordRow {
        key,
        updated_at,
        is_deleted,
        identifiers: &identifiers,
        attributes: &attributes,
        payload,
    });
    match refusal {
        Some(refusal) if !is_deleted => Err(refusal),
        _ => Ok(()), // of whom is no more nothing else need be told
    }
}

/// The amount, in units of the last digit.
fn revenue(mapping: &Mapping, row: &Row<'_>) -> Result<Option<i128>, Rejection> {
    let Some(text) = row.text(mapping.revenue) else { return Ok(None) };
    let has_comma = mapping.has_decimal_comma && row.cell(mapping.revenue).is_none_or(Cell::is_text);
    let with_point = if has_comma { with_decimal_point(text) } else { Some(text.to_owned()) };
    with_point.as_deref().and_then(parse_decimal).map(Some).ok_or_else(|| {
        let detail = match has_comma {
            _ if with_point.as_deref().is_some_and(is_number) => {
                "the column mapped as `revenue` is too large: an amount is at most 99999999999999.9999, with 14 digits \
                 before its fraction; correct it in the file"
            }
            true => {
                "the column mapped as `revenue` is no number such as 1.234,50; `decimal_sign` says that it has a comma"
            }
            false => {
                "the column mapped as `revenue` is no number; write it as 1234.50, without currency or separators, or \
                 give the source `decimal_sign = \",\"` if it is written as 1234,50"
            }
        };
        Rejection::new(Reason::BadNumber, detail)
    })
}

/// Whether a text is a number of any size; `inf` and `NaN` are none.
fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok() && text.bytes().any(|byte| byte.is_ascii_digit())
}

/// A cell as a property, by what the source says of numbers, and a preset of its columns.
fn push_property(json: &mut ObjectWriter, mapping: &Mapping, cell: &Cell<'_>, is_loose: bool) {
    if !cell.is_text() {
        return push_cell(json, cell);
    }
    let text = if is_loose { unguarded(&cell.text) } else { &cell.text };
    // Without a comma it may be anything: 1.234 is a version, too.
    let number = if mapping.has_decimal_comma && text.contains(',') { with_decimal_point(text) } else { None };
    match number {
        Some(number) => json.push_text(&cell.name, &number),
        None if text.len() < cell.text.len() => json.push_text(&cell.name, text),
        None => push_cell(json, cell),
    }
}

fn push_cell(json: &mut ObjectWriter, cell: &Cell<'_>) {
    match cell.json {
        Some(value) => json.push_json(&cell.name, value),
        None => json.push_text(&cell.name, &cell.text),
    }
}

fn time(mapping: &Mapping, row: &Row<'_>, slot: Option<Slot>, role: &str) -> Result<Option<i64>, Rejection> {
    let Some(text) = row.text(slot) else { return Ok(None) };
    let at = parse_time(text, mapping.zone).ok_or_else(|| {
        Rejection::new(
            Reason::BadTime,
            format!("the column mapped as `{role}` is no time; write RFC 3339 or YYYY-MM-DD[ HH:MM[:SS]]"),
        )
    })?;
    check_possible(at, role)?;
    Ok(Some(at))
}

fn is_deleted(mapping: &Mapping, row: &Row<'_>) -> Result<bool, Rejection> {
    let Some(text) = row.text(mapping.deleted) else { return Ok(false) };
    let is_word = |words: [&str; 5]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_word(["true", "1", "yes", "t", "y"]) {
        return Ok(true);
    }
    if is_word(["false", "0", "no", "f", "n"]) {
        return Ok(false);
    }
    // Many systems keep the time of the deletion instead.
    if parse_time(text, mapping.zone).is_some() {
        return Ok(true);
    }
    Err(Rejection::new(Reason::BadRow, "the column mapped as `deleted` is neither true, false nor a time"))
}

fn identifiers<'r>(mapping: &'r Mapping, row: &Row<'r>) -> Result<Vec<Pair<'r>>, Rejection> {
    let mut identifiers: Vec<Pair<'r>> = Vec::with_capacity(mapping.identifiers.len());
    for (namespace, slot) in &mapping.identifiers {
        let Some(text) = row.text(Some(*slot)) else { continue };
        for value in identifier_values(mapping, row, *slot, text)? {
            let identifier = (Cow::Borrowed(namespace.as_str()), value);
            if !identifiers.contains(&identifier) {
                identifiers.push(identifier);
            }
        }
    }
    mapping.identifier_rules.check(&identifiers, "all columns mapped as identifiers are empty")?;
    Ok(identifiers)
}

/// The values in a cell of identifiers: several in a list of JSON. Exports join several addresses or ids with semicolons,
/// which none of them has.
fn identifier_values<'r>(
    mapping: &Mapping,
    row: &Row<'r>,
    slot: Slot,
    text: &'r str,
) -> Result<Vec<Cow<'r, str>>, Rejection> {
    let values = match row.cell(Some(slot)).and_then(|cell| cell.json).and_then(|json| json.bytes().next()) {
        Some(b'[') => entries_text(text),
        Some(b'{') => None,
        Some(b'-' | b'0'..=b'9') => row.id(slot).map(|id| vec![id]),
        _ => {
            let separators: &[char] = if mapping.loose[slot] { &[';'] } else { &[] };
            Some(text.split(separators).map(Cow::Borrowed).collect())
        }
    };
    let values = values.ok_or_else(|| {
        let column = &mapping.columns[slot];
        Rejection::new(
            Reason::BadRow,
            format!("`{column}`, mapped as an identifier, is neither a text nor a list of texts"),
        )
    })?;
    Ok(values.into_iter().map(trimmed).filter(|value| !value.is_empty()).collect())
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

fn mapped_attributes<'r>(mapping: &'r Mapping, row: &Row<'r>) -> Vec<Pair<'r>> {
    let told =
        |(name, slot): &'r (String, Slot)| Some((Cow::Borrowed(name.as_str()), Cow::Borrowed(row.text(Some(*slot))?)));
    mapping.attributes.iter().filter_map(told).collect()
}

/// Hash of a row's cells by name: neither the order of the columns nor empty ones matter.
fn cells_hash(cells: &[Cell<'_>]) -> u128 {
    let mut by_name: Vec<&Cell<'_>> = cells.iter().collect();
    by_name.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let mut content = Vec::with_capacity(256);
    for cell in by_name {
        // Lengths keep `a` + `bc` apart from `ab` + `c`.
        content.extend_from_slice(&(cell.name.len() as u32).to_le_bytes());
        content.extend_from_slice(&(cell.text.len() as u32).to_le_bytes());
        content.extend_from_slice(cell.name.as_bytes());
        content.extend_from_slice(cell.text.as_bytes());
    }
    content_hash(&content)
}
