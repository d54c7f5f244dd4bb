//! Functions of identity in SQL.
//!
//! An *identifier set* is what one event or record says of one person: its normalised identifiers as one text,
//! `namespace:value` joined by the unit separator (U+001F), the most trusted first. As one text it is cheap to store, to
//! group by and to compare; these functions take it apart.
//!
//! | function | gives |
//! |---|---|
//! | `resolve_identifiers(list)` | the identifier set of the identifiers as they arrived; null if none is usable, or if there are more of a namespace than one person has |
//! | `refusal(list)` | why `resolve_identifiers` gives null, a reason of `landing.quarantine`; else null |
//! | `first_identifier(set)` | the set's most trusted identifier, `namespace:value` |
//! | `identifiers_of(set)` | all of them, as a list |
//! | `identifier_edges(set)` | edges `(a, b)` that connect the set: the first with each; a lone one with itself |
//! | `identifier_pairs(set)` | every pair `(a, b)` of the set, the more trusted first |
//! | `identifier_namespace(identifier)`, `identifier_value(identifier)` | its two halves |
//! | `namespace_rank(identifier)` | the rank of its namespace: the smaller, the more trusted |
//! | `namespace_limit(identifier)` | how many values of its namespace a person has at most, null for any number |
//! | `profile_id(identifier)` | the id of the profile whose anchor it is |

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Builder, ListArray, ListBuilder, StringViewBuilder, StructBuilder};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::sets::{Ranked, SEPARATOR, SetRules};
use crate::config::{IdentityConfig, Namespace};
use crate::ids;
use crate::project::Refusal;
use crate::query::functions::{of_column, of_column_once, of_text, text};
use crate::query::session::Functions;

/// The functions of the module's table, with the rules of `config`.
pub(crate) fn functions(config: &IdentityConfig) -> crate::error::Result<Functions> {
    let rules = Arc::new(SetRules::new(config)?);
    let (for_sets, for_refusals) = (Arc::clone(&rules), Arc::clone(&rules));
    let (for_ranks, for_limits) = (Arc::clone(&rules), rules);
    Ok(vec![
        of_column_once("resolve_identifiers", DataType::Utf8View, move |column| resolve(&for_sets, column)),
        of_column_once("refusal", DataType::Utf8View, move |column| refusals(&for_refusals, column)),
        of_part("first_identifier", first),
        of_part("identifier_namespace", namespace),
        of_part("identifier_value", |identifier| identifier.split_once(':').map_or("", |(_, value)| value)),
        of_column("identifiers_of", text_list(), identifiers_of),
        of_column("identifier_edges", pair_list(), |column| pairs(column, edges)),
        of_column("identifier_pairs", pair_list(), |column| pairs(column, all_pairs)),
        of_column("namespace_rank", DataType::Int32, move |column| ranks(&for_ranks, column)),
        of_column("namespace_limit", DataType::Int32, move |column| limits(&for_limits, column)),
        of_text("profile_id", ids::profile_id),
    ])
}

fn resolve(rules: &SetRules, column: &ArrayRef) -> Result<ArrayRef> {
    let mut sets = StringViewBuilder::with_capacity(column.len());
    let mut set = String::new();
    collected(rules, column, |found| {
        let Ok(found) = found else { return sets.append_null() };
        set.clear();
        for (_, namespace, value) in found {
            if !set.is_empty() {
                set.push(SEPARATOR);
            }
            set.push_str(namespace);
            set.push(':');
            set.push_str(value);
        }
        sets.append_value(&set);
    })?;
    Ok(Arc::new(sets.finish()))
}

fn refusals(rules: &SetRules, column: &ArrayRef) -> Result<ArrayRef> {
    let mut reasons = StringViewBuilder::with_capacity(column.len());
    collected(rules, column, |found| reasons.append_option(found.err().map(|refusal| refusal.code())))?;
    Ok(Arc::new(reasons.finish()))
}

/// Tells `each` of the usable identifiers of each list, or why they are no set.
fn collected(
    rules: &SetRules,
    column: &ArrayRef,
    mut each: impl FnMut(std::result::Result<&[Ranked<'_>], Refusal>),
) -> Result<()> {
    let wrong =
        || DataFusionError::Plan(format!("identifiers are lists of namespace and value, not {}", column.data_type()));
    let lists: &ListArray = column.as_list_opt().ok_or_else(wrong)?;
    let elements = lists.values().as_struct_opt().ok_or_else(wrong)?;
    let (namespaces, values) = (text(elements.column(0))?, text(elements.column(1))?);
    let mut found = Vec::new();
    for row in 0..lists.len() {
        let (start, end) = (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
        let elements = if lists.is_valid(row) { start..end } else { 0..0 };
        let pairs = elements.map(|element| (namespaces.value(element), values.value(element)));
        let collected = rules.collect(pairs, &mut found);
        each(collected.map(|_| found.as_slice()));
    }
    Ok(())
}

fn first(set: &str) -> &str {
    set.split(SEPARATOR).next().unwrap_or(set)
}

fn edges<'a>(identifiers: &[&'a str], add: &mut dyn FnMut(&'a str, &'a str)) {
    match identifiers {
        [lone] => add(lone, lone),
        [first, others @ ..] => others.iter().for_each(|other| add(first, other)),
        [] => {}
    }
}

fn all_pairs<'a>(identifiers: &[&'a str], add: &mut dyn FnMut(&'a str, &'a str)) {
    for (place, a) in identifiers.iter().enumerate() {
        identifiers[place + 1..].iter().for_each(|b| add(a, b));
    }
}

fn identifiers_of(column: &ArrayRef) -> Result<ArrayRef> {
    let sets = text(column)?;
    let mut lists = ListBuilder::new(StringViewBuilder::new()).with_field(element(DataType::Utf8View));
    for set in sets.iter() {
        if let Some(set) = set {
            set.split(SEPARATOR).for_each(|identifier| lists.values().append_value(identifier));
        }
        lists.append(set.is_some());
    }
    Ok(Arc::new(lists.finish()))
}

fn pairs<F>(column: &ArrayRef, pairing: F) -> Result<ArrayRef>
where
    F: for<'a, 'b> Fn(&'b [&'a str], &'b mut dyn FnMut(&'a str, &'a str)),
{
    let sets = text(column)?;
    let builder =
        StructBuilder::new(pair_fields(), vec![Box::new(StringViewBuilder::new()), Box::new(StringViewBuilder::new())]);
    let mut lists = ListBuilder::new(builder).with_field(element(DataType::Struct(pair_fields())));
    let mut identifiers: Vec<&str> = Vec::new();
    for set in sets.iter() {
        if let Some(set) = set {
            identifiers.clear();
            identifiers.extend(set.split(SEPARATOR));
            let pair = lists.values();
            pairing(&identifiers, &mut |a, b| {
                for (side, text) in [a, b].into_iter().enumerate() {
                    if let Some(builder) = pair.field_builder::<StringViewBuilder>(side) {
                        builder.append_value(text);
                    }
                }
                pair.append(true);
            });
        }
        lists.append(set.is_some());
    }
    Ok(Arc::new(lists.finish()))
}

fn ranks(rules: &SetRules, column: &ArrayRef) -> Result<ArrayRef> {
    let mut ranks = Int32Builder::with_capacity(column.len());
    for identifier in text(column)?.iter() {
        let rank = identifier.map(|identifier| rules.config().priority_of(namespace(identifier)));
        ranks.append_option(rank.map(|rank| i32::try_from(rank).unwrap_or(i32::MAX)));
    }
    Ok(Arc::new(ranks.finish()))
}

fn limits(rules: &SetRules, column: &ArrayRef) -> Result<ArrayRef> {
    let mut limits = Int32Builder::with_capacity(column.len());
    for identifier in text(column)?.iter() {
        let declared = identifier.and_then(|identifier| rules.config().namespace(namespace(identifier)));
        let limit = declared.and_then(Namespace::values_max);
        limits.append_option(limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)));
    }
    Ok(Arc::new(limits.finish()))
}

/// The namespace of an identifier `namespace:value`.
pub(super) fn namespace(identifier: &str) -> &str {
    identifier.split_once(':').map_or(identifier, |(namespace, _)| namespace)
}

/// A function that gives a part of a text.
fn of_part(name: &'static str, part: fn(&str) -> &str) -> Arc<ScalarUDF> {
    of_column(name, DataType::Utf8View, move |column| {
        let mut parts = StringViewBuilder::with_capacity(column.len());
        for value in text(column)?.iter() {
            parts.append_option(value.map(part));
        }
        Ok(Arc::new(parts.finish()) as ArrayRef)
    })
}

fn element(data_type: DataType) -> Field {
    Field::new("element", data_type, true)
}

fn text_list() -> DataType {
    DataType::List(Arc::new(element(DataType::Utf8View)))
}

fn pair_fields() -> Fields {
    Fields::from(vec![Field::new("a", DataType::Utf8View, false), Field::new("b", DataType::Utf8View, false)])
}

fn pair_list() -> DataType {
    DataType::List(Arc::new(element(DataType::Struct(pair_fields()))))
}
