//! Makes values of attributes comparable: what CRMs, shops and forms write in many ways becomes one value. What is not
//! understood stays as it was told, so that somebody sees it and can mend it at its source.

mod country;
mod currency;
mod date;
mod language;
mod person_name;

use crate::config::AttributeForm;

/// What exports write where nothing is known, in lower case.
const PLACEHOLDERS: [&str; 12] =
    ["-", "--", "?", ".", "n/a", "na", "none", "null", "nil", "undefined", "unknown", "not specified"];
const TRUE: [&str; 9] = ["true", "t", "yes", "y", "1", "on", "x", "subscribed", "checked"];
const FALSE: [&str; 9] = ["false", "f", "no", "n", "0", "off", "unsubscribed", "unchecked", "not subscribed"];

/// What people write beside those for consent, in lower case and without blanks and signs.
const AGREES: [&str; 6] = ["granted", "optedin", "optin", "accepted", "agreed", "allowed"];
const OBJECTS: [&str; 9] =
    ["withdrawn", "optedout", "optout", "refused", "rejected", "declined", "denied", "revoked", "notallowed"];

/// What an answer makes of consent, where yes grants it or, of an attribute such as `opted_out`, withdraws it: `granted`,
/// `withdrawn`, or `unclear` for what is neither yes nor no. Nothing for an answer that says nothing: whoever has not opted
/// out has not agreed.
pub(super) fn consent_status(told: &str, yes_grants: bool) -> Option<&'static str> {
    let known = normalized(AttributeForm::Boolean, told)?;
    let letters: String = known.chars().filter(|letter| letter.is_alphanumeric()).collect::<String>().to_lowercase();
    let is_yes = letters == "true" || AGREES.contains(&letters.as_str());
    let is_no = letters == "false" || OBJECTS.contains(&letters.as_str());
    match yes_grants {
        _ if !is_yes && !is_no => Some("unclear"),
        true => Some(if is_yes { "granted" } else { "withdrawn" }),
        false => is_yes.then_some("withdrawn"),
    }
}

/// A value in a form. Nothing for a value that says nothing: a blank, or what is written for "unknown".
pub(super) fn normalized(form: AttributeForm, told: &str) -> Option<String> {
    // An apostrophe in front keeps spreadsheets from taking a text for a number. `'t Hooft` is a name.
    let told = told.trim();
    let unguarded = told.strip_prefix('\'').filter(|_| form != AttributeForm::Name);
    let told = unguarded.unwrap_or(told).trim();
    let lower = told.to_lowercase();
    let is_placeholder = PLACEHOLDERS.contains(&lower.as_str());
    // `NA` is Namibia.
    if told.is_empty() || is_placeholder && !(form == AttributeForm::Country && told == "NA") {
        return None;
    }
    let known = match form {
        AttributeForm::Text => None,
        AttributeForm::Country => country::code(told),
        AttributeForm::Language => language::code(told),
        AttributeForm::Currency => currency::code(told),
        AttributeForm::Date(order) => date::day(told, order),
        AttributeForm::Boolean => boolean(&lower),
        AttributeForm::Name => Some(person_name::cased(told)),
    };
    Some(known.unwrap_or_else(|| told.to_owned()))
}

fn boolean(lower: &str) -> Option<String> {
    let is = |words: &[&str]| words.contains(&lower);
    (is(&TRUE) || is(&FALSE)).then(|| is(&TRUE).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DateOrder;

    /// What becomes of each value.
    fn assert_all(form: AttributeForm, cases: &[(&str, Option<&str>)]) {
        for (told, expected) in cases {
            assert_eq!(normalized(form, told).as_deref(), *expected, "{told:?}");
        }
    }

    #[test]
    fn test_consent() {
        let answers = [
            ("yes", Some("granted"), Some("withdrawn")),
            ("TRUE", Some("granted"), Some("withdrawn")),
            ("Opted-in", Some("granted"), Some("withdrawn")),
            ("subscribed", Some("granted"), Some("withdrawn")),
            ("0", Some("withdrawn"), None),
            ("Opt out", Some("withdrawn"), None),
            ("not subscribed", Some("withdrawn"), None),
            ("DENIED", Some("withdrawn"), None),
            ("pending", Some("unclear"), Some("unclear")),
            ("{}", Some("unclear"), Some("unclear")),
            ("", None, None),
            (" ", None, None),
            ("n/a", None, None),
        ];
        for (told, if_yes_grants, if_yes_withdraws) in answers {
            assert_eq!(consent_status(told, true), if_yes_grants, "{told:?}");
            assert_eq!(consent_status(told, false), if_yes_withdraws, "{told:?}");
        }
    }

    #[test]
    fn test_countries() {
        let germany = ["DE", "de", "DEU", "Germany", "GERMANY", "Deutschland", "Allemagne", " Alemania ", "276", "'DE"];
        assert_all(AttributeForm::Country, &germany.map(|told| (told, Some("DE"))));
        let america = ["US", "USA", "U.S.A.", "U.S.", "United States", "United States of America", "the United States"];
        assert_all(AttributeForm::Country, &america.map(|told| (told, Some("US"))));
        assert_all(
            AttributeForm::Country,
            &[
                ("UK", Some("GB")),
                ("England", Some("GB")),
                ("The Netherlands", Some("NL")),
                ("Holland", Some("NL")),
                ("Korea, Republic of", Some("KR")),
                ("Cote d'Ivoire", Some("CI")),
                ("Côte d\u{2019}Ivoire", Some("CI")),
                ("NA", Some("NA")),
                ("n/a", None),
                ("Atlantis", Some("Atlantis")),
                ("", None),
            ],
        );
    }

    #[test]
    fn test_languages_and_currencies() {
        let french = ["fr", "FR", "fr-FR", "fr_CA", "fra", "fre", "French", "fran\u{e7}ais"];
        assert_all(AttributeForm::Language, &french.map(|told| (told, Some("fr"))));
        assert_all(AttributeForm::Language, &[("Klingonese", Some("Klingonese")), ("zh-Hans-CN", Some("zh"))]);
        let euro = ["EUR", "eur", " Eur ", "€"];
        assert_all(AttributeForm::Currency, &euro.map(|told| (told, Some("EUR"))));
        // A dollar may be one of twenty.
        assert_all(
            AttributeForm::Currency,
            &[("US$", Some("USD")), ("£", Some("GBP")), ("$", Some("$")), ("XQQ", Some("XQQ"))],
        );
    }

    #[test]
    fn test_days() {
        let day = AttributeForm::Date(None);
        let told = [
            "1980-03-05",
            "1980-03-05T00:00:00.000+0000",
            "1980-03-05 23:59",
            "1980/03/05",
            "05.03.1980",
            "5.3.1980",
            "19800305",
            "March 5, 1980",
            "5 March 1980",
            "Mar 5 1980",
            "5-Mar-1980",
            "05 mar. 1980",
        ];
        assert_all(day, &told.map(|told| (told, Some("1980-03-05"))));
        assert_all(
            day,
            &[("25/12/1980", Some("1980-12-25")), ("12/25/1980", Some("1980-12-25")), ("3/4/1980", Some("3/4/1980"))],
        );
        assert_all(
            AttributeForm::Date(Some(DateOrder::DayFirst)),
            &[("3/4/1980", Some("1980-04-03")), ("03-04-1980", Some("1980-04-03"))],
        );
        assert_all(AttributeForm::Date(Some(DateOrder::MonthFirst)), &[("3/4/1980", Some("1980-03-04"))]);
        // Leap days, and what no calendar has.
        assert_all(
            day,
            &[
                ("29.02.2000", Some("2000-02-29")),
                ("29.02.1900", Some("29.02.1900")),
                ("31/31/1980", Some("31/31/1980")),
            ],
        );
        assert_all(day, &[("0000-00-00", Some("0000-00-00")), ("yesterday", Some("yesterday")), ("null", None)]);
    }

    #[test]
    fn test_booleans() {
        assert_all(AttributeForm::Boolean, &["yes", "TRUE", "1", "Y", "on"].map(|told| (told, Some("true"))));
        assert_all(
            AttributeForm::Boolean,
            &["no", "False", "0", "n", "unsubscribed"].map(|told| (told, Some("false"))),
        );
        assert_all(AttributeForm::Boolean, &[("perhaps", Some("perhaps")), (" ", None), ("Unknown", None)]);
    }

    #[test]
    fn test_names() {
        assert_all(
            AttributeForm::Name,
            &[
                ("ada  lovelace", Some("Ada Lovelace")),
                ("ADA", Some("Ada")),
                ("Ada", Some("Ada")),
                ("McDonald", Some("McDonald")),
                ("'t Hooft", Some("'t Hooft")),
                ("JEAN-LUC O'NEILL", Some("Jean-Luc O'Neill")),
                ("ludwig van BEETHOVEN", Some("ludwig van BEETHOVEN")),
                ("van der berg", Some("Van Der Berg")),
                ("\u{e9}lodie", Some("\u{c9}lodie")),
                ("李 小龍", Some("李 小龍")),
                ("N/A", None),
            ],
        );
    }
}
