//! How words are compared that some write with accents, apostrophes and hyphens, and others without.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Letters without marks, and what is written for each with marks.
const PLAIN: [(&str, &str); 35] = [
    ("", "\u{2bb}\u{2bc}"), // apostrophes that count as letters
    ("a", "àáâãäåāăąǎạảấầẩẫậắằẳẵặ"),
    ("ae", "æ"),
    ("c", "çćĉċč"),
    ("d", "ďđð"),
    ("e", "èéêëēĕėęěẹẻẽếềểễệ"),
    ("g", "ĝğġģ"),
    ("h", "ĥħ"),
    ("i", "ìíîïĩīĭįıỉị"),
    ("j", "ĵ"),
    ("k", "ķ"),
    ("l", "ĺļľŀł"),
    ("n", "ñńņňŋ"),
    ("o", "òóôõöøōŏőơǫọỏốồổỗộớờởỡợ"),
    ("oe", "œ"),
    ("r", "ŕŗř"),
    ("s", "śŝşšșṣ"),
    ("ss", "ß"),
    ("t", "ţťŧțṭ"),
    ("th", "þ"),
    ("u", "ùúûüũūŭůűųưụủứừửữự"),
    ("w", "ŵ"),
    ("y", "ýÿŷỳỵỷỹ"),
    ("z", "źżž"),
    ("α", "ά"),
    ("ε", "έ"),
    ("η", "ή"),
    ("ι", "ίϊΐ"),
    ("ο", "ό"),
    ("σ", "ς"),
    ("υ", "ύϋΰ"),
    ("ω", "ώ"),
    ("е", "ё"),
    ("и", "ѝ"),
    ("і", "ї"),
];

static WITHOUT_MARKS: LazyLock<HashMap<char, &str>> =
    LazyLock::new(|| PLAIN.iter().flat_map(|(plain, marked)| marked.chars().map(|letter| (letter, *plain))).collect());

/// A text in lower case and without marks: `Août` is `aout`.
pub(super) fn without_marks(told: &str) -> String {
    let mut plain = String::with_capacity(told.len());
    for letter in told.to_lowercase().chars().filter(|letter| !is_combining(*letter)) {
        match WITHOUT_MARKS.get(&letter) {
            Some(letters) => plain.push_str(letters),
            None => plain.push(letter),
        }
    }
    plain
}

/// The letters and digits of a text, in lower case and without marks: `Côte d'Ivoire` and `COTE D IVOIRE` are
/// `cotedivoire`. A `&` is the word it stands for.
pub(super) fn letters(told: &str) -> String {
    let told = told.replace('&', "and");
    without_marks(&told).chars().filter(|letter| letter.is_alphanumeric()).collect()
}

/// True for a mark that is written after its letter, as in `e` and U+0301 for `é`.
pub(super) fn is_combining(letter: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&letter)
}

/// What names stand for. A name that stands for two things is left out.
pub(super) fn unambiguous<T: PartialEq>(names: impl Iterator<Item = (String, T)>) -> HashMap<String, T> {
    let mut found: HashMap<String, Option<T>> = HashMap::new();
    for (name, stands_for) in names {
        match found.get_mut(&name) {
            Some(known) if known.as_ref() != Some(&stands_for) => *known = None,
            Some(_) => (),
            None => _ = found.insert(name, Some(stands_for)),
        }
    }
    found.into_iter().filter_map(|(name, stands_for)| Some((name, stands_for?))).collect()
}
