//! Languages as two letters of ISO 639-1, or three of ISO 639-3 where there are no two.

use std::collections::HashMap;
use std::sync::LazyLock;

use isolang::Language;

use super::spelling::{letters, unambiguous};

/// Codes that are no more: those of ISO 639-2 that come from English names, where ISO 639-3 took the others, and those that
/// ISO 639-1 withdrew, which old systems still write.
const FORMER: [(&str, &str); 25] = [
    ("alb", "sqi"),
    ("arm", "hye"),
    ("baq", "eus"),
    ("bur", "mya"),
    ("chi", "zho"),
    ("cze", "ces"),
    ("dut", "nld"),
    ("fre", "fra"),
    ("geo", "kat"),
    ("ger", "deu"),
    ("gre", "ell"),
    ("ice", "isl"),
    ("mac", "mkd"),
    ("mao", "mri"),
    ("may", "msa"),
    ("per", "fas"),
    ("rum", "ron"),
    ("slo", "slk"),
    ("tib", "bod"),
    ("wel", "cym"),
    ("in", "ind"),
    ("iw", "heb"),
    ("ji", "yid"),
    ("jw", "jav"),
    ("mo", "ron"),
];

/// Names that the library leaves out, by their letters: other English ones, and those in French and German.
const ALSO: [(&str, &[&str]); 42] = [
    ("ar", &["arabe", "arabisch"]),
    ("bg", &["bulgare", "bulgarisch"]),
    ("ca", &["katalanisch"]),
    ("cs", &["tcheque", "tschechisch"]),
    ("da", &["danois", "danisch", "daenisch"]),
    ("de", &["allemand"]),
    ("el", &["greek", "grec", "griechisch"]),
    ("en", &["anglais", "englisch"]),
    ("es", &["castilian", "espagnol", "spanisch"]),
    ("et", &["estonien", "estnisch"]),
    ("fa", &["farsi", "persan", "persisch"]),
    ("fi", &["finnois", "finnisch"]),
    ("fr", &["franzosisch", "franzoesisch"]),
    ("he", &["hebreu", "hebraisch"]),
    ("hr", &["croate", "kroatisch"]),
    ("hu", &["hongrois", "ungarisch"]),
    ("id", &["indonesien", "indonesisch"]),
    ("is", &["islandais", "islandisch"]),
    ("it", &["italien", "italienisch"]),
    ("ja", &["japonais", "japanisch"]),
    ("ko", &["coreen", "koreanisch"]),
    ("lt", &["lituanien", "litauisch"]),
    ("lv", &["letton", "lettisch"]),
    ("ms", &["malais", "malaiisch"]),
    ("mt", &["maltais", "maltesisch"]),
    ("nl", &["flemish", "neerlandais", "niederlandisch", "niederlaendisch"]),
    ("no", &["norvegien", "norwegisch"]),
    ("pa", &["punjabi"]),
    ("pl", &["polonais", "polnisch"]),
    ("pt", &["portugais", "portugiesisch"]),
    ("ro", &["roumain", "rumanisch", "rumaenisch"]),
    ("ru", &["russe", "russisch"]),
    ("sk", &["slovaque", "slowakisch"]),
    ("sl", &["slovene", "slowenisch"]),
    ("sq", &["albanais", "albanisch"]),
    ("sr", &["serbe", "serbisch"]),
    ("sv", &["suedois", "schwedisch"]),
    ("th", &["thailandais", "thailandisch", "thailaendisch"]),
    ("tr", &["turc", "turkisch", "tuerkisch"]),
    ("uk", &["ukrainien", "ukrainisch"]),
    ("vi", &["vietnamien", "vietnamesisch"]),
    ("zh", &["chinois", "chinesisch"]),
];

/// Names of languages that have two letters, by their own letters alone: English ones, their own, and those of `ALSO`.
static NAMES_BY_LETTERS: LazyLock<HashMap<String, Language>> = LazyLock::new(|| {
    let common = Language::match_names(|_| true).filter(|language| language.to_639_1().is_some());
    let of_library = common.flat_map(|language| {
        let names = [Some(language.to_name()), language.to_autonym()];
        names.into_iter().flatten().map(move |name| (letters(name), language))
    });
    let mut names = unambiguous(of_library);
    let also = ALSO.iter().filter_map(|(code, names)| Some((Language::from_639_1(code)?, names)));
    names.extend(also.flat_map(|(language, names)| names.iter().map(move |name| ((*name).to_owned(), language))));
    names
});

/// The code of a language that is written as one, as a locale (`fr_CA`), by its English name, by its own, or by that in
/// French or German. A region or a script in brackets (`English (US)`) goes as that of a locale does.
pub(super) fn code(told: &str) -> Option<String> {
    let without_brackets = || told.split_once(['(', '\u{ff08}']).map(|(name, _)| name.trim_end());
    let language = known(told).or_else(|| known(without_brackets()?))?;
    Some(language.to_639_1().unwrap_or(language.to_639_3()).to_owned())
}

fn known(told: &str) -> Option<Language> {
    let tag = told.split(['-', '_']).next().unwrap_or_default().to_lowercase();
    let tag = FORMER.iter().find(|(former, _)| *former == tag).map_or(tag.as_str(), |(_, code)| *code);
    match tag.len() {
        2 => Language::from_639_1(tag),
        3 => Language::from_639_3(tag),
        _ => by_name(told),
    }
}

fn by_name(told: &str) -> Option<Language> {
    let lower = told.to_lowercase();
    let own = Language::from_autonym(told).or_else(|| Language::from_autonym(&lower));
    let exact = Language::from_name_lowercase(&lower).or(own);
    exact.or_else(|| NAMES_BY_LETTERS.get(&letters(told)).copied())
}
