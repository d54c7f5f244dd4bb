//! Who is who on shared devices, by the rules of Adobe's documentation: each of its worked cases from files to persons.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use crate::project::Project;

/// The cases, with the pages that they are from.
const SCENARIOS: &str = include_str!("../data/identity_scenarios.json");

fn items<'v>(value: &'v Value, name: &str) -> &'v Vec<Value> {
    value[name].as_array().unwrap()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

/// A project with the namespaces of a case. One of its values is a word that the default list blocks.
fn config(scenario: &Value) -> String {
    let mut namespaces = items(scenario, "namespaces").clone();
    namespaces.sort_by_key(|namespace| namespace["priority"].as_u64().unwrap());
    let mut config = "version = 1\n[[source]]\nname = 'web'\nformat = 'segment'\ntouchpoint = 'web'\n\
                      [identity]\nuse_default_blocklist = false\nnamespaces = [\n"
        .to_owned();
    for namespace in &namespaces {
        writeln!(config, "  {{ name = '{}', unique = {} }},", text(namespace, "name"), namespace["unique"]).unwrap();
    }
    config + "]\n"
}

/// The events of a case as calls of the Segment spec.
fn calls(scenario: &Value) -> String {
    let call = |event: &Value| {
        let ids: Vec<Value> = items(event, "identities")
            .iter()
            .map(|id| serde_json::json!({"type": id["ns"], "id": id["value"], "collection": "users", "encoding": "none"}))
            .collect();
        let call = serde_json::json!({
            "type": "track",
            "event": "Seen",
            "messageId": format!("m{}", event["t"]),
            "timestamp": format!("2026-05-01T00:{:02}:00Z", event["t"].as_u64().unwrap()),
            "context": {"externalIds": ids},
        });
        format!("{call}\n")
    };
    items(scenario, "events").iter().map(call).collect()
}

fn sorted(graph: &Value) -> BTreeSet<String> {
    graph.as_array().unwrap().iter().map(|identifier| identifier.as_str().unwrap().to_owned()).collect()
}

#[test]
fn test_worked_cases_of_shared_devices() {
    let scenarios: Vec<Value> = serde_json::from_str(SCENARIOS).unwrap();
    assert!(scenarios.len() >= 19);
    for scenario in &scenarios {
        let project = Project::new(&config(scenario));
        project.write("calls.ndjson", calls(scenario));
        project.ok(&["ingest", "--source", "web", "calls.ndjson"]);
        project.ok(&["refresh"]);
        let query = "select array_to_string(array_agg(namespace || ':' || value), ' ') from identity.identities group by profile_id";
        let found = project.rows(query).into_iter();
        let found: BTreeSet<BTreeSet<String>> =
            found.map(|person| person.split(' ').map(str::to_owned).collect()).collect();
        let singletons = sorted(&scenario["expected_singletons"]);
        let expected: BTreeSet<BTreeSet<String>> = items(scenario, "expected_graphs")
            .iter()
            .map(sorted)
            .chain(singletons.into_iter().map(|identifier| BTreeSet::from([identifier])))
            .collect();
        assert_eq!(found, expected, "{}", text(scenario, "name"));
        let refused = usize::from(expected.is_empty());
        let reasons = project.rows("select reason from landing.quarantine");
        assert_eq!(reasons, vec!["several_persons"; refused], "{}", text(scenario, "name"));
    }
}

const SHARED: &str = r#"
version = 1
[[source]]
name = "web"
format = "segment"
touchpoint = "web"
[identity]
namespaces = [{ name = "user_id", unique = true }, { name = "email", normalize = "email" }, { name = "anonymous_id" }]
"#;

/// Ada and Bob share a laptop; Ada has a phone and an address.
fn shared_laptop() -> Project {
    let project = Project::new(SHARED);
    let call = |number: u8, ids: &str| {
        format!(r#"{{"type":"page","messageId":"m{number}","timestamp":"2026-05-0{number}T10:00:00Z",{ids}}}"#)
    };
    let calls = [
        call(1, r#""userId":"ada","anonymousId":"laptop""#),
        call(2, r#""userId":"ada","anonymousId":"phone""#),
        call(3, r#""anonymousId":"phone","context":{"traits":{"email":"ada@example.com"}}"#),
        call(4, r#""userId":"bob","anonymousId":"laptop""#),
        call(5, r#""anonymousId":"tv""#),
    ];
    project.write("calls.ndjson", calls.join("\n"));
    project.ok(&["ingest", "--source", "web", "calls.ndjson"]);
    project.ok(&["refresh"]);
    project
}

#[test]
fn test_why_two_identifiers_are_one_person_or_are_not() {
    let project = shared_laptop();
    let why = |a: &str, b: &str| project.ok(&["profile", a, "--why", b]);

    let one = why("email: ADA@example.com ", "user_id:ada");
    assert!(one.starts_with("they are one person, "), "{one}");
    assert!(one.contains("| user_id:ada           | anonymous_id:phone | 1    | 2026-05-02T10:00:00Z |"), "{one}");
    assert!(one.contains("| email:ada@example.com | anonymous_id:phone | 1    | 2026-05-03T10:00:00Z |"), "{one}");
    assert!(!one.contains("laptop"), "{one}");

    let two = why("user_id:ada", "user_id:bob");
    assert!(two.starts_with("they are two persons, ") && two.contains("those with a reason do not count"), "{two}");
    assert!(two.contains("| user_id:ada | anonymous_id:laptop | 1 "), "{two}");
    assert!(two.contains("| web     | a person has at most 1 user_id |"), "{two}");
    assert!(two.contains("| user_id:bob | anonymous_id:laptop | 1 "), "{two}");

    assert!(why("user_id:ada", "anonymous_id:tv").contains("no links connect them"));
    assert!(why("user_id:ada", "user_id:ada").starts_with("they are the same identifier"));
    let nobody = project.fails(&["profile", "user_id:ada", "--why", "user_id:eve"]);
    assert!(nobody.contains("nobody has the second identifier, of `user_id`") && !nobody.contains("eve"), "{nobody}");

    let person = project.ok(&["profile", "user_id:ada"]);
    assert!(
        person.contains("Links that do not count") && person.contains("a person has at most 1 user_id"),
        "{person}"
    );
    assert!(person.contains("What became of its identifiers") && person.contains("| new "), "{person}");
}

#[test]
fn test_two_are_made_of_one_and_one_again() {
    let project = shared_laptop();
    let correction = "[[never_link]]\nidentifiers = ['email:ada@example.com', 'user_id:ada']\nby = 'Jo'\n\
                      at = 2026-05-10\nreason = 'her mother'\n";
    project.write("corrections.toml", correction);
    assert!(project.ok(&["check"]).starts_with("ok"));
    project.ok(&["refresh"]);
    let why = project.ok(&["profile", "email:ada@example.com", "--why", "user_id:ada"]);
    assert!(why.starts_with("they are two persons"), "{why}");
    assert!(why.contains("a correction keeps user_id:ada and email:ada@example.com apart"), "{why}");

    std::fs::remove_file(project.path().join("corrections.toml")).unwrap();
    project.ok(&["refresh"]);
    let why = project.ok(&["profile", "email:ada@example.com", "--why", "user_id:ada"]);
    assert!(why.starts_with("they are one person"), "{why}");

    project.write("corrections.toml", correction.replace("by = 'Jo'\n", ""));
    assert!(project.fails(&["check"]).contains("corrections.toml:1: [[never_link]] has no `by`"));
}

#[test]
fn test_a_report_tells_how_well_it_is_known_who_is_who() {
    let project = Project::new(&SHARED.replace(", unique = true", ""));
    assert!(project.fails(&["identity", "report"]).contains("run `tessera refresh` first"));
    let call = |number: u8, ids: &str| {
        format!(r#"{{"type":"page","messageId":"m{number}","timestamp":"2026-05-0{number}T10:00:00Z",{ids}}}"#)
    };
    let calls = [
        call(1, r#""userId":"ada","anonymousId":"laptop""#),
        call(2, r#""userId":"bob","anonymousId":"laptop""#),
        call(3, r#""userId":"cem","anonymousId":"phone""#),
        call(4, r#""anonymousId":"tv""#),
    ];
    project.write("calls.ndjson", calls.join("\n"));
    project.ok(&["ingest", "--source", "web", "calls.ndjson"]);
    project.ok(&["refresh"]);
    let report = project.ok(&["identity", "report"]);
    for line in [
        "| anonymous_id | 3                | 1          | 3             | 1.0           |",
        "| user_id   | 3                | 0          | 2             | 0.6667        |",
        "| 1           | 1        |",
        "| anonymous_id | laptop | 2            | 2           | 2026-05-02T10:00:00Z |",
        "| anonymous_id | laptop | 2            | user_id          | 2           |",
        "| new    | 3        | 3           |",
    ] {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&report).contains(&words(line)), "{line}\n{report}");
    }
    assert!(report.contains("Dropped links by reason\nnone"), "{report}");
    assert!(report.contains("Corrections that wait for an identifier that nobody has\nnone"), "{report}");
    assert!(report.contains("or the configuration drops an identifier\nnone"), "{report}");

    // The visitor logs in and is the same person under another id; Cem's telephone makes one of him and Ada.
    project.write(
        "later.ndjson",
        [call(5, r#""userId":"dan","anonymousId":"tv""#), call(6, r#""userId":"ada","anonymousId":"phone""#)]
            .join("\n"),
    );
    project.ok(&["ingest", "--source", "web", "later.ndjson"]);
    project.write(
        "corrections.toml",
        "[[always_link]]\nidentifiers = ['user_id:dan', 'usr:17']\nby = 'Jo'\nat = 2026-05-10\nreason = 'x'\n",
    );
    let simulated = project.ok(&["identity", "simulate"]);
    project.ok(&["refresh"]);
    let report = project.ok(&["identity", "report"]);
    for told in [simulated, report.clone()] {
        let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("| merge | 1 | 2 |") && words.contains("| rename | 1 | 1 |"), "{told}");
    }
    let waiting = report.split("Corrections that wait").nth(1).unwrap();
    assert!(waiting.contains("| always  | user_id:dan | usr:17 |"), "{report}");
}

#[test]
fn test_another_configuration_is_tried_without_publishing() {
    let project = shared_laptop();
    project.write("other.toml", SHARED.replace(", unique = true", "").replace("\"lake\"", "\"elsewhere\""));
    let files = || {
        let mut files = Vec::new();
        let mut folders = vec![project.path().join("lake")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() { folders.push(entry) } else { files.push(entry) }
            }
        }
        files.sort();
        files
    };
    let before = files();
    let simulated = project.ok(&["identity", "simulate", "--config", "other.toml"]);
    let words = simulated.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("| published | 3 | 6 |") && words.contains("| simulated | 2 | 6 |"), "{simulated}");
    assert!(words.contains("What would change") && words.contains("| merge | 1 |"), "{simulated}");
    assert!(
        words.contains("| user_id:bob - anonymous_id:laptop |")
            || words.contains("| user_id:ada - anonymous_id:laptop |"),
        "{simulated}"
    );
    assert!(simulated.ends_with("Nothing was published.\n"), "{simulated}");
    assert_eq!(files(), before, "the lake is as it was");
    assert!(project.ok(&["sql", "select count(distinct profile_id) from identity.identities"]).contains("| 3 "));

    // The project's own configuration: what landed since the last refresh.
    let same = project.ok(&["identity", "simulate"]);
    assert!(same.contains("What would change\nnone"), "{same}");
    assert!(project.fails(&["identity", "simulate", "--config", "none.toml"]).contains("cannot read `none.toml`"));
}

#[test]
fn test_a_refresh_that_merges_too_much_publishes_nothing() {
    let project = shared_laptop();
    project.write("tessera.toml", format!("{SHARED}merges_max_share = 0.1\n"));
    project.write(
        "joins.ndjson",
        r#"{"type":"page","messageId":"m6","timestamp":"2026-05-06T10:00:00Z","userId":"bob","anonymousId":"tv"}"#,
    );
    project.ok(&["ingest", "--source", "web", "joins.ndjson"]);
    let refused = project.fails(&["refresh"]);
    assert!(
        refused.contains("1 of 3 profiles would be merged into others (33.3 %), more than `merges_max_share = 0.1`"),
        "{refused}"
    );
    let profiles = || project.ok(&["sql", "select count(*) as profiles from profile.profiles"]);
    assert!(profiles().contains("| 3 "), "{}", profiles());
    let report = project.ok(&["identity", "simulate"]);
    assert!(report.contains("user_id:bob - anonymous_id:tv"), "{report}");
    assert!(project.ok(&["refresh", "--allow-merges"]).contains("generation 2 published (incremental"));
    assert!(profiles().contains("| 2 "), "{}", profiles());

    // Who logs in goes by another id, and is nobody else.
    project.write(
        "login.ndjson",
        r#"{"type":"page","messageId":"m7","timestamp":"2026-05-07T10:00:00Z","anonymousId":"pad"}"#,
    );
    project.ok(&["ingest", "--source", "web", "login.ndjson"]);
    project.ok(&["refresh"]);
    project.write(
        "login.ndjson",
        r#"{"type":"page","messageId":"m8","timestamp":"2026-05-08T10:00:00Z","userId":"cem","anonymousId":"pad"}"#,
    );
    project.ok(&["ingest", "--source", "web", "login.ndjson"]);
    project.ok(&["refresh"]);
    assert_eq!(project.rows("select change from identity.changes where generation = 4"), ["merge"]);

    project.write("tessera.toml", format!("{SHARED}merges_max_share = 5\n"));
    assert!(project.fails(&["check"]).contains("must be a number from 0 to 1, such as 0.05"));
}
