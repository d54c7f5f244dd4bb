//! Rows of named cells (CSV, NDJSON, Parquet) as events or records, by a source's mapping.

use std::borrow::Cow;
use std::collections::HashMap;

use chrono_tz::Tz;

use crate::config::nearest::suggestion;
use crate::config::{EventName, Source, SourceKind, preset};
use crate::decimal::{parse_decimal, with_decimal_point};
use crate::error::{EngineError, Result};
use crate::landing::identifier_rules::IdentifierRules;
use crate::landing::json::{ObjectWriter, entries_text};
use crate::landing::quarantine::{Reason, Rejection};
use crate::landing::row_id::{EventId, content_hash};
use crate::landing::schema::{EventRow, EventsBuilder, Pair, RecordRow, RecordsBuilder, UnnumberedRows};
use crate::landing::time::{check_possible, parse_time, parse_zone};
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

/// A column that the source's mapping names, by its number among them.
type Slot = usize;

/// What a source's columns mean.
#[derive(Debug)]
pub(crate) struct Mapping {
    kind: SourceKind,
    zone: Tz,
    has_decimal_comma: bool,
    identifier_rules: IdentifierRules,
    /// The slots of each column, by the names that it may have in a file.
    slots: HashMap<String, Vec<Slot>>,
    /// The mapping's column of each slot.
    columns: Vec<String>,
    /// Slots whose columns are a preset's.
    loose: Vec<bool>,
    key: Option<Slot>,
    /// Whether keys are ids of Salesforce, which has two spellings of each.
    has_salesforce_keys: bool,
    updated_at: Option<Slot>,
    deleted: Option<Slot>,
    merged_into: Option<Slot>,
    event: Option<EventName>,
    event_slot: Option<Slot>,
    occurred_at: Option<Slot>,
    identifiers: Vec<(String, Slot)>,
    attributes: Vec<(String, Slot)>,
    revenue: Option<Slot>,
    currency: Option<Slot>,
    currency_literal: Option<String>,
    message_id: Option<Slot>,
    page_path: Option<Slot>,
    group_by: Option<Slot>,
    products: Vec<(String, Slot)>,
    /// Slots of the listed properties; None for all columns without a use of their own.
    properties: Option<Vec<Slot>>,
    /// Slots from this one on are mapped only as attributes or properties.
    own_use_end: Slot,
}

impl Mapping {
    pub(crate) fn new(source: &Source, identifier_rules: &IdentifierRules) -> Result<Self> {
        let mut columns: Vec<String> = Vec::new();
        let mut slot = |column: &str| {
            columns.iter().position(|known| known == column).unwrap_or_else(|| {
                columns.push(column.to_owned());
                columns.len() - 1
            })
        };
        let event_column = match &source.event {
            Some(EventName::Column(column)) => Some(column),
            _ => None,
        };
        let key = source.key.as_deref().map(&mut slot);
        let updated_at = source.updated_at.as_deref().map(&mut slot);
        let deleted = source.deleted.as_deref().map(&mut slot);
        let merged_into = source.merged_into.as_deref().map(&mut slot);
        let event_slot = event_column.map(|column| slot(column));
        let occurred_at = source.occurred_at.as_deref().map(&mut slot);
        let identifiers: Vec<_> =
            source.identifiers.iter().map(|(namespace, column)| (namespace.clone(), slot(column))).collect();
        let revenue = source.revenue.as_deref().map(&mut slot);
        let currency = source.currency.as_deref().map(&mut slot);
        let message_id = source.message_id.as_deref().map(&mut slot);
        let page_path = source.page_path.as_deref().map(&mut slot);
        let products: Vec<_> = source.products.iter().map(|(name, column)| (name.clone(), slot(column))).collect();
        let has_salesforce_keys = identifiers
            .iter()
            .any(|(namespace, slot)| Some(*slot) == key && identifier_rules.salesforce_namespaces.contains(namespace));
        // One more than the last slot with a use of its own: what follows may be used twice.
        let single =
            [key, updated_at, deleted, merged_into, event_slot, occurred_at, revenue, currency, message_id, page_path];
        let own_use_end = single
            .into_iter()
            .flatten()
            .chain(identifiers.iter().chain(&products).map(|(_, slot)| *slot))
            .max()
            .map_or(0, |last| last + 1);
        let group_by = source.group_by.as_deref().map(&mut slot);
        let attributes =
            source.attributes.iter().map(|(attribute, column)| (attribute.clone(), slot(column))).collect();
        let properties = source.properties.as_ref().map(|columns| columns.iter().map(|column| slot(column)).collect());
        let loose: Vec<bool> = columns.iter().map(|column| source.loose_columns.contains(column)).collect();
        // Until the columns of a file are known, and in lines of JSON, a preset's column has any of its names.
        let mut slots: HashMap<String, Vec<Slot>> = HashMap::new();
        for (slot, (column, is_loose)) in columns.iter().zip(&loose).enumerate() {
            let names: Vec<&str> = if *is_loose { preset::names(column).collect() } else { vec![column] };
            names.into_iter().for_each(|name| slots.entry(name.to_owned()).or_default().push(slot));
        }
        Ok(Self {
            kind: source.kind,
            zone: parse_zone(&source.name, source.time_zone.as_deref())?,
            has_decimal_comma: source.has_decimal_comma,
            identifier_rules: identifier_rules.clone(),
            key,
            has_salesforce_keys,
            updated_at,
            deleted,
            merged_into,
            event: source.event.clone(),
            event_slot,
            occurred_at,
            identifiers,
            attributes,
            revenue,
            currency,
            currency_literal: source.currency.clone().filter(|code| is_currency_code(code)),
            message_id,
            page_path,
            group_by,
            products,
            properties,
            own_use_end,
            slots,
            columns,
            loose,
        })
    }

    /// Finds the mapping's columns among those of an input, which are all it has; refuses an input that lacks one.
    pub(crate) fn find_columns(&mut self, source: &str, file: &str, of_file: &[String]) -> Result<()> {
        let mut slots: HashMap<String, Vec<Slot>> = HashMap::new();
        for (slot, column) in self.columns.iter().enumerate() {
            let is_loose = self.loose[slot];
            let found =
                if is_loose { preset::find(column, of_file) } else { of_file.iter().find(|known| *known == column) };
            let is_literal = Some(slot) == self.currency && self.currency_literal.is_some();
            match found {
                Some(found) => slots.entry(found.clone()).or_default().push(slot),
                None if is_literal || is_loose && !self.is_needed(slot) => {}
                None => {
                    return Err(EngineError::invalid(format!(
                        "`{file}` has no column `{column}`, which source `{source}` maps: {}; correct the mapping or the file",
                        suggestion(column, of_file.iter().map(String::as_str)),
                    )));
                }
            }
        }
        self.slots = slots;
        Ok(())
    }

    /// What makes rows of a file with these columns one event, if anything does; refuses one whose own column would be lost
    /// under the list of products.
    pub(crate) fn grouping(&self, file: &str, of_file: &[String]) -> Result<Option<Grouping>> {
        let is_it = |column: &String, slot| self.slots.get(column).is_some_and(|slots| slots.contains(&slot));
        let place = |slot: Slot| of_file.iter().position(|column| is_it(column, slot));
        let Some(by) = self.group_by.and_then(place) else { return Ok(None) };
        let products = self.products.iter().filter_map(|(name, slot)| {
            Some(ProductColumn { name: name.clone(), place: place(*slot)?, is_loose: self.loose[*slot] })
        });
        let grouping = Grouping { by, products: products.collect() };
        if !grouping.products.is_empty() && of_file.iter().any(|column| column == PRODUCTS) {
            return Err(EngineError::invalid(format!(
                "`{file}` has a column `{PRODUCTS}`, which is what the list of its rows' products is called; rename the column"
            )));
        }
        Ok(Some(grouping))
    }

    /// True if no row can land without the column.
    fn is_needed(&self, slot: Slot) -> bool {
        [self.key, self.occurred_at, self.group_by].contains(&Some(slot))
    }
}

/// Which rows of a CSV file are one event.
#[derive(Debug)]
pub(crate) struct Grouping {
    /// The number of the column that such rows have in common.
    pub(crate) by: usize,
    /// The columns that say something of one product.
    pub(crate) products: Vec<ProductColumn>,
}

/// A column that says something of one product.
#[derive(Debug)]
pub(crate) struct ProductColumn {
    /// What the product calls it.
    pub(crate) name: String,
    /// The column's number in the file.
    pub(crate) place: usize,
    /// Whether it is a preset's.
    pub(crate) is_loose: bool,
}

/// A cell of a preset's column without the apostrophe in front that keeps spreadsheets from taking a text for a number. `'t
/// Hooft` is a name.
pub(crate) fn unguarded(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if text.bytes().any(|byte| byte.is_ascii_digit()) => rest.trim_start(),
        _ => text,
    }
}

/// Three capital letters, as ISO 4217 has them: a column's name in the file wins over that.
fn is_currency_code(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

enum Rows {
    Events(Box<EventsBuilder>),
    Records(Box<RecordsBuilder>),
}

/// Builds the rows of one chunk.
pub(crate) struct TabularBuilder<'m> {
    mapping: &'m Mapping,
    rows: Rows,
    json: ObjectWriter,
}

/// The cells of a row, and which of them each slot is.
struct Row<'r> {
    mapping: &'r Mapping,
    cells: &'r [Cell<'r>],
    slots: Vec<Option<usize>>,
}

impl<'r> Row<'r> {
    fn new(mapping: &'r Mapping, cells: &'r [Cell<'r>]) -> Self {
        let mut slots = vec![None; mapping.columns.len()];
        for (index, cell) in cells.iter().enumerate() {
            for slot in mapping.slots.get(cell.name.as_ref()).into_iter().flatten() {
                slots[*slot] = Some(index);
            }
        }
        Self { mapping, cells, slots }
    }

    fn cell(&self, slot: Option<Slot>) -> Option<&'r Cell<'r>> {
        self.slots[slot?].map(|index| &self.cells[index])
    }

    fn text(&self, slot: Option<Slot>) -> Option<&'r str> {
        let text = self.cell(slot)?.text.as_ref();
        let is_loose = slot.is_some_and(|slot| self.mapping.loose[slot]);
        let text = if is_loose { unguarded(text) } else { text };
        (!text.is_empty()).then_some(text)
    }

    /// Cells of columns that have no use of their own.
    fn unused(&self) -> impl Iterator<Item = &'r Cell<'r>> {
        let mut is_used = vec![false; self.cells.len()];
        self.slots[..self.mapping.own_use_end].iter().flatten().for_each(|index| is_used[*index] = true);
        self.cells.iter().zip(is_used).filter(|(_, is_used)| !is_used).map(|(cell, _)| cell)
    }
}

impl<'m> TabularBuilder<'m> {
    pub(crate) fn new(source: &str, mapping: &'m Mapping) -> Self {
        let rows = match mapping.kind {
            SourceKind::Events => Rows::Events(Box::new(EventsBuilder::new(source))),
            SourceKind::Records => Rows::Records(Box::new(RecordsBuilder::new(source))),
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

    pub(crate) fn finish(self, landed_at_us: i64) -> Result<UnnumberedRows> {
        match self.rows {
            Rows::Events(events) => events.finish(landed_at_us),
            Rows::Records(records) => records.finish(landed_at_us),
        }
    }
}

fn push_event(
    mapping: &Mapping,
    row: &Row<'_>,
    events: &mut EventsBuilder,
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
    let revenue = row.text(mapping.revenue).map(|text| revenue(mapping, text)).transpose()?;
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
    records: &mut RecordsBuilder,
    json: &mut ObjectWriter,
) -> Result<(), Rejection> {
    let key =
        row.text(mapping.key).ok_or_else(|| Rejection::new(Reason::NoKey, "the column mapped as `key` is empty"))?;
    let spelled = if mapping.has_salesforce_keys { salesforce_id::with_18_letters(key) } else { None };
    let key = spelled.as_deref().unwrap_or(key);
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

/// An amount in units of the last digit.
fn revenue(mapping: &Mapping, text: &str) -> Result<i128, Rejection> {
    let with_point = if mapping.has_decimal_comma { with_decimal_point(text) } else { Some(text.to_owned()) };
    with_point.as_deref().and_then(parse_decimal).ok_or_else(|| {
        let detail = match mapping.has_decimal_comma {
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

/// A cell as a property, by what the source says of numbers, and a preset of its columns.
fn push_property(json: &mut ObjectWriter, mapping: &Mapping, cell: &Cell<'_>, is_loose: bool) {
    if cell.json.is_some() {
        return push_cell(json, cell);
    }
    let text = if is_loose { unguarded(&cell.text) } else { &cell.text };
    // Without a comma it may be anything: 1.234 is a version, too.
    let number = if mapping.has_decimal_comma && text.contains(',') { with_decimal_point(text) } else { None };
    json.push_text(&cell.name, number.as_deref().unwrap_or(text));
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
