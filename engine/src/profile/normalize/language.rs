//! Languages as two letters of ISO 639-1, or three of ISO 639-3 where there are no two.

use isolang::Language;

/// The codes of ISO 639-2 that come from English names, where ISO 639-3 took the others.
const BIBLIOGRAPHIC: [(&str, &str); 20] = [
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
];

/// The code of a language that is written as one, as a locale (`fr_CA`), by its English name or by its own.
pub(super) fn code(told: &str) -> Option<String> {
    let tag = told.split(['-', '_']).next().unwrap_or_default().to_lowercase();
    let tag = BIBLIOGRAPHIC.iter().find(|(known, _)| *known == tag).map_or(tag.as_str(), |(_, code)| *code);
    let language = match tag.len() {
        2 => Language::from_639_1(tag),
        3 => Language::from_639_3(tag),
        _ => by_name(told),
    }?;
    Some(language.to_639_1().unwrap_or(language.to_639_3()).to_owned())
}

fn by_name(told: &str) -> Option<Language> {
    let lower = told.to_lowercase();
    let own = Language::from_autonym(told).or_else(|| Language::from_autonym(&lower));
    Language::from_name_lowercase(&lower).or(own)
}
