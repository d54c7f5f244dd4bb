//! Which of the values that sources tell of an attribute stands.
//!
//! | function | gives |
//! |---|---|
//! | `attribute_rule(name)` | the rule of the attribute: `latest`, `first`, `source_order`, `most_frequent`, `longest`, `all` |
//! | `attribute_keeps_each(name)` | true if each value that a source tells counts, not its latest only: by the rule, or as consent |
//! | `attribute_rank(name, source, party)` | how much the source is trusted with it, 0 the most: only values of the least rank can stand |
//! | `attribute_type(name)` | the type of its column: `text`, `texts`, `date`, `boolean` |
//! | `attribute_entries(name, text)` | the values of which `normalize_attribute` made a text; one, if the attribute is no list |
//! | `normalize_attribute(name, text)` | the value, or the several in it, in the form of the attribute; null for a value that says nothing |
//! | `snake_case(text)` | the name of an attribute |
//! | `consent_status(text, yes_grants)` | what an answer makes of consent: `granted`, `withdrawn` or `unclear`; null for one that says nothing |

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListBuilder, StringViewArray, StringViewBuilder,
};
use arrow::datatypes::DataType;
use datafusion::error::Result;

use super::columns::snake_case;
use super::normalize::{consent_status, normalized};
use crate::config::{Attribute, AttributeForm, Consent, SurvivorRule};
use crate::query::functions::{of_column, of_columns, of_columns_once, of_text, text};
use crate::query::session::Functions;

/// What is said of attributes, by name.
struct Survivors(HashMap<String, Attribute>);

/// The functions of the module's table, with the rules of `attributes`; some attributes tell `consents`.
pub(crate) fn functions(attributes: &[Attribute], consents: &[Consent]) -> Functions {
    let known = attributes.iter().map(|attribute| (attribute.name.clone(), attribute.clone()));
    let survivors = Arc::new(Survivors(known.collect()));
    let tell_consent = consents.iter().flat_map(|consent| consent.granted.iter().chain(&consent.withdrawn));
    let tell_consent: HashSet<String> = tell_consent.cloned().collect();
    let [for_rules, for_keeping, for_types, for_entries, for_ranks] = std::array::from_fn(|_| Arc::clone(&survivors));
    vec![
        of_text("snake_case", snake_case),
        of_columns("consent_status", DataType::Utf8View, |[told, yes_grants]| {
            let (told, yes_grants) = (text(told)?, yes_grants.as_boolean());
            let answers = told.iter().zip(yes_grants).map(|(told, yes_grants)| consent_status(told?, yes_grants?));
            Ok(Arc::new(answers.collect::<StringViewArray>()) as ArrayRef)
        }),
        of_text("attribute_rule", move |name| for_rules.rule(name).to_owned()),
        of_column("attribute_keeps_each", DataType::Boolean, move |names| {
            let keeps_each = |name: &str| for_keeping.keeps_each(name) || tell_consent.contains(name);
            let keeps_each = text(names)?.iter().map(|name| name.map(keeps_each)).collect::<BooleanArray>();
            Ok(Arc::new(keeps_each) as ArrayRef)
        }),
        of_text("attribute_type", move |name| for_types.column_type(name).to_owned()),
        of_columns("attribute_entries", DataType::new_list(DataType::Utf8View, true), move |[names, values]| {
            for_entries.entries(&text(names)?, &text(values)?)
        }),
        of_columns("attribute_rank", DataType::Int32, move |[names, sources, parties]| {
            let (names, sources, parties) = (text(names)?, text(sources)?, text(parties)?);
            let ranks = names.iter().zip(&sources).zip(&parties);
            let ranks = ranks.map(|((name, source), party)| Some(for_ranks.rank(name?, source?, party?)));
            Ok(Arc::new(ranks.collect::<Int32Array>()) as ArrayRef)
        }),
        of_columns_once("normalize_attribute", DataType::Utf8View, move |[names, values]| {
            survivors.normalize(&text(names)?, text(values)?)
        }),
    ]
}

impl Survivors {
    fn rule(&self, name: &str) -> &'static str {
        match self.0.get(name).map_or(SurvivorRule::Latest, |attribute| attribute.rule) {
            SurvivorRule::Latest => "latest",
            SurvivorRule::First => "first",
            SurvivorRule::SourceOrder => "source_order",
            SurvivorRule::MostFrequent => "most_frequent",
            SurvivorRule::Longest => "longest",
            SurvivorRule::All => "all",
        }
    }

    fn keeps_each(&self, name: &str) -> bool {
        let rule = self.0.get(name).map_or(SurvivorRule::Latest, |attribute| attribute.rule);
        !matches!(rule, SurvivorRule::Latest | SurvivorRule::SourceOrder)
    }

    fn column_type(&self, name: &str) -> &'static str {
        let Some(attribute) = self.0.get(name) else { return "text" };
        match attribute.form {
            _ if attribute.rule == SurvivorRule::All || attribute.separator.is_some() => "texts",
            AttributeForm::Date(_) => "date",
            AttributeForm::Boolean => "boolean",
            _ => "text",
        }
    }

    /// A source that the order names stands before the others; of these, third parties come last unless they are trusted.
    fn rank(&self, name: &str, source: &str, party: &str) -> i32 {
        let Some(attribute) = self.0.get(name) else { return i32::from(party == "third") };
        let place = attribute.sources.iter().position(|known| known == source);
        let place = place
            .unwrap_or_else(|| attribute.sources.len() + usize::from(party == "third" && !attribute.trust_third_party));
        // A project has not that many sources.
        i32::try_from(place).unwrap_or(i32::MAX)
    }

    fn entries(&self, names: &StringViewArray, values: &StringViewArray) -> Result<ArrayRef> {
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for (name, value) in names.iter().zip(values) {
            let Some(value) = value else {
                lists.append_null();
                continue;
            };
            let between = name.and_then(|name| self.0.get(name)).and_then(between);
            match between.map(|between| parts(value, between)) {
                Some(parts) => parts.iter().for_each(|part| lists.values().append_value(part)),
                None => lists.values().append_value(value),
            }
            lists.append(true);
        }
        Ok(Arc::new(lists.finish()))
    }

    fn normalize(&self, names: &StringViewArray, values: StringViewArray) -> Result<ArrayRef> {
        let is_as_told = |attribute: &Attribute| attribute.form == AttributeForm::Text && between(attribute).is_none();
        if self.0.values().all(is_as_told) {
            return Ok(Arc::new(values));
        }
        let mut forms = StringViewBuilder::with_capacity(values.len());
        // Few different values are told by many people.
        let mut known: HashMap<(&str, &str), Option<String>> = HashMap::new();
        for (name, value) in names.iter().zip(&values) {
            match (value, name.and_then(|name| self.0.get(name))) {
                (Some(value), Some(attribute)) => {
                    let of_value = || normalized_parts(attribute, value);
                    let of_value = known.entry((&attribute.name, value)).or_insert_with(of_value);
                    forms.append_option(of_value.as_deref());
                }
                (value, _) => forms.append_option(value),
            }
        }
        Ok(Arc::new(forms.finish()))
    }
}

/// Between the values of an attribute that is a list: its separator, or with the rule `all` the unit separator. None for an
/// attribute of one value.
fn between(attribute: &Attribute) -> Option<char> {
    attribute.separator.or((attribute.rule == SurvivorRule::All).then_some('\u{1f}'))
}

/// The value in the attribute's form, or each of the several that it is, sorted and once, without those that say nothing.
fn normalized_parts(attribute: &Attribute, value: &str) -> Option<String> {
    let of_part = |part: &str| match attribute.form {
        AttributeForm::Text => (!part.trim().is_empty()).then(|| part.trim().to_owned()),
        form => normalized(form, part),
    };
    match between(attribute) {
        None if attribute.form == AttributeForm::Text => Some(value.to_owned()),
        None => of_part(value),
        Some(between) => {
            let parts: BTreeSet<String> = parts(value, between).iter().filter_map(|part| of_part(part)).collect();
            (!parts.is_empty()).then(|| one_text(parts, between))
        }
    }
}

/// The values in a text, as somebody told it or as [`one_text`] made it.
fn parts(value: &str, between: char) -> Vec<String> {
    entries(value).unwrap_or_else(|| value.split(between).map(str::to_owned).collect())
}

/// Several values as a text that [`parts`] takes apart: a list of JSON if one of them would be taken for several.
fn one_text(parts: BTreeSet<String>, between: char) -> String {
    let text = parts.iter().map(String::as_str).collect::<Vec<_>>().join(&between.to_string());
    let is_clear = !parts.iter().any(|part| part.contains(between)) && entries(&text).is_none();
    if is_clear { text } else { serde_json::Value::from_iter(parts).to_string() }
}

/// The entries of a list in JSON, as traits of SDKs have them; None for any other text.
fn entries(value: &str) -> Option<Vec<String>> {
    if !value.starts_with('[') {
        return None;
    }
    let entries: Vec<serde_json::Value> = serde_json::from_str(value).ok()?;
    let text = |entry: serde_json::Value| match entry {
        serde_json::Value::String(text) => text,
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    };
    Some(entries.into_iter().map(text).collect())
}
