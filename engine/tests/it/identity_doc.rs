//! The worked examples of `docs/IDENTITY.md`, as they stand there.
//!
//! A block `identity` has the namespaces in the order of trust (and `links_max n`, if there is such a limit), an empty line, a
//! line for each event (its minute and its identifiers) and each correction (`never` or `always` and its two identifiers),
//! another empty line, and what must come out: `person` with all identifiers of one, `dropped` with a link
//! and its reason, `refused` with the reason of the quarantine.

use std::collections::BTreeSet;

use crate::shop::Shop;

const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/IDENTITY.md"));

fn examples() -> Vec<&'static str> {
    DOCUMENT.split("```identity\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// `email limit 2` as `{ name = "email", limit = 2 }`.
fn namespace(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [name] => format!("{{ name = \"{name}\" }}"),
        [name, "unique"] => format!("{{ name = \"{name}\", unique = true }}"),
        [name, "limit", limit] => format!("{{ name = \"{name}\", limit = {limit} }}"),
        other => panic!("not a namespace: {other:?}"),
    }
}

fn call(line: &str) -> String {
    let (minute, identifiers) = line.split_once(' ').unwrap();
    let identifiers: Vec<String> = identifiers
        .split_whitespace()
        .map(|identifier| identifier.split_once(':').unwrap())
        .map(|(namespace, value)| format!(r#"{{"type":"{namespace}","id":"{value}"}}"#))
        .collect();
    format!(
        r#"{{"type":"track","event":"Seen","messageId":"m{minute}","timestamp":"2026-05-01T10:{minute:0>2}:00Z","context":{{"externalIds":[{}]}}}}"#,
        identifiers.join(",")
    )
}

/// A line of a correction, such as `never user_id:ada anonymous_id:kiosk`, as `corrections.toml` has it; `None` for an event's.
fn correction(line: &str) -> Option<String> {
    let (verdict, identifiers) = line.split_once(' ')?;
    let verdict = ["never", "always"].into_iter().find(|known| *known == verdict)?;
    let (a, b) = identifiers.split_once(' ')?;
    Some(format!("[[{verdict}_link]]\nidentifiers = ['{a}', '{b}']\nby = 'Jo'\nat = 2026-05-02\nreason = 'x'\n"))
}

/// The answer's lines, each with the identifiers of a person in order.
fn normalized(line: &str) -> String {
    match line.split_once(' ') {
        Some(("person", identifiers)) => {
            let identifiers: BTreeSet<&str> = identifiers.split_whitespace().collect();
            format!("person {}", identifiers.into_iter().collect::<Vec<_>>().join(" "))
        }
        _ => line.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn test_worked_examples_of_the_document() {
    let examples = examples();
    assert!(examples.len() >= 6, "the examples were not found");
    for example in examples {
        let parts: Vec<&str> = example.split("\n\n").collect();
        let [namespaces, events, expected] = parts.as_slice() else { panic!("not three parts:\n{example}") };
        let (namespaces, links_max) = match namespaces.trim().split_once(", links_max ") {
            Some((namespaces, most)) => (namespaces, format!("links_max = {most}\n")),
            None => (namespaces.trim(), String::new()),
        };
        let namespaces: Vec<String> = namespaces.split(',').map(namespace).collect();
        let shop = Shop::new(&format!(
            "version = 1\n[[source]]\nname = 'web'\nformat = 'segment'\ntouchpoint = 'web'\n[identity]\nnamespaces = [{}]\n{links_max}",
            namespaces.join(", ")
        ));
        shop.write("corrections.toml", &events.lines().filter_map(correction).collect::<String>());
        let events = events.lines().filter(|line| correction(line).is_none()).map(call);
        shop.land("web", &events.collect::<Vec<_>>().join("\n")).await;
        shop.refresh(false).await;
        let mut found: BTreeSet<String> = BTreeSet::new();
        for query in [
            "select 'person ' || string_agg(namespace || ':' || value, ' ') from identity.identities group by profile_id",
            "select 'dropped ' || a_namespace || ':' || a_value || ' ' || b_namespace || ':' || b_value || ': ' || reason from identity.dropped_links",
            "select 'refused ' || reason from landing.quarantine",
        ] {
            found.extend(shop.rows(query).await.iter().map(|line| normalized(line)));
        }
        let expected: BTreeSet<String> = expected.lines().map(normalized).collect();
        assert_eq!(found, expected, "{example}");
    }
}
