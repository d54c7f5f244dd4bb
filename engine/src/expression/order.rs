//! The order in which segments and traits are computed: those that others refer to come first.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::sql_parser::tokenizer::Location;
use super::references::Named;
use super::syntax::refused;
use super::{SegmentDefinition, segments_used};

/// Returns the definitions in an order in which every segment follows those that it refers to; ties go by name, so that
/// the order depends on nothing else. Segments that are not among them are passed over. Adds to `mistakes` a line for each
/// segment that has the name of another one, and for each circle of references.
pub(super) fn order(mut definitions: Vec<SegmentDefinition>, mistakes: &mut Vec<String>) -> Vec<SegmentDefinition> {
    let mut by_name: BTreeMap<&str, &SegmentDefinition> = BTreeMap::new();
    for definition in &definitions {
        let SegmentDefinition { name, file, .. } = definition;
        if by_name.insert(name, definition).is_some() {
            mistakes.push(format!("{file}: segment `{name}` is defined twice; rename one of them"));
        }
    }
    let Ranks { ranks, circles } = ranks(&references(&by_name));
    for circle in &circles {
        if let Some((file, at)) = place(&by_name, circle) {
            mistakes.push(circle_message("segments", file, at, circle));
        }
    }
    let ranks: BTreeMap<String, usize> = ranks.into_iter().map(|(name, rank)| (name.to_owned(), rank)).collect();
    definitions.sort_by_key(|definition| ranks.get(&definition.name).copied());
    definitions
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
fn references<'d>(by_name: &BTreeMap<&'d str, &'d SegmentDefinition>) -> BTreeMap<&'d str, BTreeSet<&'d str>> {
    let of = |definition: &'d SegmentDefinition| {
        let segments = definition.references.iter().filter(|reference| reference.to == Named::Segment);
        segments.map(|reference| reference.name.as_str()).filter(|name| by_name.contains_key(name)).collect()
    };
    by_name.iter().map(|(name, definition)| (*name, of(definition))).collect()
}

/// Where the first segment of a circle refers to the next one.
fn place<'d>(by_name: &BTreeMap<&str, &'d SegmentDefinition>, circle: &[&str]) -> Option<(&'d str, Location)> {
    let definition = by_name.get(circle.first()?)?;
    let next = next_in(circle)?;
    let reference = definition.references.iter().find(|it| it.to == Named::Segment && it.name == next)?;
    Some((&definition.file, reference.at))
}

/// The places of names in an order in which each follows those that it needs.
pub(super) struct Ranks<'n> {
    /// Each name's place. Names that wait for themselves, or for such, have none.
    pub(super) ranks: BTreeMap<&'n str, usize>,
    /// Circles of names of which each needs the next, and the last the first. Each name is in one at most: those that share a
    /// name with one of them show once that is mended.
    pub(super) circles: Vec<Vec<&'n str>>,
}

/// Ranks names by what they need; ties go by name. Every name that is needed has an entry.
pub(super) fn ranks<'n>(needs: &BTreeMap<&'n str, BTreeSet<&'n str>>) -> Ranks<'n> {
    let mut waiting = needs.clone();
    let ranks = settled(&mut waiting).into_iter().zip(0..).collect();
    let mut circles = Vec::new();
    while !waiting.is_empty() {
        let circle = circle(&waiting);
        waiting.retain(|name, _| !circle.contains(name));
        circles.push(circle);
        // Who waited for that circle alone is in none.
        settled(&mut waiting);
    }
    Ranks { ranks, circles }
}

/// Takes out the names that wait for none of the others, until there is none such, and returns them in that order.
fn settled<'n>(waiting: &mut BTreeMap<&'n str, BTreeSet<&'n str>>) -> Vec<&'n str> {
    let mut settled = Vec::new();
    loop {
        let is_ready = |needed: &BTreeSet<&str>| needed.iter().all(|name| !waiting.contains_key(name));
        let ready: Vec<&str> = waiting.iter().filter(|(_, needed)| is_ready(needed)).map(|(name, _)| *name).collect();
        if ready.is_empty() {
            return settled;
        }
        for name in &ready {
            waiting.remove(name);
        }
        settled.extend(ready);
    }
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

/// The name that the first one of a circle needs.
pub(super) fn next_in<'n>(circle: &[&'n str]) -> Option<&'n str> {
    circle.get(1).or(circle.first()).copied()
}

/// Says which segments or traits (`what`) refer to each other, at the place where the first refers to the next.
pub(super) fn circle_message(what: &str, file: &str, at: Location, circle: &[&str]) -> String {
    let path: Vec<String> = circle.iter().chain(circle.first()).map(|name| format!("`{name}`")).collect();
    let message = format!("{what} refer to each other in a circle: {}; remove one reference", path.join(" -> "));
    refused(file, at, message).to_string()
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

    /// The names in their order, and what is wrong.
    fn ordered(definitions: impl Into<Vec<SegmentDefinition>>) -> (Vec<String>, Vec<String>) {
        let mut mistakes = Vec::new();
        let ordered = order(definitions.into(), &mut mistakes);
        (ordered.into_iter().map(|definition| definition.name).collect(), mistakes)
    }

    #[test]
    fn puts_segments_after_those_they_refer_to() {
        let definitions = [
            define("a", "in_segment('c') and not in_segment('b')"),
            define("b", "in_segment('c') or in_segment('which is not here')"),
            define("d", "vip"),
            define("c", "vip"),
        ];
        assert_eq!(ordered(definitions), (["c", "d", "b", "a"].map(str::to_owned).to_vec(), Vec::new()));
        assert_eq!(ordered([]), (Vec::new(), Vec::new()));
    }

    #[test]
    fn names_each_circle_where_it_begins() {
        let definitions = [
            define("a", "in_segment('b')"),
            define("b", "in_segment('d') and\n in_segment('c')"),
            define("c", "vip and in_segment('b')"),
            define("d", "vip"),
            define("e", "in_segment('g') and in_segment('c')"),
            define("f", "in_segment('e')"),
            define("g", "in_segment('f')"),
        ];
        let expected = [
            "segments/b.sql:2:2: segments refer to each other in a circle: `b` -> `c` -> `b`; remove one reference",
            "segments/e.sql:1:1: segments refer to each other in a circle: `e` -> `g` -> `f` -> `e`; remove one reference",
        ];
        assert_eq!(ordered(definitions).1, expected);
    }

    #[test]
    fn refuses_repeated_segments() {
        let expected = ["segments/a.sql: segment `a` is defined twice; rename one of them"];
        assert_eq!(ordered([define("a", "vip"), define("a", "vip")]).1, expected);
    }
}
