//! Titles of groups, each of which differs from all others.

use super::facts::Fact;

/// What a group is named after, if that is enough.
const FACTS_IN_TITLE: usize = 2;

/// A title for each group, after the facts that set it apart. Where some would be the same, they tell more: further facts
/// that not all of them have, then their means, at last a number.
pub(crate) fn titles(facts: &[Vec<Fact>]) -> Vec<String> {
    let shorts: Vec<Vec<&str>> =
        facts.iter().map(|facts| facts.iter().map(|fact| fact.short.as_str()).collect()).collect();
    let figures: Vec<Vec<&str>> =
        facts.iter().map(|facts| facts.iter().filter_map(|fact| fact.figure.as_deref()).collect()).collect();
    let mut told: Vec<Vec<&str>> =
        shorts.iter().map(|shorts| shorts.iter().copied().take(FACTS_IN_TITLE).collect()).collect();
    tell_apart(&mut told, &shorts);
    tell_apart(&mut told, &figures);
    numbered(told.iter().map(|told| capitalized(&told.join(", "))))
}

/// Adds of the words for each group those that tell it from others of which the same is told.
fn tell_apart<'a>(told: &mut [Vec<&'a str>], words: &[Vec<&'a str>]) {
    loop {
        let more: Vec<Option<&str>> = (0..told.len()).map(|place| distinguishing(told, words, place)).collect();
        if more.iter().all(Option::is_none) {
            return;
        }
        for (told, more) in told.iter_mut().zip(more) {
            told.extend(more);
        }
    }
}

/// The first word for a group that is not told yet, and that some other of which the same is told does not have.
fn distinguishing<'a>(told: &[Vec<&'a str>], words: &[Vec<&'a str>], place: usize) -> Option<&'a str> {
    let own = &told[place];
    let same = || told.iter().zip(words).enumerate().filter(|(other, (told, _))| *other != place && *told == own);
    let is_shared = |word: &str| same().all(|(_, (_, words))| words.contains(&word));
    words[place].iter().copied().find(|word| !own.contains(word) && !is_shared(word))
}

/// Titles with a number where one was before.
fn numbered(titles: impl Iterator<Item = String>) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for title in titles {
        let mut unlike = title.clone();
        let mut number = 1;
        while told.contains(&unlike) {
            number += 1;
            unlike = format!("{title} ({number})");
        }
        told.push(unlike);
    }
    told
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Frequency, told};
    use super::super::spread::Spread;
    use super::*;

    /// A group's facts by columns of numbers with everybody's mean 100, the strongest first.
    fn high(means: &[(&str, f64)]) -> Vec<Fact> {
        let everybody = Spread::of(&[Some(0.0), Some(200.0)]);
        means
            .iter()
            .filter_map(|(name, mean)| Fact::of_numbers(name, &everybody, &Spread::of(&[Some(*mean)])))
            .collect()
    }

    fn isv() -> Vec<Fact> {
        let of = Frequency { value: Some("true"), own: 1.0, of_all: 0.2 };
        Fact::of_values("isv", std::iter::once(of)).into_iter().collect()
    }

    #[test]
    fn test_a_title_has_two_facts_if_these_are_enough() {
        let groups = [
            high(&[("orders", 400.0), ("spent", 300.0), ("recency", 20.0)]),
            high(&[("orders", 20.0), ("spent", 300.0), ("recency", 300.0)]),
            told(Vec::new(), 5),
            told(Vec::new(), 0),
        ];
        let expected = ["High orders, high spent", "Low orders, high spent", "Like everybody", "Nobody"];
        assert_eq!(titles(&groups), expected);
    }

    #[test]
    fn test_further_facts_tell_groups_apart() {
        let groups = [
            high(&[("orders", 400.0), ("spent", 300.0), ("visits", 200.0)]),
            high(&[("orders", 400.0), ("spent", 300.0), ("visits", 200.0), ("recency", 20.0)]),
            high(&[("orders", 400.0), ("spent", 300.0), ("recency", 300.0)]),
        ];
        // The first has nothing that the second has not: the second says what more it has.
        let expected = [
            "High orders, high spent, high visits",
            "High orders, high spent, high visits, low recency",
            "High orders, high spent, high recency",
        ];
        assert_eq!(titles(&groups), expected);
    }

    #[test]
    fn test_means_and_numbers_tell_the_rest_apart() {
        let spent: Vec<Vec<Fact>> = [318.0, 322.0, 322.2].iter().map(|mean| high(&[("spent", *mean)])).collect();
        assert_eq!(titles(&spent), ["High spent, spent 318", "High spent, spent 322", "High spent, spent 322 (2)"]);
        assert_eq!(titles(&[isv(), isv(), isv()]), ["Isv true", "Isv true (2)", "Isv true (3)"]);
        let alike = [told(Vec::new(), 5), told(Vec::new(), 4)];
        assert_eq!(titles(&alike), ["Like everybody", "Like everybody (2)"]);
    }
}
