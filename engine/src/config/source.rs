//! The `[[source]]` tables: where data comes from and what its columns mean.

use std::collections::HashSet;

use super::identity::check_namespace_name;
use super::nearest::nearest;
use super::preset::PRESETS;
use super::reader::{Problems, Span, TableReader, parse_root, string_of};
use super::{EventName, IdentityConfig, Party, Source, SourceFormat, SourceKind};

/// Keys of every source.
const COMMON_KEYS: [&str; 6] = ["name", "preset", "format", "kind", "touchpoint", "party"];
/// Keys of records and of events in files whose columns must be mapped.
const MAPPING_KEYS: [&str; 3] = ["identifiers", "time_zone", "decimal_sign"];
/// Keys that only make sense where a row replaces an earlier one.
const RECORD_KEYS: [&str; 6] = ["key", "updated_at", "deleted", "merged_into", "keep_links", "attributes"];
/// Keys that only make sense where a row is an event.
const EVENT_KEYS: [&str; 9] =
    ["event", "occurred_at", "revenue", "currency", "properties", "message_id", "page_path", "group_by", "products"];

const FORMATS: [(&str, SourceFormat); 4] = [
    ("segment", SourceFormat::Segment),
    ("csv", SourceFormat::Csv),
    ("ndjson", SourceFormat::Ndjson),
    ("parquet", SourceFormat::Parquet),
];

pub(super) fn read_sources(
    tables: Vec<TableReader<'_, '_>>,
    identity: &IdentityConfig,
    problems: &mut Problems<'_>,
) -> Vec<Source> {
    let mut names = HashSet::new();
    let mut sources = Vec::with_capacity(tables.len());
    for table in tables {
        let name = table.required_string("name", "write `name = \"...\"`", problems).unwrap_or_default();
        let called = if name.is_empty() { "[[source]]".to_owned() } else { format!("source `{name}`") };
        let table = table.renamed(called);
        if !name.is_empty() {
            check_word("source name", &name, &table.span_of("name"), problems);
            if !names.insert(name.clone()) {
                problems.add(&table.span_of("name"), format!("source name `{name}` is used twice; rename one of them"));
            }
        }
        sources.extend(read_source(name, &table, identity, problems));
    }
    sources
}

/// `None` when the format is missing or unknown: what else the table needs depends on it.
fn read_source(
    name: String,
    table: &TableReader<'_, '_>,
    identity: &IdentityConfig,
    problems: &mut Problems<'_>,
) -> Option<Source> {
    let all_keys = [&COMMON_KEYS[..], &MAPPING_KEYS, &RECORD_KEYS, &EVENT_KEYS].concat();
    table.check_keys(&all_keys, problems);

    let preset = read_preset(table, identity, problems);
    let parties = [("first", Party::First), ("third", Party::Third)];
    let party = table.choice("party", &parties, problems).unwrap_or(Party::First);
    let of_preset = preset.as_ref().map(|preset| preset.touchpoint.clone());
    let touchpoint = table.string("touchpoint", problems).or(of_preset).unwrap_or_else(|| "other".to_owned());
    check_word("touchpoint", &touchpoint, &table.span_of("touchpoint"), problems);
    if !table.has("format") && !table.has("preset") {
        let message = format!(
            "{} has no `format`; write `format = \"segment\"`, `\"csv\"`, `\"ndjson\"` or `\"parquet\"`",
            table.called()
        );
        problems.add(table.span(), message);
    }
    let kinds = [("events", SourceKind::Events), ("records", SourceKind::Records)];
    let written_kind = table.choice("kind", &kinds, problems);
    let format = match table.choice("format", &FORMATS, problems) {
        None if table.has("format") => return None,
        format => format.or(preset.as_ref().map(|preset| preset.format))?,
    };
    if table.has("kind") && written_kind.is_none() {
        return None;
    }
    let default_kind = if format == SourceFormat::Segment { SourceKind::Events } else { SourceKind::Records };
    let kind = written_kind.or(preset.as_ref().map(|preset| preset.kind)).unwrap_or(default_kind);

    check_keys_fit(format, kind, table, problems);
    if let Some(preset) = &preset {
        check_preset_fits(preset, format, kind, table, problems);
    }
    if format != SourceFormat::Segment && preset.is_none() {
        check_required(kind, table, problems);
    }
    let source = Source {
        name,
        format,
        kind,
        touchpoint,
        party,
        key: table.string("key", problems),
        updated_at: table.string("updated_at", problems),
        deleted: table.string("deleted", problems),
        merged_into: table.string("merged_into", problems),
        keep_links: table.boolean("keep_links", problems).unwrap_or(false),
        event: read_event(table, problems),
        occurred_at: table.string("occurred_at", problems),
        identifiers: read_identifiers(table, identity, problems),
        attributes: read_pairs("attributes", table, problems),
        revenue: table.string("revenue", problems),
        currency: table.string("currency", problems),
        properties: read_properties(table, problems),
        time_zone: read_time_zone(table, problems),
        has_decimal_comma: table
            .choice("decimal_sign", &[(".", false), (",", true)], problems)
            .or(preset.as_ref().map(|preset| preset.has_decimal_comma))
            .unwrap_or(false),
        message_id: table.string("message_id", problems),
        page_path: table.string("page_path", problems),
        group_by: table.string("group_by", problems),
        products: read_pairs("products", table, problems),
        loose_columns: Vec::new(),
    };
    Some(match preset {
        Some(preset) => source.over(preset),
        None => source,
    })
}

/// The source that a table's `preset` stands for.
fn read_preset(table: &TableReader<'_, '_>, identity: &IdentityConfig, problems: &mut Problems<'_>) -> Option<Source> {
    let text = table.choice("preset", &PRESETS, problems)?;
    // A preset has no problems: a test reads them all.
    let mut none = Problems::new("preset", text);
    let root = parse_root(text, &mut none).ok()?;
    let root = TableReader::new(root.get_ref(), 0..0, "");
    let tables = root.tables("source", "[[source]]", "", &mut none)?;
    read_sources(tables, identity, &mut none).pop()
}

impl Source {
    /// This source, with what it does not say taken from a preset.
    fn over(self, preset: Source) -> Self {
        let own_or = |own: Vec<(String, String)>, theirs: Vec<_>| if own.is_empty() { theirs } else { own };
        let loose_columns = preset.columns().map(str::to_owned).collect();
        Self {
            key: self.key.or(preset.key),
            updated_at: self.updated_at.or(preset.updated_at),
            deleted: self.deleted.or(preset.deleted),
            merged_into: self.merged_into.or(preset.merged_into),
            event: self.event.or(preset.event),
            occurred_at: self.occurred_at.or(preset.occurred_at),
            identifiers: own_or(self.identifiers, preset.identifiers),
            attributes: own_or(self.attributes, preset.attributes),
            revenue: self.revenue.or(preset.revenue),
            currency: self.currency.or(preset.currency),
            properties: self.properties.or(preset.properties),
            time_zone: self.time_zone.or(preset.time_zone),
            message_id: self.message_id.or(preset.message_id),
            page_path: self.page_path.or(preset.page_path),
            group_by: self.group_by.or(preset.group_by),
            products: own_or(self.products, preset.products),
            loose_columns,
            ..self
        }
    }

    /// All columns that the mapping names.
    fn columns(&self) -> impl Iterator<Item = &str> {
        let event = match &self.event {
            Some(EventName::Column(column)) => Some(column),
            _ => None,
        };
        let single = [
            self.key.as_ref(),
            self.updated_at.as_ref(),
            self.deleted.as_ref(),
            self.merged_into.as_ref(),
            event,
            self.occurred_at.as_ref(),
            self.revenue.as_ref(),
            self.currency.as_ref(),
            self.message_id.as_ref(),
            self.page_path.as_ref(),
            self.group_by.as_ref(),
        ];
        let pairs = self.identifiers.iter().chain(&self.attributes).chain(&self.products).map(|(_, column)| column);
        single.into_iter().flatten().chain(pairs).chain(self.properties.iter().flatten()).map(String::as_str)
    }
}

/// Notes what a source says of its files that its preset cannot read.
fn check_preset_fits(
    preset: &Source,
    format: SourceFormat,
    kind: SourceKind,
    table: &TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) {
    let cannot_be = |key: &str| format!("{}: its preset cannot read this `{key}`; remove the key", table.called());
    if kind != preset.kind {
        problems.add(&table.span_of("kind"), cannot_be("kind"));
    }
    let is_grouped = preset.group_by.is_some() || table.has("group_by");
    if format == SourceFormat::Segment || is_grouped && format != SourceFormat::Csv {
        problems.add(&table.span_of("format"), cannot_be("format"));
    }
}

/// Notes the keys that are known but have no meaning for this format and kind.
fn check_keys_fit(format: SourceFormat, kind: SourceKind, table: &TableReader<'_, '_>, problems: &mut Problems<'_>) {
    if format == SourceFormat::Segment {
        if kind == SourceKind::Records {
            let message =
                format!("{} has `format = \"segment\"`, which always holds events; remove `kind`", table.called());
            problems.add(&table.span_of("kind"), message);
        }
        for key in MAPPING_KEYS.iter().chain(&RECORD_KEYS).chain(&EVENT_KEYS).filter(|key| table.has(key)) {
            let message =
                format!("`{key}` in {}: a segment source reads this from the payload; remove the key", table.called());
            problems.add(&table.span_of(key), message);
        }
        return;
    }
    let (foreign, advice): (&[&str], &str) = match kind {
        SourceKind::Events => (&RECORD_KEYS, "only records have it; remove the key, or `kind = \"events\"`"),
        SourceKind::Records => (&EVENT_KEYS, "only events have it; add `kind = \"events\"`, or remove the key"),
    };
    for key in foreign.iter().filter(|key| table.has(key)) {
        problems.add(&table.span_of(key), format!("`{key}` in {}: {advice}", table.called()));
    }
    if table.has("group_by") && format != SourceFormat::Csv {
        let message = format!("`group_by` in {}: only rows of CSV are grouped; remove the key", table.called());
        problems.add(&table.span_of("group_by"), message);
    }
    if table.has("products") && !table.has("group_by") && !table.has("preset") {
        let message = format!("`products` in {} has no `group_by`; add it: `group_by = \"order_id\"`", table.called());
        problems.add(&table.span_of("products"), message);
    }
    if kind == SourceKind::Events && table.has("currency") && !table.has("revenue") && !table.has("preset") {
        let message =
            format!("`currency` in {} has no `revenue` to go with; add `revenue`, or remove it", table.called());
        problems.add(&table.span_of("currency"), message);
    }
}

fn check_required(kind: SourceKind, table: &TableReader<'_, '_>, problems: &mut Problems<'_>) {
    let required: &[(&str, &str)] = match kind {
        SourceKind::Events => &[
            ("event", "write `event = \"Order Completed\"`, or `event = { column = \"...\" }`"),
            ("occurred_at", "name the column with the time of the event"),
        ],
        SourceKind::Records => {
            &[("key", "name the column that identifies a record, or write `kind = \"events\"` if a row is an event")]
        }
    };
    let identifiers = ("identifiers", "write `identifiers = { namespace = \"column\" }`");
    for (key, hint) in required.iter().chain([&identifiers]) {
        if !table.has(key) {
            problems.add(table.span(), format!("{} has no `{key}`; {hint}", table.called()));
        }
    }
}

fn read_event(table: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<EventName> {
    let value = table.value("event")?;
    if value.get_ref().is_table() {
        let called = format!("`event` in {}", table.called());
        let event = table.table("event", &called, problems)?;
        event.check_keys(&["column"], problems);
        return event
            .required_string("column", "write `event = { column = \"...\" }`", problems)
            .map(EventName::Column);
    }
    table.string("event", problems).map(EventName::Literal)
}

/// (namespace, column) pairs; a list of columns gives a pair for each.
fn read_identifiers(
    table: &TableReader<'_, '_>,
    identity: &IdentityConfig,
    problems: &mut Problems<'_>,
) -> Vec<(String, String)> {
    let called = format!("`identifiers` in {}", table.called());
    let Some(mapping) = table.table("identifiers", &called, problems) else {
        return Vec::new();
    };
    let mut identifiers = Vec::new();
    for (namespace, span, value) in mapping.entries() {
        check_mapped_namespace(namespace, &span, identity, problems);
        let columns = if value.get_ref().is_array() {
            let columns = mapping.strings(namespace, problems).unwrap_or_default();
            columns.into_iter().map(|(column, _)| column).collect()
        } else {
            Vec::from_iter(string_of(value, &format!("`{namespace}` of {called}"), problems))
        };
        for column in columns {
            let pair = (namespace.to_owned(), column);
            if identifiers.contains(&pair) {
                problems.add(
                    &value.span(),
                    format!("{called} names column `{}` twice for `{namespace}`; keep one", pair.1),
                );
            } else {
                identifiers.push(pair);
            }
        }
    }
    if mapping.entries().is_empty() {
        let message = format!("{called} is empty; a row without an identifier belongs to nobody: name a column");
        problems.add(mapping.span(), message);
    }
    identifiers
}

/// A namespace may be used without being declared (it is then trusted least), but not if it looks like a misspelling
/// of a declared one: the two would never meet, and nobody would notice.
fn check_mapped_namespace(namespace: &str, span: &Span, identity: &IdentityConfig, problems: &mut Problems<'_>) {
    check_namespace_name(namespace, span, problems);
    if identity.namespace(namespace).is_some() {
        return;
    }
    let lower = namespace.to_lowercase();
    // One letter apart at most: `buyer_id` beside `user_id` is a name of its own.
    let similar = |name: &str| strsim::osa_distance(&lower, &name.to_lowercase()) <= 1;
    if let Some(declared) = identity.namespaces.iter().find(|declared| similar(&declared.name)) {
        let message = format!(
            "namespace `{namespace}` is not declared in [identity]; did you mean `{}`? if not, \
             add `{{ name = \"{namespace}\" }}` to `namespaces`",
            declared.name
        );
        problems.add(span, message);
    }
}

/// (name, column) pairs in the order of the file.
fn read_pairs(key: &str, table: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> Vec<(String, String)> {
    let called = format!("`{key}` in {}", table.called());
    let Some(mapping) = table.table(key, &called, problems) else {
        return Vec::new();
    };
    let mut pairs = Vec::new();
    for (name, span, value) in mapping.entries() {
        if name.trim().is_empty() {
            problems.add(&span, format!("{called} has a blank name; name what the column holds"));
        }
        if let Some(column) = string_of(value, &format!("`{name}` of {called}"), problems) {
            pairs.push((name.to_owned(), column));
        }
    }
    pairs
}

fn read_properties(table: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<Vec<String>> {
    let columns = table.strings("properties", problems)?;
    let mut properties: Vec<String> = Vec::with_capacity(columns.len());
    for (column, span) in columns {
        if properties.contains(&column) {
            problems.add(&span, format!("`properties` in {} names `{column}` twice; keep one of them", table.called()));
        } else {
            properties.push(column);
        }
    }
    Some(properties)
}

pub(super) fn read_time_zone(table: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<String> {
    let zone = table.string("time_zone", problems)?;
    if zone.parse::<chrono_tz::Tz>().is_err() {
        let hint = match nearest(&zone, chrono_tz::TZ_VARIANTS.iter().map(|known| known.name())) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "write an IANA name such as `Europe/Paris`".to_owned(),
        };
        let message = format!("`time_zone = \"{zone}\"` in {} is not a known time zone; {hint}", table.called());
        problems.add(&table.span_of("time_zone"), message);
    }
    Some(zone)
}

/// Names that become part of paths, of columns or of SQL without quotes.
pub(super) fn check_word(what: &str, word: &str, span: &Span, problems: &mut Problems<'_>) {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if !word.bytes().all(allowed) {
        let message = format!("{what} `{word}` may hold only lower-case letters, digits, `_` and `-`; rename it");
        problems.add(span, message);
    }
}
