//! What `tessera.toml` may say, and what it is told when it is wrong.

use super::*;

/// The project of the documentation.
const EXAMPLE: &str = r#"
version = 1
[lake]
url = "s3://bucket/prefix"

[[source]]
name = "web"
format = "segment"
touchpoint = "web"
party = "first"

[[source]]
name = "crm_contacts"
format = "csv"
touchpoint = "crm"
party = "third"
key = "ContactId"
updated_at = "LastModifiedDate"
deleted = "IsDeleted"
identifiers = { crm_id = "ContactId", email = "Email", phone = ["Phone", "MobilePhone"] }
attributes = { last_name = "LastName", first_name = "FirstName" }

[[source]]
name = "shop_orders"
format = "csv"
kind = "events"
touchpoint = "pos"
event = "Order Completed"
occurred_at = "purchased_on"
identifiers = { customer_id = "customer_id" }
revenue = "amount"
currency = "USD"
properties = ["quantity"]
time_zone = "Europe/Paris"

[identity]
namespaces = [
  { name = "crm_id", unique = true },
  { name = "email", normalize = "email", limit = 5 },
  { name = "phone", normalize = "phone", region = "fr" },
  { name = "ECID" },
]
blocked = ["test@test.com"]
blocked_patterns = ['^bot-\d+$']
use_default_blocklist = false

[behavior]
session_timeout_minutes = 45

[engine]
memory_limit = "3GiB"
threads = 2

[landing]
event_bytes_max = "64KiB"
identifiers_max = 10
"#;

fn parse(text: &str) -> ProjectConfig {
    ProjectConfig::parse(text, "tessera.toml").expect("valid")
}

/// The message for `version = 1` on line 1 and `text` from line 2 on.
fn refusal(text: &str) -> String {
    ProjectConfig::parse(&format!("version = 1\n{text}"), "tessera.toml").expect_err("invalid").to_string()
}

#[test]
fn reads_every_part_of_the_example() {
    let config = parse(EXAMPLE);
    assert_eq!(config.lake_url, "s3://bucket/prefix");
    assert_eq!(config.sources.len(), 3);
    let web = config.source("web").expect("web");
    assert_eq!((web.format, web.kind, web.party), (SourceFormat::Segment, SourceKind::Events, Party::First));

    let contacts = config.source("crm_contacts").expect("crm_contacts");
    assert_eq!((contacts.kind, contacts.party), (SourceKind::Records, Party::Third));
    assert_eq!(contacts.key.as_deref(), Some("ContactId"));
    let pairs = [("crm_id", "ContactId"), ("email", "Email"), ("phone", "Phone"), ("phone", "MobilePhone")];
    assert_eq!(contacts.identifiers, pairs.map(|(namespace, column)| (namespace.to_owned(), column.to_owned())));
    assert_eq!(contacts.attributes[0].0, "last_name", "attributes keep the order of the file");

    let orders = config.source("shop_orders").expect("shop_orders");
    assert_eq!(orders.event, Some(EventName::Literal("Order Completed".into())));
    assert_eq!(orders.properties, Some(vec!["quantity".to_owned()]));
    assert_eq!(orders.time_zone.as_deref(), Some("Europe/Paris"));

    let identity = &config.identity;
    assert_eq!(identity.namespaces[0].values_max(), Some(1));
    assert_eq!(identity.namespaces[1].values_max(), Some(5));
    assert_eq!(identity.namespaces[2].region.as_deref(), Some("FR"));
    assert_eq!(
        (identity.priority_of("crm_id"), identity.priority_of("ECID"), identity.priority_of("other")),
        (1, 7, 8)
    );
    assert!(!identity.use_default_blocklist);
    assert_eq!(config.behavior.session_timeout_minutes, 45);
    assert_eq!(config.engine, EngineConfig { memory_limit: Some(3 << 30), threads: Some(2) });
    assert_eq!(config.landing, LandingConfig { event_bytes_max: 64 << 10, identifiers_max: 10 });
}

#[test]
fn fills_in_defaults() {
    let config = parse("version = 1");
    assert_eq!(config.lake_url, "lake");
    assert_eq!(config.sources, []);
    let names: Vec<&str> = config.identity.namespaces.iter().map(|namespace| namespace.name.as_str()).collect();
    assert_eq!(names, ["user_id", "email", "phone", "anonymous_id"]);
    assert!(config.identity.use_default_blocklist);
    assert_eq!(config.behavior.session_timeout_minutes, 30);
    assert_eq!(config.engine, EngineConfig::default());
    assert_eq!(config.landing, LandingConfig { event_bytes_max: 1 << 20, identifiers_max: 20 });
    let source = &parse("version = 1\n[[source]]\nname = 'a'\nformat = 'segment'").sources[0];
    assert_eq!((source.touchpoint.as_str(), source.party), ("other", Party::First));
}

#[test]
fn reports_all_problems_in_the_order_of_the_file() {
    let message = refusal("[lake]\nurl = 'http://x'\n[behaviour]\n[engine]\nthreads = 0");
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines.len(), 3, "{message}");
    assert!(lines[0].starts_with("tessera.toml:3: lake `url` begins with `http://`"), "{message}");
    assert_eq!(lines[1], "tessera.toml:4: unknown key `behaviour` at the top level; did you mean `behavior`?");
    assert!(lines[2].starts_with("tessera.toml:6: `threads` in [engine] must be a whole number from 1"), "{message}");
}

#[test]
fn says_the_line_of_a_syntax_error() {
    assert!(refusal("[lake]\nurl = lake").starts_with("tessera.toml:3: "));
    assert_eq!(refusal("[lake]\nurl = 'a'\nurl = 'b'"), "tessera.toml:4: duplicate key `url`; keep one of them");
}

#[test]
fn refuses_other_versions() {
    let refused = |text: &str| ProjectConfig::parse(text, "tessera.toml").expect_err("invalid").to_string();
    assert!(refused("").starts_with("tessera.toml:1: `version` is missing"));
    assert!(refused("\nversion = 2").starts_with("tessera.toml:2: this engine reads `version = 1` only"));
    assert!(refused("version = '1'").starts_with("tessera.toml:1: this engine reads"));
}

/// Each text follows `version = 1`; the message must begin with the line and hold the words.
#[test]
fn refuses_wrong_sources() {
    let csv = "[[source]]\nname = 'a'\nformat = 'csv'";
    let record = format!("{csv}\nkey = 'k'\nidentifiers = {{ email = 'e' }}");
    let event = format!("{csv}\nkind = 'events'\nevent = 'E'\noccurred_at = 't'\nidentifiers = {{ email = 'e' }}");
    let segment = "[[source]]\nname = 'a'\nformat = 'segment'";
    let cases = [
        ("[source]\nname = 'a'".to_owned(), 2, "with double brackets"),
        ("[[source]]\nformat = 'segment'".into(), 2, "[[source]] has no `name`"),
        ("[[source]]\nname = 3\nformat = 'segment'".into(), 3, "`name` in [[source]] must be a string, not: integer"),
        ("[[source]]\nname = 'Web shop'\nformat = 'segment'".into(), 3, "source name `Web shop` may hold only"),
        (format!("{segment}\n{segment}"), 6, "source name `a` is used twice"),
        (
            format!("{segment}\ntouchpont = 'web'"),
            5,
            "unknown key `touchpont` in source `a`; did you mean `touchpoint`?",
        ),
        (format!("{segment}\ntouchpoint = 'The web'"), 5, "touchpoint `The web` may hold only"),
        (
            format!("{segment}\nparty = 'second'"),
            5,
            "`party = \"second\"` in source `a` is not known; known: `first`, `third`",
        ),
        (format!("{segment}\nkind = 'records'"), 5, "always holds events; remove `kind`"),
        (format!("{segment}\nidentifiers = {{ email = 'e' }}"), 5, "reads this from the payload"),
        ("[[source]]\nname = 'a'".into(), 2, "source `a` has no `format`"),
        ("[[source]]\nname = 'a'\nformat = 'cvs'".into(), 4, "did you mean `csv`?"),
        (format!("{csv}\nidentifiers = {{ email = 'e' }}"), 2, "source `a` has no `key`"),
        (format!("{csv}\nkey = 'k'"), 2, "source `a` has no `identifiers`"),
        (format!("{csv}\nkey = 'k'\nidentifiers = {{}}"), 6, "is empty"),
        (
            format!("{csv}\nkey = 'k'\nidentifiers = {{ emial = 'e' }}"),
            6,
            "namespace `emial` is not declared in [identity]; did you mean `email`?",
        ),
        (format!("{csv}\nkey = 'k'\nidentifiers = {{ 'a:b' = 'e' }}"), 6, "namespace name `a:b` may hold only"),
        (format!("{csv}\nkey = 'k'\nidentifiers = {{ email = ['e', 'e'] }}"), 6, "names column `e` twice"),
        (format!("{csv}\nkey = 'k'\nidentifiers = {{ email = 1 }}"), 6, "must be a string"),
        (format!("{csv}\nkey = ' '\nidentifiers = {{ email = 'e' }}"), 5, "must not be blank"),
        (
            format!("{record}\nrevenue = 'amount'"),
            7,
            "`revenue` in source `a`: only events have it; add `kind = \"events\"`",
        ),
        (format!("{record}\nkeep_links = 'yes'"), 7, "must be `true` or `false`"),
        (format!("{record}\ntime_zone = 'Europe/Pariss'"), 7, "did you mean `Europe/Paris`?"),
        (format!("{record}\ntime_zone = 'CEST2000'"), 7, "is not a known time zone"),
        (format!("{csv}\nkind = 'events'\noccurred_at = 't'\nidentifiers = {{ email = 'e' }}"), 2, "has no `event`"),
        (format!("{csv}\nkind = 'events'\nevent = 'E'\nidentifiers = {{ email = 'e' }}"), 2, "has no `occurred_at`"),
        (format!("{event}\nkey = 'k'"), 9, "`key` in source `a`: only records have it"),
        (format!("{event}\nattributes = {{ a = 'k' }}"), 9, "only records have it"),
        (format!("{event}\ncurrency = 'USD'"), 9, "has no `revenue` to go with"),
        (format!("{event}\nproperties = ['q', 'q']"), 9, "names `q` twice"),
        (format!("{event}\nproperties = 'q'"), 9, "must be a list of strings"),
        (
            format!(
                "{csv}\nkind = 'events'\nevent = {{ colum = 'E' }}\noccurred_at = 't'\nidentifiers = {{ email = 'e' }}"
            ),
            6,
            "did you mean `column`?",
        ),
    ];
    for (text, line, words) in cases {
        let message = refusal(&text);
        assert!(
            message.starts_with(&format!("tessera.toml:{line}: ")) && message.contains(words),
            "{text}\n--> {message}"
        );
    }
}

#[test]
fn refuses_wrong_identity() {
    let cases = [
        ("namespaces = []", "is empty"),
        ("namespaces = 'email'", "must be a list of tables"),
        ("namespaces = ['email']", "each entry of `namespaces` must be a table"),
        ("namespaces = [{ unique = true }]", "has no `name`"),
        ("namespaces = [{ name = 'a:b' }]", "namespace name `a:b` may hold only"),
        ("namespaces = [{ name = 'a' }, { name = 'a' }]", "namespace `a` is declared twice"),
        ("namespaces = [{ name = 'a', uniq = true }]", "did you mean `unique`?"),
        ("namespaces = [{ name = 'a', unique = true, limit = 2 }]", "both `unique = true` and `limit`"),
        ("namespaces = [{ name = 'a', limit = 0 }]", "must be a whole number from 1"),
        ("namespaces = [{ name = 'a', normalize = 'e-mail' }]", "did you mean `email`?"),
        ("namespaces = [{ name = 'a', region = 'FR' }]", "which only phone numbers use"),
        ("namespaces = [{ name = 'a', normalize = 'phone', region = 'QQ' }]", "two-letter country code"),
        ("namespaces = [{ name = 'a', normalize = 'phone', region = 'FRA' }]", "two-letter country code"),
        ("blocked = ['']", "must not be blank"),
        ("blocked_patterns = ['(']", "is not a regular expression (unclosed group)"),
        ("use_default_blocklist = 1", "must be `true` or `false`"),
        ("blacklist = []", "unknown key `blacklist`"),
    ];
    for (text, words) in cases {
        let message = refusal(&format!("[identity]\n{text}"));
        assert!(message.starts_with("tessera.toml:3: ") && message.contains(words), "{text}\n--> {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn checks_lake_urls() {
    for good in ["lake", "/data/lake", "file:///data/lake", "s3://b", "s3://b/p/q"] {
        assert_eq!(parse(&format!("version = 1\n[lake]\nurl = '{good}'")).lake_url, good);
    }
    for bad in [
        "http://b",
        "https://b/p",
        "gs://b/p",
        "s3://",
        "s3:///p",
        "file://lake",
        "s3://key:secret@b/p",
        "s3://b/p?x=1",
    ] {
        let message = refusal(&format!("[lake]\nurl = '{bad}'"));
        assert!(message.starts_with("tessera.toml:3: lake `url"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn reads_sizes() {
    for (text, bytes) in
        [("3GiB", 3 << 30), ("1.5 GiB", 3 << 29), ("512 mib", 512 << 20), ("2GB", 2_000_000_000), ("7", 7)]
    {
        assert_eq!(parse_byte_size(text).expect("a size"), bytes);
    }
    for text in ["", "GiB", "3 GiBs", "-1", "0", "99999999999TiB", "1.2.3MB"] {
        assert!(parse_byte_size(text).is_err(), "{text}");
    }
    assert!(refusal("[engine]\nmemory_limit = 'lots'").contains("`memory_limit` in [engine] must be a size"));
    assert!(refusal("[landing]\nevent_bytes_max = '1GiB'").contains("at most 64MiB"));
    assert!(refusal("[behavior]\nsession_timeout_minutes = 0").contains("from 1 to 1440"));
}

#[test]
fn names_the_nearest_source() {
    let error = parse(EXAMPLE).source("shop_order").expect_err("unknown");
    assert!(
        error.to_string().starts_with("tessera.toml has no source `shop_order` (did you mean `shop_orders`?)"),
        "{error}"
    );
}

#[test]
fn reads_attributes() {
    let config = parse(
        "version = 1\n[[source]]\nname = 'a'\nformat = 'segment'\n[[attribute]]\nname = 'country'\nrule = 'source_order'\n\
         sources = ['a']\ntrust_third_party = true\nnormalize = 'country'\n[[attribute]]\nname = 'born_on'\nnormalize = 'date'\n\
         date_order = 'day_first'\n[[attribute]]\nname = 'plan'",
    );
    let [country, born_on, plan] = config.attributes.as_slice() else { panic!("{:?}", config.attributes) };
    assert_eq!((country.rule, country.form), (SurvivorRule::SourceOrder, AttributeForm::Country));
    assert_eq!((country.sources.as_slice(), country.trust_third_party), (["a".to_owned()].as_slice(), true));
    assert_eq!(born_on.form, AttributeForm::Date(Some(DateOrder::DayFirst)));
    assert_eq!(*plan, Attribute::new("plan"));
}

#[test]
fn refuses_wrong_attributes() {
    let cases = [
        ("[attribute]\nname = 'a'", 2, "with double brackets"),
        ("[[attribute]]\nrule = 'first'", 2, "[[attribute]] has no `name`"),
        ("[serve]\nexport_to = ['s3://bucket/exports']", 3, "ending with `/`"),
        ("[serve]\nexport_to = ['s3://key:SECRET@bucket/']", 3, "holds credentials or parameters"),
        ("[serve]\nexport_to = ['s3://bucket/?sig=SECRET']", 3, "holds credentials or parameters"),
        ("[serve]\ntraces_to = 'https://user:SECRET@host'", 3, "holds credentials or parameters"),
        ("[serve]\ntraces_to = 'https://host'", 3, "must begin with `http://`"),
        ("[serve]\naddress = '127.0.0.1:80'\nhttp_address = '127.0.0.1:80'", 4, "are the same"),
        ("[[schedule]]\nname = 'never'\ncron = '0 0 31 2 *'", 4, "never comes"),
        ("[[consent]]\npurpose = 'Email'", 3, "purpose `Email` is not in snake case"),
        ("[[consent]]\ngranted = ['newsletter']", 2, "no `purpose`"),
        ("[[consent]]\npurpose = 'email'\n[[consent]]\npurpose = 'email'", 5, "declared twice"),
        ("[[consent]]\npurpose = 'email'\ngranted = ['a', 'b', 'a']", 4, "names `a` twice"),
        ("[[consent]]\npurpose = 'email'\ngranted = ['a']\nwithdrawn = ['a']", 5, "both granted and withdrawn"),
        ("[[consent]]\npurpose = 'email'\ngrant = ['a']", 4, "`granted`"),
        ("[[attribute]]\nname = 'firstName'", 3, "is not in snake case"),
        ("[[attribute]]\nname = 'a'\n[[attribute]]\nname = 'a'", 5, "attribute `a` is declared twice"),
        ("[[attribute]]\nname = 'a'\nrule = 'latests'", 4, "did you mean `latest`?"),
        ("[[attribute]]\nname = 'a'\nnormalise = 'date'", 4, "did you mean `normalize`?"),
        ("[[attribute]]\nname = 'a'\nrule = 'source_order'", 4, "need each other"),
        ("[[attribute]]\nname = 'a'\nsources = []", 4, "need each other"),
        ("[[attribute]]\nname = 'a'\nrule = 'source_order'\nsources = ['crm']", 5, "names `crm`, which is no source"),
        ("[[attribute]]\nname = 'a'\ndate_order = 'day_first'", 4, "needs `normalize = \"date\"`"),
        ("[[attribute]]\nname = 'a'\nseparator = '; '", 4, "must be one sign"),
        ("[[attribute]]\nname = 'a'\nseparator = \"'\"", 4, "must be one sign"),
        ("[[attribute]]\nname = 'a'\ntrust_third_party = 1", 4, "must be `true` or `false`"),
    ];
    for (text, line, words) in cases {
        let message = refusal(text);
        assert!(message.starts_with(&format!("tessera.toml:{line}: ")) && message.contains(words), "{text}: {message}");
    }
}

#[test]
fn every_preset_is_a_valid_source() {
    for (name, text) in preset::PRESETS {
        let preset = parse(&format!("version = 1\n{text}")).sources.remove(0);
        let source = parse(&format!("version = 1\n[[source]]\nname = 'a'\npreset = '{name}'\nparty = 'third'"))
            .sources
            .remove(0);
        assert_eq!((source.name.as_str(), source.party), ("a", Party::Third));
        assert_eq!((&source.identifiers, &source.attributes), (&preset.identifiers, &preset.attributes), "{name}");
        assert!(source.loose_columns.len() >= source.identifiers.len(), "{name}");
    }
    let orders = "[[source]]\nname = 'a'\npreset = 'shopify_orders'";
    for (key, value) in [("kind", "records"), ("format", "parquet"), ("format", "segment")] {
        let message = refusal(&format!("{orders}\n{key} = '{value}'"));
        assert!(message.contains(&format!(":5: source `a`: its preset cannot read this `{key}`")), "{message}");
    }
    assert!(refusal("[[source]]\nname = 'a'\npreset = 'shopify_order'").contains("did you mean `shopify_orders`?"));
}

#[test]
fn consents_of_presets_give_way_to_the_projects_own() {
    let config =
        parse("version = 1\n[[consent]]\npurpose = 'email'\ngranted = ['newsletter']\n[[consent]]\npurpose = 'ads'");
    let told: Vec<(&str, usize, usize)> = config
        .consents
        .iter()
        .map(|consent| (consent.purpose.as_str(), consent.granted.len(), consent.withdrawn.len()))
        .collect();
    assert_eq!(told, [("email", 1, 0), ("ads", 0, 0), ("sms", 1, 0), ("phone", 0, 1)]);
}

#[test]
fn test_cookies_are_less_trusted_than_anything_else_wherever_they_stand() {
    let namespaces = "[{ name = 'anonymous_id' }, { name = 'user_id', unique = true }, { name = 'tv', cookie = true }, { name = 'email', limit = 2 }]";
    let identity = parse(&format!("version = 1\n[identity]\nnamespaces = {namespaces}\n")).identity;
    let mut by_trust = ["tv", "email", "loyalty", "anonymous_id", "user_id"];
    by_trust.sort_by_key(|name| identity.priority_of(name));
    assert_eq!(by_trust, ["user_id", "email", "loyalty", "anonymous_id", "tv"]);
    for name in ["tv", "email", "anonymous_id", "user_id"] {
        assert_eq!(identity.with_rank(identity.priority_of(name)).unwrap().name, name);
    }
    assert_eq!(identity.with_rank(identity.priority_of("loyalty")), None);

    let namespaces = "[{ name = 'anonymous_id', cookie = false }, { name = 'user_id' }]";
    let identity = parse(&format!("version = 1\n[identity]\nnamespaces = {namespaces}\n")).identity;
    assert!(identity.priority_of("anonymous_id") < identity.priority_of("user_id"));
    assert!(identity.priority_of("user_id") < identity.priority_of("loyalty"));
    assert_eq!(identity.with_rank(identity.priority_of("loyalty")), None);
}

#[test]
fn test_an_anonymous_id_that_is_not_declared_is_the_last_of_the_cookies() {
    for namespaces in ["[{ name = 'email' }]", "[{ name = 'tv', cookie = true }, { name = 'email' }]"] {
        let identity = parse(&format!("version = 1\n[identity]\nnamespaces = {namespaces}\n")).identity;
        let mut by_trust = ["anonymous_id", "tv", "loyalty", "email"];
        by_trust.sort_by_key(|name| identity.priority_of(name));
        let expected = if namespaces.contains("tv") {
            ["email", "loyalty", "tv", "anonymous_id"]
        } else {
            ["email", "tv", "loyalty", "anonymous_id"] // the two in the middle are equals
        };
        assert_eq!(by_trust, expected);
        assert_eq!(identity.with_rank(identity.priority_of("anonymous_id")), None);
    }
}

#[test]
fn test_a_cookie_moves_no_rank_of_what_is_no_cookie() {
    let rank = |namespaces: &str, name: &str| {
        parse(&format!("version = 1\n[identity]\nnamespaces = {namespaces}\n")).identity.priority_of(name)
    };
    for name in ["user_id", "email", "loyalty"] {
        let without = rank("[{ name = 'user_id' }, { name = 'email' }]", name);
        let with = rank("[{ name = 'user_id' }, { name = 'tv', cookie = true }, { name = 'email' }]", name);
        assert_eq!(without, with, "{name}");
    }
}
