//! Countries as two letters of ISO 3166-1.

use std::collections::HashMap;
use std::sync::LazyLock;

use keshvar::{Alpha2, Alpha3, CountryIterator};

/// Spellings that the names of the library leave out.
const ALSO: [(&str, Alpha2); 9] = [
    ("cote d'ivoire", Alpha2::CI),
    ("espana", Alpha2::ES),
    ("northern ireland", Alpha2::GB),
    ("oesterreich", Alpha2::AT),
    ("osterreich", Alpha2::AT),
    ("republic of korea", Alpha2::KR),
    ("scotland", Alpha2::GB),
    ("turkiye", Alpha2::TR),
    ("wales", Alpha2::GB),
];

/// Names in some eighty languages, in lower case. What two countries are called, each in another language, is left out.
static NAMES: LazyLock<HashMap<String, Option<Alpha2>>> = LazyLock::new(|| {
    let mut names = HashMap::new();
    for country in CountryIterator::new() {
        let official = [country.iso_short_name(), country.iso_long_name()];
        let all = official.iter().chain(country.unofficial_name_list()).chain(country.translations().values());
        for name in all.map(|name| name.to_lowercase()) {
            let known = names.entry(name).or_insert(Some(country.alpha2()));
            *known = known.filter(|known| *known == country.alpha2());
        }
    }
    names.extend(ALSO.map(|(name, alpha2)| (name.to_owned(), Some(alpha2))));
    names
});

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
    found.or_else(|| by_name(told)).map(|alpha2| alpha2.to_string())
}

fn by_name(told: &str) -> Option<Alpha2> {
    let lower = told.to_lowercase().replace('\u{2019}', "'");
    let lower = lower.strip_prefix("the ").unwrap_or(&lower);
    // `Korea, Republic of` is how ISO sorts them.
    let turned = lower.split_once(", ").map(|(noun, rest)| format!("{rest} {noun}"));
    [Some(lower), turned.as_deref()].into_iter().flatten().find_map(|name| NAMES.get(name).copied().flatten())
}
