//! The order in which segments and traits are computed: those that others refer to come first.

use std::collections::{BTreeMap, BTreeSet};

use super::{SegmentDefinition, segments_used};
use crate::config::nearest::suggestion;
use crate::error::{EngineError, Result};

/// Returns the definitions in an order in which every segment follows those that it refers to; ties go by name, so that
/// the order depends on nothing else.
///
/// # Errors
///
/// `InvalidInput` when two segments share a name, when one refers to a segment that does not exist (the message has the
/// nearest name), or when references form a cycle (the message names it whole).
pub(crate) fn order(definitions: Vec<SegmentDefinition>) -> Result<Vec<SegmentDefinition>> {
    let mut names = BTreeSet::new();
    for definition in &definitions {
        if !names.insert(definition.name.as_str()) {
            let name = &definition.name;
            let message = format!("{}: segment `{name}` is defined twice; rename one of them", definition.file);
            return Err(EngineError::invalid(message));
        }
    }
    let needs = references(&definitions, &names)?;
    let Ranks { ranks, circle } = ranks(&needs);
    if let Some(first) = circle.first() {
        let file = definitions.iter().find(|definition| definition.name == *first).map_or("", |it| it.file.as_str());
        return Err(EngineError::invalid(circle_message("segments", file, &circle)));
    }
    let ranks: BTreeMap<String, usize> = ranks.into_iter().map(|(name, rank)| (name.to_owned(), rank)).collect();
    let mut ordered = definitions;
    ordered.sort_by_key(|definition| ranks.get(&definition.name).copied());
    Ok(ordered)
}

/// Returns `names` and all segments that they need, directly or through others. The definitions are ordered.
pub(crate) fn needed<'n>(ordered: &[SegmentDefinition], names: impl IntoIterator<Item = &'n str>) -> BTreeSet<String> {
    let mut needed: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
    // From the back: whoever needs a segment comes after it.
    for definition in ordered.iter().rev() {
        if needed.contains(&definition.name) {
            needed.extend(segments_used(&definition.expression));
        }
    }
    needed
}

/// For each segment, the segments that it refers to.
fn references<'d>(
    definitions: &'d [SegmentDefinition],
    names: &BTreeSet<&'d str>,
) -> Result<BTreeMap<&'d str, BTreeSet<&'d str>>> {
    let mut references = BTreeMap::new();
    for definition in definitions {
        let mut needed = BTreeSet::new();
        for used in segments_used(&definition.expression) {
            let Some(name) = names.get(used.as_str()) else {
                let hint = suggestion(&used, names.iter().copied().filter(|name| *name != definition.name));
                let file = &definition.file;
                let message = format!("{file}: `in_segment('{used}')`: there is no segment `{used}`; {hint}");
                return Err(EngineError::invalid(message));
            };
            needed.insert(*name);
        }
        references.insert(definition.name.as_str(), needed);
    }
    Ok(references)
}

/// The places of names in an order in which each follows those that it needs.
pub(super) struct Ranks<'n> {
    /// Each name's place. Names that wait for themselves, or for such, have none.
    pub(super) ranks: BTreeMap<&'n str, usize>,
    /// One circle of names of which each needs the next, and the last the first; empty if there is none.
    pub(super) circle: Vec<&'n str>,
}

/// Ranks names by what they need; ties go by name. Every name that is needed has an entry.
pub(super) fn ranks<'n>(needs: &BTreeMap<&'n str, BTreeSet<&'n str>>) -> Ranks<'n> {
    let mut waiting = needs.clone();
    let mut ranks: BTreeMap<&str, usize> = BTreeMap::new();
    while !waiting.is_empty() {
        let is_ready = |needed: &BTreeSet<&str>| needed.iter().all(|name| ranks.contains_key(name));
        let ready: Vec<&str> = waiting.iter().filter(|(_, needed)| is_ready(needed)).map(|(name, _)| *name).collect();
        if ready.is_empty() {
            break;
        }
        for name in ready {
            waiting.remove(name);
            ranks.insert(name, ranks.len());
        }
    }
    let circle = circle(&waiting);
    Ranks { ranks, circle }
}

/// Names one circle among names of which each waits for another. Following them from any must come back to a name
/// already passed.
fn circle<'n>(waiting: &BTreeMap<&'n str, BTreeSet<&'n str>>) -> Vec<&'n str> {
    let mut passed: Vec<&str> = Vec::new();
    let mut next = waiting.keys().next().copied();
    while let Some(name) = next {
        if let Some(start) = passed.iter().position(|earlier| *earlier == name) {
            passed.drain(..start);
            break;
        }
        passed.push(name);
        let needed = waiting.get(name).into_iter().flatten();
        next = needed.copied().find(|needed| waiting.contains_key(needed));
    }
    passed
}

/// Says which segments or traits (`what`) refer to each other.
pub(super) fn circle_message(what: &str, file: &str, circle: &[&str]) -> String {
    let path: Vec<String> = circle.iter().chain(circle.first()).map(|name| format!("`{name}`")).collect();
    format!("{file}: {what} refer to each other in a circle: {}; remove one reference", path.join(" -> "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::ColumnType;
    use crate::expression::parse::parse_segment;

    fn define(name: &str, text: &str) -> SegmentDefinition {
        let columns = [("vip".to_owned(), ColumnType::Boolean)];
        parse_segment(&crate::expression::testing::source(name, format!("segments/{name}.sql"), text), &columns)
            .expect("valid")
    }

    #[test]
    fn puts_segments_after_those_they_refer_to() {
        let definitions = [
            define("a", "in_segment('c') and not in_segment('b')"),
            define("b", "in_segment('c')"),
            define("d", "vip"),
            define("c", "vip"),
        ];
        let ordered = order(definitions.into()).expect("ordered");
        let names: Vec<&str> = ordered.iter().map(|definition| definition.name.as_str()).collect();
        assert_eq!(names, ["c", "d", "b", "a"]);
        assert_eq!(order(Vec::new()).expect("empty"), []);
    }

    #[test]
    fn names_the_cycle() {
        let definitions = [
            define("a", "in_segment('b')"),
            define("b", "in_segment('c')"),
            define("c", "vip and in_segment('b')"),
            define("d", "vip"),
        ];
        let message = order(definitions.into()).expect_err("cycle").to_string();
        let expected =
            "segments/b.sql: segments refer to each other in a circle: `b` -> `c` -> `b`; remove one reference";
        assert_eq!(message, expected);
    }

    #[test]
    fn refuses_unknown_and_repeated_segments() {
        let definitions = [define("a", "in_segment('employes')"), define("employees", "vip")];
        let message = order(definitions.into()).expect_err("unknown").to_string();
        assert!(message.starts_with("segments/a.sql: ") && message.ends_with("did you mean `employees`?"), "{message}");
        let message = order(vec![define("a", "vip"), define("a", "vip")]).expect_err("twice").to_string();
        assert!(message.contains("`a` is defined twice"), "{message}");
    }
}
