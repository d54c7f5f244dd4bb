//! The worked examples of `docs/SEGMENTS.md`, as they stand there.
//!
//! The block `people` has a line for each person with attributes, and an indented one for each event: time, name, properties.
//! A block `trait` or `segment` is a file, whose first line may say its name, then an empty line, then the value of each
//! person, or the members. A block `list` is a list. All are one project, refreshed once. A block `refused` is a file and the error that it makes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::Array;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Value, json};

use crate::shop::Shop;

const DOCUMENT: &str = "../docs/SEGMENTS.md";
/// Has the lists of the language's functions.
const FUNCTIONS: &str = "src/expression/functions.rs";

const CONFIG: &str = r#"
version = 1
[[source]]
name = "contacts"
format = "csv"
touchpoint = "crm"
key = "name"
updated_at = "known_since"
identifiers = { user_id = "name" }
[[source]]
name = "web"
format = "segment"
touchpoint = "web"
[[source]]
name = "pos"
format = "segment"
touchpoint = "pos"
[[attribute]]
name = "birthday"
normalize = "date"
[[attribute]]
name = "email_opt_out"
normalize = "boolean"
[[attribute]]
name = "interests"
separator = ";"
[[consent]]
purpose = "email"
granted = ["newsletter"]
withdrawn = ["email_opt_out"]
"#;

/// A block of the document that is a file.
struct Example {
    /// `segments/buyers.sql`, or a name that it gets here.
    path: String,
    file: String,
    expected: String,
}

impl Example {
    fn name(&self) -> &str {
        self.path.split(['/', '.']).nth(1).unwrap()
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn blocks(kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    read(DOCUMENT).split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

fn examples(kind: &str) -> Vec<Example> {
    let example = |(number, block): (usize, String)| {
        let (file, expected) = block.split_once("\n\n").unwrap_or_else(|| panic!("no result:\n{block}"));
        let named = file.lines().next().and_then(|line| line.strip_prefix("-- ")).filter(|path| path.ends_with(".sql"));
        let path = named.map_or_else(|| format!("{kind}s/example_{number}.sql"), str::to_owned);
        Example { path, file: file.to_owned(), expected: expected.trim().to_owned() }
    };
    blocks(kind).into_iter().enumerate().map(example).collect()
}

/// `revenue: 40, category: shoes` as names and values.
fn pairs(text: &str) -> Vec<(&str, &str)> {
    let pairs = text.split(", ").filter(|pair| !pair.trim().is_empty());
    pairs.map(|pair| pair.split_once(": ").unwrap_or_else(|| panic!("not a pair: {pair}"))).collect()
}

fn attributes_csv(people: &BTreeMap<&str, BTreeMap<&str, &str>>) -> String {
    let names: BTreeSet<&str> = people.values().flat_map(BTreeMap::keys).copied().collect();
    let mut csv = format!("name,known_since,{}\n", names.iter().copied().collect::<Vec<_>>().join(","));
    for (person, attributes) in people.iter().filter(|(_, attributes)| !attributes.is_empty()) {
        let cells: Vec<&str> = names.iter().map(|name| attributes.get(name).copied().unwrap_or_default()).collect();
        csv.push_str(&format!("{person},2026-01-01,{}\n", cells.join(",")));
    }
    csv
}

/// The source of an event, and the call that it is there.
fn call(person: &str, line: &str) -> (&'static str, String) {
    let mut parts = line.split("  ").map(str::trim).filter(|part| !part.is_empty());
    let (at, event) = (parts.next().unwrap().replace(' ', "T"), parts.next().unwrap());
    let (mut properties, mut campaign, mut source) = (json!({}), json!({}), "web");
    for (name, value) in pairs(parts.next().unwrap_or_default()) {
        let json = value.parse::<f64>().map_or_else(|_| Value::from(value), Value::from);
        match (name, name.split_once('.')) {
            ("touchpoint", _) => source = if value == "pos" { "pos" } else { panic!("no source is {value}") },
            ("utm_source", _) => campaign["source"] = json,
            (_, Some((outer, inner))) => properties[outer][inner] = json,
            _ => properties[name] = json,
        }
    }
    let kind = if event == "Page Viewed" { "page" } else { "track" };
    let call = json!({
        "type": kind, "event": event, "messageId": format!("{person} {at}"), "userId": person,
        "timestamp": format!("{at}:00Z"), "properties": properties, "context": { "campaign": campaign },
    });
    (source, call.to_string())
}

async fn shop() -> Shop {
    let shop = Shop::new(CONFIG);
    let lines = blocks("people").concat();
    let mut people: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut calls: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut person = "";
    for line in lines.lines() {
        if line.starts_with(' ') {
            let (source, call) = call(person, line);
            calls.entry(source).or_default().push(call);
        } else {
            let attributes;
            (person, attributes) = line.split_once(' ').unwrap_or((line, ""));
            people.insert(person, pairs(attributes.trim()).into_iter().collect());
        }
    }
    assert_eq!(people.len(), 5, "the people were not found");
    shop.land("contacts", &attributes_csv(&people)).await;
    for (source, calls) in calls {
        shop.land(source, &calls.join("\n")).await;
    }
    shop
}

/// For each column of `profile.profiles`, `ada: 3, ben: 2` and so on. Decimals have no zeros at their end.
async fn values(shop: &Shop) -> BTreeMap<String, String> {
    let query = "select identities.value as person, profiles.* from profile.profiles profiles
        join identity.identities identities on identities.profile_id = profiles.profile_id order by identities.value";
    let options = FormatOptions::default().with_null("null");
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for batch in shop.engine.collect(query, &[], None).await.unwrap() {
        let schema = batch.schema();
        let people = ArrayFormatter::try_new(batch.column(0).as_ref(), &options).unwrap();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            let text = ArrayFormatter::try_new(column.as_ref(), &options).unwrap();
            let is_decimal = matches!(field.data_type(), DataType::Decimal128(..));
            values.entry(field.name().clone()).or_default().extend((0..column.len()).map(|row| {
                let text = text.value(row).to_string();
                let plain = if is_decimal && text.contains('.') {
                    text.trim_end_matches('0').trim_end_matches('.')
                } else {
                    &text
                };
                format!("{}: {plain}", people.value(row))
            }));
        }
    }
    values.into_iter().map(|(name, values)| (name, values.join(", "))).collect()
}

async fn members(shop: &Shop) -> BTreeMap<String, Vec<String>> {
    let query = "select memberships.segment || ' ' || identities.value from segment.memberships
        join identity.identities on identities.profile_id = memberships.profile_id";
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in shop.rows(query).await {
        let (segment, person) = row.split_once(' ').unwrap();
        members.entry(segment.to_owned()).or_default().push(person.to_owned());
    }
    members
}

/// The people whom a query gives.
async fn named(shop: &Shop, sql: &str) -> String {
    let query = format!(
        "select identities.value from ({sql}) members
         join identity.identities identities on identities.profile_id = members.profile_id"
    );
    shop.rows(&query).await.join(", ")
}

/// Of examples that must be refused with their errors, those that are not. Not all are read at once: segments after traits.
async fn not_refused(shop: &Shop, mut examples: Vec<Example>) -> Vec<String> {
    for example in &examples {
        shop.write(&example.path, &example.file);
    }
    while !examples.is_empty() {
        let error = shop.engine.check().await.map_or_else(|error| error.to_string(), |_| "nothing".to_owned());
        let is_refused = |example: &Example| error.lines().any(|line| line == example.expected);
        let (refused, others): (Vec<_>, Vec<_>) = examples.into_iter().partition(is_refused);
        if refused.is_empty() {
            let with = |example: &Example| format!("{}\n{}\nis refused with: {error}", example.path, example.file);
            return others.iter().map(with).collect();
        }
        for example in &refused {
            std::fs::remove_file(shop.folder.path().join(&example.path)).unwrap();
        }
        examples = others;
    }
    Vec::new()
}

#[tokio::test(flavor = "multi_thread")]
async fn test_worked_examples_of_the_document() {
    let (traits, segments, refused) = (examples("trait"), examples("segment"), examples("refused"));
    assert!(traits.len() + segments.len() >= 25 && refused.len() >= 5, "the examples were not found");
    let shop = shop().await;
    let mut paths = BTreeSet::new();
    for example in traits.iter().chain(&segments) {
        assert!(paths.insert(&example.path), "{} is there twice", example.path);
        shop.write(&example.path, &example.file);
    }
    for list in blocks("list") {
        let (path, list) = list.split_once('\n').unwrap();
        shop.write(path.trim_start_matches("-- "), list);
    }
    shop.refresh(false).await;
    let (values, members) = (values(&shop).await, members(&shop).await);
    let mut wrong = Vec::new();
    for example in &traits {
        let found = values.get(example.name()).cloned().unwrap_or_default();
        if found != example.expected {
            wrong.push(format!("{}\n{}\nis {found}", example.path, example.file));
        }
    }
    for example in &segments {
        // Its query says the same.
        let by_sql = named(&shop, &shop.segment_sql(&example.file).await).await;
        if by_sql != example.expected && !(by_sql.is_empty() && example.expected == "nobody") {
            wrong.push(format!("{}\n{}\nis in SQL {by_sql}", example.path, example.file));
        }
        let found = members.get(example.name()).map_or_else(|| "nobody".to_owned(), |members| members.join(", "));
        if found != example.expected {
            wrong.push(format!("{}\n{}\nis {found}", example.path, example.file));
        }
    }
    wrong.extend(not_refused(&shop, refused).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn test_every_function_has_an_example() {
    let source = read(FUNCTIONS);
    let lists = source.split_once("const MEASURES").unwrap().1.split_once("enum Family").unwrap().0;
    let more = ["did_sequence", "event", "property"];
    let functions: Vec<&str> = lists.split('"').skip(1).step_by(2).chain(more).collect();
    assert!(functions.len() > 40, "the functions were not found");
    let files: String =
        examples("trait").iter().chain(&examples("segment")).map(|example| example.file.as_str()).collect();
    for function in functions {
        let is_there = files.contains(&format!("{function}("));
        assert!(is_there || (function == "current_date" && files.contains(function)), "`{function}` has no example");
    }
}
