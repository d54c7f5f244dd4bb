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
