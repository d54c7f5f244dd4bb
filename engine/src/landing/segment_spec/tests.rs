//! Calls as real SDKs send them, and what is read from them.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, TimestampMicrosecondType};

use super::*;
use crate::landing::row_id::Numbering;

struct Parsed {
    rows: RecordBatch,
    reasons: Vec<String>,
}

fn parse(line: &str) -> Parsed {
    let parser = SegmentParser {
        event_bytes_max: 1 << 20,
        identifiers: IdentifierRules {
            max: 20,
            judge: std::sync::Arc::new(|pairs| Ok(pairs.len())),
            salesforce_namespaces: Vec::new(),
        },
    };
    let mut take_part = |_| panic!("a line of a test is one part");
    let (mut events, mut quarantine) = (EventsBuilder::new("web", 0, &mut take_part), QuarantineBuilder::default());
    parser.parse_line(1, line, &mut events, &mut quarantine);
    let (quarantined, _) = quarantine.finish("web", "f", 0).unwrap();
    let reasons = quarantined.column_by_name("reason").unwrap().as_string::<i32>();
    Parsed {
        rows: Numbering::default().number("web", events.finish().unwrap()).unwrap(),
        reasons: reasons.iter().flatten().map(str::to_owned).collect(),
    }
}

impl Parsed {
    fn text(&self, column: &str, row: usize) -> Option<&str> {
        let column = self.rows.column_by_name(column).unwrap().as_string::<i32>();
        column.is_valid(row).then(|| column.value(row))
    }

    fn time(&self, column: &str, row: usize) -> Option<i64> {
        let column = self.rows.column_by_name(column).unwrap().as_primitive::<TimestampMicrosecondType>();
        column.is_valid(row).then(|| column.value(row))
    }

    fn revenue(&self, row: usize) -> Option<i128> {
        let column = self.rows.column_by_name("revenue").unwrap().as_primitive::<Decimal128Type>();
        column.is_valid(row).then(|| column.value(row))
    }

    fn pairs(&self, column: &str, row: usize) -> String {
        let pairs = self.rows.column_by_name(column).unwrap().as_list::<i32>().value(row);
        let (names, values) =
            (pairs.as_struct().column(0).as_string::<i32>(), pairs.as_struct().column(1).as_string::<i32>());
        names
            .iter()
            .zip(values)
            .map(|(name, value)| format!("{}:{}", name.unwrap(), value.unwrap()))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn at(text: &str) -> Option<i64> {
    Some(parse_time(text, Tz::UTC).unwrap())
}

fn reason_of(line: &str) -> String {
    let parsed = parse(line);
    assert_eq!((parsed.rows.num_rows(), parsed.reasons.len()), (0, 1), "{line}");
    parsed.reasons[0].clone()
}

/// As the Python SDK of Segment sends it.
const PYTHON_BATCH: &str = r#"{"batch":[{"integrations":{},"anonymousId":null,"timestamp":"2026-11-23T14:04:38.374+00:00","context":{"library":{"name":"analytics-python","version":"2.4.0"}},"type":"identify","userId":"user_1","traits":{"email":"Ada@Example.com","plan":"pro","age":36,"createdAt":"2026-01-02T03:04:05"},"messageId":"2347d105-49d6-4608-a3c5-1cdc7fb85e82"},{"integrations":{},"anonymousId":null,"properties":{"order_id":"o-1","revenue":39.9,"currency":"EUR","products":[{"product_id":"p1","sku":"S1","price":19.95,"quantity":2}]},"timestamp":"2026-01-02T03:04:05.000+00:00","context":{"ip":"203.0.113.7","library":{"name":"analytics-python","version":"2.4.0"}},"userId":"user_1","type":"track","event":"Order Completed","messageId":"3b2f18b1-fce7-4c28-95c2-add59989ccaf"},{"integrations":{},"anonymousId":null,"properties":{"url":"https://example.com/docs","path":"/docs"},"timestamp":"2026-11-23T14:04:38.375+00:00","category":"Docs","context":{},"userId":"user_1","type":"page","name":"Install","messageId":"7d98b65b"},{"integrations":{},"anonymousId":null,"timestamp":"2026-11-23T14:04:38.375+00:00","groupId":"acme","context":{},"userId":"user_1","traits":{"name":"Acme","employees":42},"type":"group","messageId":"c57abf4e"},{"integrations":{},"previousId":"anon_9","timestamp":"2026-11-23T14:04:38.375+00:00","context":{},"userId":"user_1","type":"alias","messageId":"70a0a625","anonymousId":null}],"sentAt":"2026-11-23T14:04:38.875145+00:00","writeKey":"WRITEKEY"}"#;

#[test]
fn test_segment_batch_of_a_server_sdk() {
    let parsed = parse(PYTHON_BATCH);
    assert_eq!(parsed.reasons, Vec::<String>::new());
    assert_eq!(parsed.rows.num_rows(), 5);
    let names: Vec<_> = (0..5).map(|row| parsed.text("event_name", row).unwrap()).collect();
    assert_eq!(names, ["Identified", "Order Completed", "Page Viewed", "Grouped", "Aliased"]);
    assert_eq!(parsed.text("event_id", 0), Some("2347d105-49d6-4608-a3c5-1cdc7fb85e82"));
    assert_eq!(parsed.pairs("identifiers", 0), "user_id:user_1 email:Ada@Example.com");
    assert_eq!(parsed.pairs("attributes", 0), "age:36 createdAt:2026-01-02T03:04:05 email:Ada@Example.com plan:pro");
    assert_eq!(parsed.text("properties", 0), None);
    assert_eq!((parsed.revenue(1), parsed.text("currency", 1)), (Some(399_000), Some("EUR")));
    assert_eq!(parsed.time("occurred_at", 1), at("2026-01-02T03:04:05Z"));
    assert_eq!(parsed.pairs("attributes", 1), "");
    assert_eq!((parsed.text("page_path", 2), parsed.text("page_title", 2)), (Some("/docs"), Some("Install")));
    assert_eq!(
        parsed.text("properties", 2),
        Some(r#"{"url":"https://example.com/docs","path":"/docs","name":"Install","category":"Docs"}"#)
    );
    assert_eq!(parsed.text("properties", 3), Some(r#"{"groupId":"acme","name":"Acme","employees":42}"#));
    assert_eq!(parsed.pairs("identifiers", 3), "user_id:user_1");
    assert_eq!(parsed.pairs("identifiers", 4), "user_id:user_1 anonymous_id:anon_9");
}

#[test]
fn test_segment_pages_keep_their_name_and_category_among_the_properties() {
    let properties = |fields: &str| {
        let parsed = parse(&format!(r#"{{{fields},"userId":"u","timestamp":"2026-01-02"}}"#));
        assert_eq!(parsed.rows.num_rows(), 1, "{fields}");
        parsed.text("properties", 0).map(str::to_owned)
    };
    let told = r#""name":"Install","category":"Docs""#;
    let cases = [
        // As it is written: the order, the blanks, the digits.
        (
            r#"{"z": 1.50, "title":"T", "a":1e2 }"#,
            r#"{"z": 1.50, "title":"T", "a":1e2,"name":"Install","category":"Docs"}"#,
        ),
        (r#"{"n\u0061me":"Own"}"#, r#"{"n\u0061me":"Own","category":"Docs"}"#),
        (r#"{"name":null,"category":"Own"}"#, r#"{"name":null,"category":"Own"}"#),
        ("{}", r#"{"name":"Install","category":"Docs"}"#),
        ("[]", r#"{"name":"Install","category":"Docs"}"#),
        ("null", r#"{"name":"Install","category":"Docs"}"#),
    ];
    for (own, expected) in cases {
        for kind in ["page", "screen"] {
            let properties = properties(&format!(r#""type":"{kind}",{told},"properties":{own}"#));
            assert_eq!(properties.as_deref(), Some(expected), "{kind} {own}");
        }
    }
    let nothing = r#""type":"page","name":" ","category":null"#;
    assert_eq!(properties(nothing), None);
    assert_eq!(properties(&format!(r#"{nothing},"properties":{{"a":1}}"#)).as_deref(), Some(r#"{"a":1}"#));
    let track = format!(r#""type":"track","event":"Seen",{told},"properties":{{"a":1}}"#);
    assert_eq!(properties(&track).as_deref(), Some(r#"{"a":1}"#));
}

#[test]
fn test_segment_parts_that_are_no_objects_are_refused() {
    let line = |kind: &str, key: &str, value: &str| {
        format!(r#"{{"type":"{kind}","event":"Seen","userId":"u","timestamp":"2026-01-02","{key}":{value}}}"#)
    };
    for kind in ["track", "page", "screen", "identify", "group", "alias"] {
        for key in ["context", "properties", "traits"] {
            for lost in [r#""ada@example.com""#, "[1]", "7", "true", "false"] {
                assert_eq!(reason_of(&line(kind, key, lost)), "not_an_object");
            }
            for nothing in ["{}", "null", "[]", "[ ]", r#""""#, r#"" ""#] {
                assert_eq!(parse(&line(kind, key, nothing)).rows.num_rows(), 1, "{kind} {key} {nothing}");
            }
        }
    }
    let detail = check_part("traits", Some(r#""ada@example.com""#)).unwrap_err().detail;
    assert_eq!(detail, "`traits` is no object; send one, or leave the key out");
    // Of a batch, it would be lost to all calls.
    let good = line("page", "context", "{}");
    assert_eq!(reason_of(&format!(r#"{{"context":"oops","batch":[{good},{good}]}}"#)), "not_an_object");
    let parsed = parse(&format!(r#"{{"context":[],"batch":[{good},{}]}}"#, line("page", "traits", "[1]")));
    assert_eq!((parsed.rows.num_rows(), parsed.reasons.len()), (1, 1));
}

#[test]
fn test_segment_browser_call_has_page_and_campaign() {
    let parsed = parse(
        r#"{"timestamp":"2026-11-23T14:08:54.060Z","integrations":{"Segment.io":true},"type":"track","event":"Viewed","properties":{},"context":{"page":{"path":"/static/a.html","referrer":"","title":"Seg page","url":"http://shop.example/static/a.html?utm_source=x&utm_medium=mail%20a&utm_campaign=c"},"campaign":{"source":"news"},"externalIds":[{"id":"dev-1","type":"ios.idfa"},{"id":null,"type":"x"},7]},"messageId":"ajs-next-1","userId":"","anonymousId":"5f101505","sentAt":"2026-11-23T14:08:54.062Z"}"#,
    );
    assert_eq!(parsed.pairs("identifiers", 0), "anonymous_id:5f101505 ios.idfa:dev-1");
    assert_eq!(
        (parsed.text("page_path", 0), parsed.text("page_title", 0), parsed.text("referrer", 0)),
        (Some("/static/a.html"), Some("Seg page"), None)
    );
    let utm = ["utm_source", "utm_medium", "utm_campaign"].map(|column| parsed.text(column, 0));
    assert_eq!(utm, [Some("news"), Some("mail a"), Some("c")]);
    assert_eq!(parsed.time("occurred_at", 0), at("2026-11-23T14:08:54.060Z"));
    assert_eq!(parsed.time("received_at", 0), at("2026-11-23T14:08:54.062Z"));
}

#[test]
fn test_segment_group_of_rudder_tells_the_persons_traits_in_the_context() {
    let parsed = parse(
        r#"{"type":"group","groupId":"acme","traits":{"name":"Acme","email":"info@acme.example"},"context":{"traits":{"email":"Ada@Example.com","plan":"pro"}},"originalTimestamp":"2026-11-23T14:08:59.118Z","userId":"user_1","anonymousId":"a1","messageId":"m"}"#,
    );
    assert_eq!(parsed.pairs("identifiers", 0), "user_id:user_1 anonymous_id:a1 email:Ada@Example.com");
}

#[test]
fn test_segment_identify_merges_traits_over_those_of_the_context() {
    let parsed = parse(
        r#"{"type":"identify","userId":12,"traits":{"email":"new@x.y","plan":null,"tags":["a"]},"context":{"traits":{"email":"old@x.y","phone":"+33 1","plan":"pro","vip":true}},"timestamp":"2026-01-02T03:04:05Z"}"#,
    );
    assert_eq!(parsed.pairs("identifiers", 0), "user_id:12 email:new@x.y phone:+33 1");
    assert_eq!(parsed.pairs("attributes", 0), r#"email:new@x.y phone:+33 1 tags:["a"] vip:true"#);
}

#[test]
fn test_segment_alias_of_itself_adds_no_identifier() {
    let parsed = parse(
        r#"{"type":"alias","userId":"user_1","previousId":"user_1","anonymousId":"5f10","timestamp":"2026-01-02T03:04:05Z"}"#,
    );
    assert_eq!(parsed.pairs("identifiers", 0), "user_id:user_1 anonymous_id:5f10");
}

#[test]
fn test_segment_time_is_corrected_by_the_skew_of_the_client() {
    let time = |fields: &str| parse(&format!(r#"{{"type":"page","userId":"u",{fields}}}"#)).time("occurred_at", 0);
    let (t, s, r) = (
        r#""timestamp":"2026-01-01T10:00:00Z""#,
        r#""sentAt":"2026-01-01T10:00:05Z""#,
        r#""receivedAt":"2026-01-01T12:00:05Z""#,
    );
    let o = r#""originalTimestamp":"2026-01-01T09:00:00Z""#;
    assert_eq!(time(t), at("2026-01-01T10:00:00Z"));
    assert_eq!(time(&format!("{t},{s}")), at("2026-01-01T10:00:00Z"));
    assert_eq!(time(&format!("{t},{r}")), at("2026-01-01T10:00:00Z"));
    assert_eq!(time(&format!("{t},{s},{r}")), at("2026-01-01T12:00:00Z"));
    assert_eq!(time(&format!("{t},{o},{s},{r}")), at("2026-01-01T10:00:00Z"));
    assert_eq!(time(&format!("{o},{s},{r}")), at("2026-01-01T11:00:00Z"));
    assert_eq!(time(s), at("2026-01-01T10:00:05Z"));
    assert_eq!(time(&format!("{r},{s}")), at("2026-01-01T12:00:05Z"));
    assert_eq!(time(&format!(r#"{t},"sentAt":"soon",{r}"#)), at("2026-01-01T10:00:00Z"));
    assert_eq!(time(r#""timestamp":1767261600000"#), at("2026-01-01T10:00:00Z"));
}

#[test]
fn test_segment_batch_tells_its_times_and_context_to_its_calls() {
    let parsed = parse(
        r#"{"timestamp":"2026-11-23T14:04:50.625Z","sentAt":"2026-01-01T10:00:05Z","receivedAt":"2026-01-01T12:00:05Z","context":{"ip":"1","app":{"name":"a"}},"batch":[
        {"type":"page","userId":"u","timestamp":"2026-01-01T10:00:00Z","context":{"ip":"2"}},{"type":"page","userId":"u","originalTimestamp":"2026-01-01T10:00:00Z","sentAt":"2026-01-01T10:00:06Z"}]}"#,
    );
    assert_eq!(parsed.time("occurred_at", 0), at("2026-01-01T12:00:00Z"));
    assert_eq!(parsed.time("occurred_at", 1), at("2026-01-01T11:59:59Z"));
    assert_eq!(parsed.text("context", 0), Some(r#"{"app":{"name":"a"},"ip":"2"}"#));
    assert_eq!(parsed.text("context", 1), Some(r#"{"ip":"1","app":{"name":"a"}}"#));
}

#[test]
fn test_segment_revenue_hides_under_three_names_for_orders_only() {
    let revenue = |event: &str, properties: &str| {
        let line = format!(
            r#"{{"type":"track","event":"{event}","userId":"u","timestamp":"2026-01-02","properties":{properties}}}"#
        );
        let parsed = parse(&line);
        assert_eq!(parsed.rows.num_rows(), 1);
        parsed.revenue(0)
    };
    assert_eq!(revenue("Order Completed", r#"{"revenue":"1.5","total":2}"#), Some(15_000));
    assert_eq!(revenue("Order Completed", r#"{"total":2,"value":3}"#), Some(20_000));
    assert_eq!(revenue("Order Updated", r#"{"revenue":null,"value":3}"#), Some(30_000));
    assert_eq!(revenue("Viewed", r#"{"total":2}"#), None);
    assert_eq!(revenue("Viewed", r#"{"revenue":2}"#), Some(20_000));
    assert_eq!(revenue("Order Completed", r#"{"revenue":"free"}"#), None);
    assert_eq!(revenue("Order Completed", r#"{"revenue":{"a":1}}"#), None);
    assert_eq!(revenue("Order Completed", "[]"), None);
}

#[test]
fn test_segment_calls_without_id_are_known_by_their_content() {
    let call = r#"{"type":"page","userId":"u","timestamp":"2026-01-02"}"#;
    let parsed = parse(&format!(r#"{{"batch":[{call},{call}]}}"#));
    let hex = blake3::hash(call.as_bytes()).to_hex();
    assert_eq!(parsed.text("event_id", 0), Some(format!("{}-0", &hex[..32]).as_str()));
    assert_eq!(parsed.text("event_id", 1), Some(format!("{}-1", &hex[..32]).as_str()));
}

#[test]
fn test_segment_calls_without_id_and_time_are_known_by_the_batch_too() {
    let ids = |sent_at: &str, call: &str| {
        let parsed = parse(&format!(r#"{{"sentAt":"{sent_at}","batch":[{call},{call}]}}"#));
        [0, 1].map(|row| parsed.text("event_id", row).unwrap().to_owned())
    };
    let call = r#"{"type":"track","event":"Opened","userId":"u"}"#;
    let first = ids("2026-01-02T03:04:05Z", call);
    assert_ne!(first[0], first[1]);
    assert_eq!(first, ids("2026-01-02T03:04:05Z", call), "the same batch again");
    assert_ne!(first, ids("2026-01-03T03:04:05Z", call), "another day");
    let timed = r#"{"type":"track","event":"Opened","userId":"u","timestamp":"2026-01-02"}"#;
    assert_eq!(ids("2026-01-02T03:04:05Z", timed), ids("2026-01-03T03:04:05Z", timed), "sent again");
    let received = |at: &str| {
        let parsed = parse(&format!(r#"{{"receivedAt":"{at}","batch":[{call}]}}"#));
        parsed.text("event_id", 0).unwrap().to_owned()
    };
    assert_ne!(received("2026-01-02T03:04:05Z"), received("2026-01-03T03:04:05Z"));
}

#[test]
fn test_segment_bad_element_is_refused_alone() {
    let good = r#"{"type":"page","userId":"u","timestamp":"2026-01-02"}"#;
    let parsed = parse(&format!(r#"{{"batch":[7,{good},{{"type":"x"}},null,{good}]}}"#));
    assert_eq!(parsed.rows.num_rows(), 2);
    assert_eq!(parsed.reasons, ["not_an_object", "unknown_type", "not_an_object"]);
}

#[test]
fn test_segment_reasons() {
    assert_eq!(reason_of("null"), "not_an_object");
    assert_eq!(reason_of("{"), "not_json");
    assert_eq!(reason_of(r#"{"type":"page","userId":"u","properties":{"a":tru}}"#), "not_json");
    assert_eq!(
        reason_of(&format!(r#"{{"type":"page","properties":{{"a":{}{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000))),
        "not_json"
    );
    assert_eq!(reason_of(r#"{"userId":"u"}"#), "unknown_type");
    assert_eq!(reason_of(r#"{"type":"Track","userId":"u"}"#), "unknown_type");
    assert_eq!(reason_of(r#"{"type":"track","event":" ","userId":"u"}"#), "no_event_name");
    assert_eq!(
        reason_of(r#"{"type":"page","userId":"","anonymousId":null,"timestamp":"2026-01-02"}"#),
        "no_identifier"
    );
    assert_eq!(reason_of(r#"{"type":"page","userId":"u"}"#), "no_time");
    assert_eq!(reason_of(r#"{"type":"page","userId":"u","timestamp":"yesterday"}"#), "bad_time");
    assert_eq!(reason_of(r#"{"type":"page","userId":"u","timestamp":{}}"#), "bad_time");
    assert_eq!(reason_of(r#"{"type":"page","userId":"u","timestamp":"1969-12-31T23:59:59Z"}"#), "impossible_time");
    assert_eq!(reason_of(r#"{"type":"page","userId":"u","timestamp":"2100-01-01"}"#), "impossible_time");
    assert_eq!(reason_of(r#"{"batch":{}}"#), "not_an_object");
    assert_eq!(reason_of(&format!(r#"{{"batch":[{}1]}}"#, "1,".repeat(65_535))), "batch_too_large");
    let ids: Vec<String> = (0..20).map(|n| format!(r#"{{"type":"t","id":{n}}}"#)).collect();
    let line = format!(
        r#"{{"type":"page","userId":"u","timestamp":"2026-01-02","context":{{"externalIds":[{}]}}}}"#,
        ids.join(",")
    );
    assert_eq!(reason_of(&line), "too_many_identifiers");
}

#[test]
fn test_url_path_needs_no_whole_parser() {
    let cases = [
        ("https://example.com/docs?x=/y#z", Some("/docs")),
        ("https://example.com", Some("/")),
        ("https://example.com?x=/y", Some("/")),
        ("/docs#top", Some("/docs")),
        ("example", None),
        ("app://host/a b", Some("/a b")),
    ];
    for (url, path) in cases {
        assert_eq!(url_path(url), path, "{url}");
    }
}

#[test]
fn consent_managers_stamp_calls() {
    let parsed = parse(
        r#"{"type":"track","event":"Seen","timestamp":"2026-01-01T00:00:00Z","userId":"u","context":{
            "consent":{"categoryPreferences":{"Advertising":true,"DataSharing":false,"Odd":"later","None":null}},
            "consentManagement":{"provider":"oneTrust","allowedConsentIds":["C1",2,null],"deniedConsentIds":["C3"]}}}"#
            .replace('\n', "")
            .as_str(),
    );
    assert_eq!(
        parsed.pairs("attributes", 0),
        "consent.Advertising:true consent.DataSharing:false consent.Odd:later consent.C1:true consent.2:true consent.C3:false"
    );
    let parsed = parse(
        r#"{"type":"track","event":"Seen","timestamp":"2026-01-01T00:00:00Z","userId":"u","context":{"consent":[true],"consentManagement":{"allowedConsentIds":"all"}}}"#,
    );
    assert_eq!(parsed.pairs("attributes", 0), "");
}
