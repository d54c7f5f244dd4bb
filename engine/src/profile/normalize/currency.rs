//! Currencies as three letters of ISO 4217.

use iso_currency::Currency;

/// Signs that stand for one currency only.
const SIGNS: [(&str, &str); 6] = [("€", "EUR"), ("£", "GBP"), ("us$", "USD"), ("₹", "INR"), ("₩", "KRW"), ("₺", "TRY")];

/// The code of a currency that is written as one, or as a sign of its own.
pub(super) fn code(told: &str) -> Option<String> {
    let sign = SIGNS.iter().find(|(sign, _)| *sign == told.to_lowercase()).map(|(_, code)| (*code).to_owned());
    sign.or_else(|| Currency::from_code(&told.to_uppercase()).map(|currency| currency.code().to_owned()))
}
