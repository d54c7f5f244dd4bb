//! Identifiers as people, forms and exports write them, and what becomes of them.

use super::*;
use crate::config::ProjectConfig;

fn normalizer(identity: &str) -> Normalizer {
    let text = format!("version = 1\n[identity]\n{identity}");
    Normalizer::new(&ProjectConfig::parse(&text, "tessera.toml").expect("valid").identity).expect("valid")
}

fn standard() -> Normalizer {
    normalizer(
        "namespaces = [{ name = 'email', normalize = 'email' }, { name = 'phone', normalize = 'phone', \
         region = 'FR' }, \
         { name = 'world', normalize = 'phone' }, { name = 'login', normalize = 'lowercase' }, \
         { name = 'card', normalize = 'digits' }, { name = 'id' }]\n\
             blocked = ['Kiosk', '01 23 45 67 89', 'BOT@Shop.example']",
    )
}

#[track_caller]
fn check(namespace: &str, value: &str, expected: Option<&str>) {
    let normalizer = standard();
    let normalized = normalizer.normalize(namespace, value);
    assert_eq!(normalized.as_deref(), expected, "{namespace} {value:?}");
    if let Some(expected) = expected {
        let again = normalizer.normalize(namespace, expected);
        assert_eq!(again.as_deref(), Some(expected), "twice is the same as once");
        assert!(matches!(again, Some(Cow::Borrowed(_))) || expected.contains(";ext="), "{expected} is not copied");
    }
}

#[test]
fn trims_and_blocks_in_every_namespace() {
    check("id", "  u-1\t", Some("u-1"));
    check("id", "\u{feff}u-1\u{200b}\u{a0}", Some("u-1"));
    check("id", "Ada", Some("Ada"));
    check("id", "a b", Some("a b"));
    check("not_declared", " X ", Some("X"));
    for value in ["", "  ", "null", " N/A ", "[object Object]", "000-000", "kiosk", "-1", "\u{200b}"] {
        check("id", value, None);
        check("email", value, None);
        check("not_declared", value, None);
    }
}

#[test]
fn says_why_nothing_can_be_used() {
    let normalizer = standard();
    assert_eq!(normalizer.read("it", "email: Ada@Example.com "), Ok(("email", Cow::from("ada@example.com"))));
    for (written, why) in [
        ("secret", "it has no namespace: write namespace:value"),
        (":secret", "it has no namespace"),
        ("id\n:secret", "it has no namespace"),
        ("id: ", "it, of `id`, is empty"),
        ("id:null", "it, of `id`, is blocked"),
        ("not_declared:kiosk", "it, of `not_declared`, is blocked"),
        ("email:bot@shop.example", "it, of `email`, is blocked"),
        ("phone:+33 1 23 45 67 89", "it, of `phone`, is blocked"),
        ("id:secret\nsecret", "it, of `id`, has a control character"),
        ("email:secret", "it, of `email`, is no e-mail address"),
        ("world:06 12 34 56 78", "it, of `world`, is no telephone number with a country code"),
        ("phone:secret", "it, of `phone`, is no telephone number of the namespace's `region`"),
        ("card:secret", "it, of `card`, has no digits"),
    ] {
        let refused = normalizer.read("it", written).unwrap_err();
        assert!(refused.starts_with(why) && !refused.contains("secret"), "{written}: {refused}");
    }
}

/// What tells identifiers of a set apart, or a namespace from a value, would make one identifier another's.
#[test]
fn refuses_what_could_be_taken_for_another_identifier() {
    for value in ["x\u{1f}email:ada@example.com", "a\0b", "a\u{85}b", "a\tb", "a\nb"] {
        check("id", value, None);
        check("login", value, None);
        check("not_declared", value, None);
    }
    check("card", "12\t34", Some("1234"));
    check("id", "caf\u{e9} \u{c2}", Some("caf\u{e9} \u{c2}"));
    check("ios.idfa", "x", Some("x"));
    for namespace in ["", "a:b", ":", "id:", "a\u{1f}b", "a\nb"] {
        check(namespace, "x", None);
    }
}

#[test]
fn normalizes_email() {
    check("email", "ada@example.com", Some("ada@example.com"));
    check("email", " Ada.Lovelace+News@Example.COM ", Some("ada.lovelace+news@example.com"));
    check("email", "a.d.a@gmail.com", Some("a.d.a@gmail.com"));
    check("email", "mailto:Ada@example.com?subject=Hi", Some("ada@example.com"));
    check("email", "MAILTO: ada@example.com", Some("ada@example.com"));
    check("email", "o'neil!#$%&*/=?^`{|}~@example.com", Some("o'neil!#$%&*/=?^`{|}~@example.com"));
    check("email", "ada@example.com.", Some("ada@example.com"));
    check("email", "ada@localhost", Some("ada@localhost"));
    check("email", "ada@Bücher.example", Some("ada@xn--bcher-kva.example"));
    check("email", "ada@xn--bcher-kva.example", Some("ada@xn--bcher-kva.example"));
    check("email", "ada@XN--BCHER-KVA.example", Some("ada@xn--bcher-kva.example"));
    check("email", "JOSÉ@example.com", Some("josé@example.com"));
    check("email", "ada@例え.jp", Some("ada@xn--r8jz45g.jp"));
}

#[test]
fn refuses_what_is_not_one_address() {
    for value in [
        "ada",
        "@example.com",
        "ada@",
        "ada@@example.com",
        "a@b@c",
        "ada lovelace@example.com",
        "ada@exam ple.com",
        "ada@example..com",
        "ada@.example.com",
        "a@x.com,b@y.com",
        "a@x.com; b@y.com",
        "Ada <ada@example.com>",
        "mailto:",
        "ada@xn--\u{fc}.com",
        "test@test.com",
        "TEST@Test.Com",
        "mailto:test@test.com",
        "bot@shop.example",
        "mailto:BOT@shop.example",
        "ada@.",
        "é",
    ] {
        check("email", value, None);
    }
}

#[test]
fn normalizes_phone() {
    check("phone", "06 12 34 56 78", Some("+33612345678"));
    check("phone", "+33612345678", Some("+33612345678"));
    check("phone", "0033 6.12.34.56.78", Some("+33612345678"));
    check("phone", "+33 (0)6 12 34 56 78", Some("+33612345678"));
    check("phone", "tel:+33-6-12-34-56-78", Some("+33612345678"));
    check("phone", "+1 (415) 555-2671", Some("+14155552671"));
    check("phone", "+1 415 555 2671 ext. 12", Some("+14155552671;ext=12"));
    check("phone", "+٣٣٦١٢٣٤٥٦٧٨", Some("+33612345678"));
    check("world", "+39 06 1234 5678", Some("+390612345678"));
}

#[test]
fn refuses_what_is_not_a_phone_number() {
    for value in ["n/a", "call me", "12", "00 00 00 00 00", "+33 0 00 00 00 00 00", "123456789012345678", "ada@x.com"] {
        check("phone", value, None);
    }
    check("phone", "+33123456789", None);
    check("phone", "01.23.45.67.89", None);
    // Without a region, only numbers with a country code say where they are.
    check("world", "06 12 34 56 78", None);
    // A local number is dialled in many towns.
    check("world", "+1 555 0199", None);
}

#[test]
fn normalizes_case_and_digits() {
    check("login", "AdaL", Some("adal"));
    check("login", "ÉVA", Some("éva"));
    check("login", "KIOSK", None);
    check("card", "card 12-34", Some("1234"));
    check("card", "1234", Some("1234"));
    check("card", "no 000", None);
    check("card", "none at all", None);
}

#[test]
fn can_turn_the_default_blocklist_off() {
    let open = normalizer("use_default_blocklist = false\nblocked_patterns = ['^bot-']");
    assert_eq!(open.normalize("user_id", "anonymous").as_deref(), Some("anonymous"));
    assert_eq!(open.normalize("user_id", "bot-1"), None);
    assert_eq!(open.normalize("user_id", "0").as_deref(), Some("0"));
    assert_eq!(open.normalize("user_id", " "), None);
}

#[test]
fn test_salesforce_ids_have_eighteen_letters() {
    let of = |value| comparable(Normalize::SalesforceId, None, value).map(Cow::into_owned);
    // The example of Salesforce's documentation.
    assert_eq!(of("001A0000006Vm9r").as_deref(), Some("001A0000006Vm9rIAC"));
    assert_eq!(of("001A0000006Vm9rIAC").as_deref(), Some("001A0000006Vm9rIAC"));
    // Ids that differ in case only stay two.
    assert_ne!(of("001a0000006Vm9r"), of("001A0000006Vm9r"));
    for none in ["", "001A0000006Vm9", "001A0000006Vm9-", "001A0000006Vm9rIA"] {
        assert_eq!(of(none), None, "{none:?}");
    }
}
