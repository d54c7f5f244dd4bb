//! Currencies as three letters of ISO 4217.

use std::collections::HashMap;
use std::sync::LazyLock;

use iso_currency::Currency;

use super::spelling::{letters, unambiguous};

/// Signs that stand for one currency only, in lower case. A dollar or a crown alone may be one of many.
const SIGNS: [(&str, &str); 24] = [
    ("€", "EUR"),
    ("£", "GBP"),
    ("us$", "USD"),
    ("₹", "INR"),
    ("₩", "KRW"),
    ("₺", "TRY"),
    ("₽", "RUB"),
    ("₴", "UAH"),
    ("₪", "ILS"),
    ("₫", "VND"),
    ("₦", "NGN"),
    ("₸", "KZT"),
    ("₼", "AZN"),
    ("₾", "GEL"),
    ("zł", "PLN"),
    ("kč", "CZK"),
    ("r$", "BRL"),
    ("c$", "CAD"),
    ("ca$", "CAD"),
    ("a$", "AUD"),
    ("au$", "AUD"),
    ("nz$", "NZD"),
    ("hk$", "HKD"),
    ("nt$", "TWD"),
];

/// Everyday names of one currency only, beside those of ISO 4217.
const ALSO: [(&str, &str); 16] = [
    ("american dollar", "USD"),
    ("us dollar", "USD"),
    ("british pound", "GBP"),
    ("british pound sterling", "GBP"),
    ("pounds sterling", "GBP"),
    ("sterling", "GBP"),
    ("chinese yuan", "CNY"),
    ("renminbi", "CNY"),
    ("rmb", "CNY"),
    ("yuan", "CNY"),
    ("swedish krona", "SEK"),
    ("swedish kronor", "SEK"),
    ("uae dirham", "AED"),
    ("rand", "ZAR"),
    ("yen", "JPY"),
    ("zloty", "PLN"),
];

/// English names, by their letters. Metals and units of account are no money that somebody pays in.
static NAMES: LazyLock<HashMap<String, &str>> = LazyLock::new(|| {
    // Numbers of ISO 4217 have three digits.
    let all = (0..1000).filter_map(Currency::from_numeric).filter(|currency| !currency.is_special());
    let mut names = unambiguous(all.map(|currency| (letters(currency.name()), currency.code())));
    names.extend(ALSO.map(|(name, code)| (letters(name), code)));
    names
});

/// The code of a currency that is written as one, as a sign of its own, or by a name in English, be it of many.
pub(super) fn code(told: &str) -> Option<String> {
    let lower = told.to_lowercase();
    let sign = SIGNS.iter().find(|(sign, _)| *sign == lower).map(|(_, code)| *code);
    let code = sign.or_else(|| Currency::from_code(&told.to_uppercase()).map(|currency| currency.code()));
    code.or_else(|| by_name(&letters(told))).map(str::to_owned)
}

fn by_name(name: &str) -> Option<&'static str> {
    let of_one = || NAMES.get(name.strip_suffix('s')?);
    NAMES.get(name).or_else(of_one).copied()
}
