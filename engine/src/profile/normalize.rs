//! Makes values of attributes comparable: what CRMs, shops and forms write in many ways becomes one value. What is not
//! understood stays as it was told, so that somebody sees it and can mend it at its source.

mod country;
mod currency;
mod date;
mod language;
mod person_name;
mod spelling;

use crate::config::AttributeForm;

/// What exports write where nothing is known, in lower case.
const PLACEHOLDERS: [&str; 12] =
    ["-", "--", "?", ".", "n/a", "na", "none", "null", "nil", "undefined", "unknown", "not specified"];

/// Yes and no in English, French, German, Dutch, Spanish, Italian and the languages of the North, and what spreadsheets and
/// forms write: in lower case, without marks, blanks and hyphens.
const TRUE: [&str; 21] = [
    "true",
    "t",
    "yes",
    "y",
    "1",
    "1.0",
    "on",
    "x",
    "checked",
    "enabled",
    "subscribed",
    "optedin",
    "optin",
    "vrai",
    "oui",
    "wahr",
    "ja",
    "waar",
    "verdadero",
    "vero",
    "si",
];
const FALSE: [&str; 22] = [
    "false",
    "f",
    "no",
    "n",
    "0",
    "0.0",
    "off",
    "unchecked",
    "disabled",
    "unsubscribed",
    "notsubscribed",
    "optedout",
    "optout",
    "faux",
    "non",
    "falsch",
    "nein",
    "onwaar",
    "nee",
    "falso",
    "nej",
    "nei",
];

/// What people write beside those for consent, by the letters.
const AGREES: [&str; 4] = ["granted", "accepted", "agreed", "allowed"];
const OBJECTS: [&str; 7] = ["withdrawn", "refused", "rejected", "declined", "denied", "revoked", "notallowed"];

/// What an answer makes of consent, where yes grants it or, of an attribute such as `opted_out`, withdraws it: `granted`,
/// `withdrawn`, or `unclear` for what is neither yes nor no. Nothing for an answer that says nothing: whoever has not opted
/// out has not agreed.
pub(super) fn consent_status(told: &str, yes_grants: bool) -> Option<&'static str> {
    let known = normalized(AttributeForm::Boolean, told)?;
    let letters = spelling::letters(&known);
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
    let is_number = !lower.contains(char::is_alphabetic);
    // `-1` is not `1`, and `s/i` is Spanish for no information.
    let word = if is_number { lower.to_owned() } else { spelling::without_marks(lower).replace([' ', '-', '_'], "") };
    let is = |words: &[&str]| words.contains(&word.as_str());
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
            ("oui", Some("granted"), Some("withdrawn")),
            ("Accepted", Some("granted"), Some("withdrawn")),
            ("subscribed", Some("granted"), Some("withdrawn")),
            ("0", Some("withdrawn"), None),
            ("Opt out", Some("withdrawn"), None),
            ("disabled", Some("withdrawn"), None),
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
    fn test_other_spellings_of_countries() {
        assert_all(
            AttributeForm::Country,
            &[
                ("UAE", Some("AE")),
                ("U.A.E.", Some("AE")),
                ("U.K.", Some("GB")),
                ("DR Congo", Some("CD")),
                ("Congo, the Democratic Republic of the", Some("CD")),
                ("Kosovo", Some("XK")),
                ("xk", Some("XK")),
                ("Eire", Some("IE")),
                ("Éire", Some("IE")),
                ("Republic of Ireland", Some("IE")),
                ("Trinidad & Tobago", Some("TT")),
                ("Bosnia&Herzegovina", Some("BA")),
                ("St. Vincent & the Grenadines", Some("VC")),
                ("Curacao", Some("CW")),
                ("Cote D Ivoire", Some("CI")),
                ("COTE DIVOIRE", Some("CI")),
                ("Guinea Bissau", Some("GW")),
                ("Espana", Some("ES")),
                ("OSTERREICH", Some("AT")),
                // `e` and a mark of its own.
                ("Re\u{301}union", Some("RE")),
                ("GER", Some("DE")),
                ("EL", Some("GR")),
                ("076", Some("BR")),
                ("UC", Some("UC")),
                // ISO writes three digits.
                ("76", Some("76")),
            ],
        );
    }

    #[test]
    fn test_languages_and_currencies() {
        let french = ["fr", "FR", "fr-FR", "fr_CA", "fra", "fre", "French", "fran\u{e7}ais"];
        assert_all(AttributeForm::Language, &french.map(|told| (told, Some("fr"))));
        assert_all(AttributeForm::Language, &[("Klingonese", Some("Klingonese")), ("zh-Hans-CN", Some("zh"))]);
        assert_all(
            AttributeForm::Language,
            &[
                ("English (US)", Some("en")),
                ("Chinese (Simplified)", Some("zh")),
                ("Klingonese (Qo'noS)", Some("Klingonese (Qo'noS)")),
                ("Portugais", Some("pt")),
                ("FRANCAIS", Some("fr")),
                ("Französisch", Some("fr")),
                ("Greek", Some("el")),
                ("iw", Some("he")),
                ("in_ID", Some("id")),
                ("ji", Some("yi")),
            ],
        );
        let euro = ["EUR", "eur", " Eur ", "€"];
        assert_all(AttributeForm::Currency, &euro.map(|told| (told, Some("EUR"))));
        // A dollar may be one of twenty.
        assert_all(
            AttributeForm::Currency,
            &[("US$", Some("USD")), ("£", Some("GBP")), ("$", Some("$")), ("XQQ", Some("XQQ"))],
        );
        assert_all(
            AttributeForm::Currency,
            &[
                ("Euro", Some("EUR")),
                ("EUROS", Some("EUR")),
                ("US Dollar", Some("USD")),
                ("US dollars", Some("USD")),
                ("Pound sterling", Some("GBP")),
                ("Polish zloty", Some("PLN")),
                ("zł", Some("PLN")),
                ("₽", Some("RUB")),
                ("C$", Some("CAD")),
                ("A$", Some("AUD")),
                ("Dollar", Some("Dollar")),
                ("kr", Some("kr")),
                ("Gold", Some("Gold")),
            ],
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
    fn test_days_with_times_and_weekdays() {
        let day = AttributeForm::Date(None);
        let told = [
            "1980.03.05",
            "1980-03-05T00:00",
            "1980/3/5 0:00",
            "5.3.1980 12.30",
            "05.03.1980 00:00:00.000",
            "5 March 1980 00:00",
            "March 5, 1980, 12:00 AM",
            "March 5, 1980 at 12:00:00 AM UTC+1",
            "Mar  5 1980 12:00AM",
            "5-Mar-1980 9 p.m.",
            "Wednesday, March 5, 1980",
            "Wed, 5 Mar 1980",
            "Wed, 05 Mar 1980 00:00:00 GMT",
            "mercredi 5 mars 1980",
            "Mittwoch, den 5. März 1980",
        ];
        assert_all(day, &told.map(|told| (told, Some("1980-03-05"))));
        assert_all(
            day,
            &[
                ("25/03/1980 00:00:00", Some("1980-03-25")),
                ("12/25/1980 12:00 AM", Some("1980-12-25")),
                ("3/4/1980 00:00", Some("3/4/1980 00:00")),
                ("5-3-1980", Some("5-3-1980")),
                ("25/03/80 00:00", Some("25/03/80 00:00")),
                ("25/03/1980 - 26/03/1980", Some("25/03/1980 - 26/03/1980")),
                // It was a Wednesday.
                ("Thursday, March 5, 1980", Some("Thursday, March 5, 1980")),
                ("-1980-03-05", Some("-1980-03-05")),
            ],
        );
        let day_first = AttributeForm::Date(Some(DateOrder::DayFirst));
        assert_all(day_first, &[("3/4/1980 00:00", Some("1980-04-03")), ("03-04-1980, 9 AM", Some("1980-04-03"))]);
        let month_first = AttributeForm::Date(Some(DateOrder::MonthFirst));
        assert_all(month_first, &[("3/4/1980 12:00:00 AM", Some("1980-03-04"))]);
    }

    #[test]
    fn test_days_in_other_languages() {
        assert_all(
            AttributeForm::Date(None),
            &[
                ("9 Sept. 1980", Some("1980-09-09")),
                ("September 9th, 1980", Some("1980-09-09")),
                ("5 mars 1980", Some("1980-03-05")),
                ("1 août 1980", Some("1980-08-01")),
                ("1er août 1980", Some("1980-08-01")),
                ("25 DÉCEMBRE 1980", Some("1980-12-25")),
                ("5. März 1980", Some("1980-03-05")),
                ("5.Mai 1980", Some("1980-05-05")),
                ("5 de marzo de 1980", Some("1980-03-05")),
                ("1º enero 1980", Some("1980-01-01")),
                ("5 gennaio 1980", Some("1980-01-05")),
                ("5 mei 1980", Some("1980-05-05")),
                ("5 mars 80", Some("5 mars 80")),
                ("5 brumaire 1980", Some("5 brumaire 1980")),
            ],
        );
    }

    #[test]
    fn test_booleans() {
        assert_all(AttributeForm::Boolean, &["yes", "TRUE", "1", "Y", "on"].map(|told| (told, Some("true"))));
        assert_all(
            AttributeForm::Boolean,
            &["no", "False", "0", "n", "unsubscribed"].map(|told| (told, Some("false"))),
        );
        let yes = ["WAHR", "VRAI", "oui", "ja", "sì", "Sí", "si", "1.0", "enabled", "opted in", "Opt-in", "subscribed"];
        assert_all(AttributeForm::Boolean, &yes.map(|told| (told, Some("true"))));
        let no =
            ["FALSCH", "FAUX", "non", "nein", "nee", "0.0", "disabled", "opted_out", "Opted out", "not subscribed"];
        assert_all(AttributeForm::Boolean, &no.map(|told| (told, Some("false"))));
        assert_all(AttributeForm::Boolean, &[("perhaps", Some("perhaps")), (" ", None), ("Unknown", None)]);
        assert_all(AttributeForm::Boolean, &[("10", Some("10")), ("-1", Some("-1")), ("S/I", Some("S/I"))]);
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
                ("ΓΙΏΡΓΟΣ ΣΟΦΌΣ", Some("Γιώργος Σοφός")),
                ("JOHN SMITH III", Some("John Smith III")),
                ("john smith iv", Some("John Smith IV")),
                ("VI NGUYEN", Some("Vi Nguyen")),
                ("e\u{301}lodie", Some("E\u{301}lodie")),
                ("N/A", None),
            ],
        );
    }
}
