//! Countries as two letters of ISO 3166-1.

use std::collections::HashMap;
use std::sync::LazyLock;

use keshvar::{Alpha2, Alpha3, CountryIterator};

use super::spelling::{letters, unambiguous};

/// Names and codes that the library leaves out. `XK` is no code of ISO 3166-1, but what everybody uses until there is one.
const ALSO: [(&str, &str); 19] = [
    ("dr congo", "CD"),
    ("drc", "CD"),
    ("el", "GR"), // as the European Union writes it
    ("ger", "DE"),
    ("kosova", "XK"),
    ("kosovo", "XK"),
    ("northern ireland", "GB"),
    ("oesterreich", "AT"),
    ("republic of ireland", "IE"),
    ("republic of korea", "KR"),
    ("republic of kosovo", "XK"),
    ("republic of the congo", "CG"),
    ("scotland", "GB"),
    ("st vincent and the grenadines", "VC"),
    ("turkiye", "TR"),
    ("uae", "AE"),
    ("wales", "GB"),
    ("xk", "XK"),
    ("xkx", "XK"),
];

/// Names in some eighty languages, in lower case.
static NAMES: LazyLock<HashMap<String, &str>> = LazyLock::new(|| names(str::to_lowercase, 1));

/// The same by their letters alone, where there are enough of them: `Úc` is Australia, but `UC` a code that nobody knows.
static NAMES_BY_LETTERS: LazyLock<HashMap<String, &str>> = LazyLock::new(|| names(letters, 4));

/// Codes that are numbers.
static NUMBERS: LazyLock<HashMap<&str, Alpha2>> =
    LazyLock::new(|| CountryIterator::new().map(|country| (country.number(), country.alpha2())).collect());

/// The code of a country that is written as one, as three letters, as a number, or by a name in some language.
pub(super) fn code(told: &str) -> Option<String> {
    let upper = told.to_uppercase().replace('.', "");
    let found = match upper.len() {
        2 => Alpha2::try_from(upper.as_str()).ok(),
        3 => {
            let letters = Alpha3::try_from(upper.as_str()).ok().map(|alpha3| alpha3.to_alpha2());
            letters.or_else(|| NUMBERS.get(told).copied())
        }
        _ => None,
    };
    let found = found.map(|alpha2| alpha2.to_string());
    // `U.K.` and `U.A.E.` are no codes of ISO.
    found.or_else(|| [told, &upper].into_iter().find_map(by_name).map(str::to_owned))
}

fn by_name(told: &str) -> Option<&'static str> {
    let lower = told.to_lowercase().replace('\u{2019}', "'");
    // `Korea, Republic of` is how ISO sorts them.
    let turned = lower.split_once(", ").map(|(noun, rest)| format!("{rest} {noun}"));
    let spellings: Vec<&str> = [Some(lower.as_str()), turned.as_deref()].into_iter().flatten().map(bare).collect();
    // Without marks, two countries may be called the same.
    let exact = spellings.iter().find_map(|name| NAMES.get(*name));
    exact.or_else(|| spellings.iter().find_map(|name| NAMES_BY_LETTERS.get(&letters(name)))).copied()
}

/// A name without its article.
fn bare(name: &str) -> &str {
    name.strip_prefix("the ").unwrap_or(name)
}

/// All names in the form that `key` gives them, if that has `length_min` bytes. What two countries are called, each in
/// another language, is left out.
fn names(key: fn(&str) -> String, length_min: usize) -> HashMap<String, &'static str> {
    let of_library = CountryIterator::new().flat_map(|country| {
        let official = [country.iso_short_name(), country.iso_long_name()];
        let all = official.iter().chain(country.unofficial_name_list()).chain(country.translations().values());
        // Places of UN/LOCODE are counted by the two letters of their country.
        let code = country.un_locode();
        all.map(|name| (key(name), code)).collect::<Vec<_>>()
    });
    let mut names = unambiguous(of_library.filter(|(name, _)| name.len() >= length_min));
    names.extend(ALSO.map(|(name, code)| (key(name), code)));
    names
}
