//! What a batch is known by: how it was read, and what it holds.

use std::collections::BTreeSet;

use super::pipeline::InputSummary;
use super::quarantine::Reason;
use crate::config::{EventName, IdentityConfig, Namespace, Normalize, ProjectConfig, Source, SourceFormat, SourceKind};

/// The same content under the same mapping is the same batch; events of which the rules of identity or the size limit refuse
/// some, under the same rules: under others there may be more that land. A record that landed again would be its newest
/// version.
pub(super) fn batch_id(config: &ProjectConfig, source: &Source, summary: &InputSummary) -> String {
    let mut settings = Settings::default();
    settings.add_source(source);
    let is_refused = |code: &&str| source.kind == SourceKind::Events && summary.quarantine_reasons.contains_key(*code);
    if Reason::codes_of_identity().iter().any(is_refused) {
        settings.add_identity(&config.identity);
        settings.add("identifiers_max", [config.landing.identifiers_max.to_string()]);
    }
    if is_refused(&Reason::TooLarge.code()) {
        settings.add("event_bytes_max", [config.landing.event_bytes_max.to_string()]);
    }
    settings.add("content", [&summary.content_hash]);
    blake3::hash(settings.0.as_bytes()).to_hex()[..32].to_owned()
}

/// Settings by name. One that has its default is left out: a setting that a release brings changes the id of no earlier batch.
#[derive(Default)]
struct Settings(String);

impl Settings {
    fn add(&mut self, key: &str, values: impl IntoIterator<Item = impl AsRef<str>>) {
        self.0.push_str(key);
        for value in values {
            self.0.push('\u{1f}');
            self.0.push_str(value.as_ref());
        }
        self.0.push('\u{1e}');
    }

    fn add_pairs(&mut self, key: &str, pairs: &[(String, String)]) {
        pairs.iter().for_each(|(name, column)| self.add(key, [name, column]));
    }

    fn add_flag(&mut self, key: &str, is_set: bool) {
        if is_set {
            self.add(key, [] as [&str; 0]);
        }
    }

    /// What decides how the rows of a file are read.
    fn add_source(&mut self, source: &Source) {
        // All fields are named, so that nobody adds one without asking whether it belongs here.
        let Source {
            name,
            format,
            kind,
            touchpoint: _,
            party: _,
            key,
            updated_at,
            deleted,
            merged_into,
            keep_links: _,
            event,
            occurred_at,
            identifiers,
            attributes,
            revenue,
            currency,
            properties,
            time_zone,
            has_decimal_comma,
            message_id,
            page_path,
            group_by,
            products,
            loose_columns,
        } = source;
        self.add("name", [name]);
        self.add("format", [format_name(*format)]);
        self.add("kind", [kind_name(*kind)]);
        let columns = [
            ("key", key),
            ("updated_at", updated_at),
            ("deleted", deleted),
            ("merged_into", merged_into),
            ("occurred_at", occurred_at),
            ("revenue", revenue),
            ("currency", currency),
            ("time_zone", time_zone),
            ("message_id", message_id),
            ("page_path", page_path),
            ("group_by", group_by),
        ];
        columns.into_iter().filter(|(_, column)| column.is_some()).for_each(|(key, column)| self.add(key, column));
        match event {
            Some(EventName::Literal(event)) => self.add("event", [event]),
            Some(EventName::Column(column)) => self.add("event_column", [column]),
            None => {}
        }
        self.add_pairs("identifier", identifiers);
        self.add_pairs("attribute", attributes);
        self.add_pairs("product", products);
        properties.iter().for_each(|columns| self.add("properties", columns));
        self.add_flag("decimal_comma", *has_decimal_comma);
        loose_columns.iter().for_each(|column| self.add("loose_column", [column]));
    }

    /// What decides which identifiers name a person.
    fn add_identity(&mut self, identity: &IdentityConfig) {
        for Namespace { name, unique, limit, cookie: _, normalize, region } in &identity.namespaces {
            self.add("namespace", [name.as_str(), normalize_name(*normalize)]);
            self.add_flag("unique", *unique);
            limit.iter().for_each(|limit| self.add("limit", [limit.to_string()]));
            region.iter().for_each(|region| self.add("region", [region]));
        }
        self.add("blocked", identity.blocked.iter().collect::<BTreeSet<_>>());
        self.add("blocked_patterns", identity.blocked_patterns.iter().collect::<BTreeSet<_>>());
        self.add_flag("no_default_blocklist", !identity.use_default_blocklist);
    }
}

fn format_name(format: SourceFormat) -> &'static str {
    match format {
        SourceFormat::Segment => "segment",
        SourceFormat::Csv => "csv",
        SourceFormat::Ndjson => "ndjson",
        SourceFormat::Parquet => "parquet",
    }
}

fn kind_name(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Events => "events",
        SourceKind::Records => "records",
    }
}

fn normalize_name(normalize: Normalize) -> &'static str {
    match normalize {
        Normalize::None => "none",
        Normalize::Email => "email",
        Normalize::Phone => "phone",
        Normalize::Lowercase => "lowercase",
        Normalize::Digits => "digits",
        Normalize::SalesforceId => "salesforce_id",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const TILL: &str = "
        version = 1
        [[source]]
        name = 'till'
        format = 'csv'
        kind = 'events'
        touchpoint = 'pos'
        event = 'Order Completed'
        occurred_at = 'at'
        identifiers = { customer_id = 'customer' }
        revenue = 'amount'
        properties = ['a', 'b']
        decimal_sign = ','
        [identity]
        namespaces = [{ name = 'customer_id', unique = true }, { name = 'phone', normalize = 'phone', region = 'FR' }]
        blocked = ['none', 'nobody']
    ";

    fn id(config: &str, reasons: &[&str]) -> String {
        let config = ProjectConfig::parse(config, "tessera.toml").unwrap();
        let summary = InputSummary {
            content_hash: "c0ffee".to_owned(),
            rows: 1,
            quarantined: reasons.len() as u64,
            bytes: 6,
            lines: 1,
            quarantine_reasons: reasons.iter().map(|reason| ((*reason).to_owned(), 1)).collect::<BTreeMap<_, _>>(),
        };
        batch_id(&config, &config.sources[0], &summary)
    }

    /// What was landed under an id lands again if the id changes.
    #[test]
    fn test_batch_ids_are_the_same_in_every_release() {
        assert_eq!(id(TILL, &["bad_time"]), "3b59b57a6adfd753dfeb2f92aaba2d6a");
        assert_eq!(id(TILL, &["no_identifier", "too_large"]), "cedd6e72fd265815ea60b5d6ee4f065a");
    }

    #[test]
    fn test_batch_ids_differ_by_what_decides_how_a_file_is_read() {
        let changes = [
            ("'Order Completed'", "'Order'"),
            ("= 'amount'", "= 'total'"),
            ("['a', 'b']", "['a b']"),
            ("decimal_sign = ','", ""),
            ("{ customer_id = 'customer' }", "{ customer_id = 'client' }"),
        ];
        for (one, other) in changes {
            assert_eq!(TILL.matches(one).count(), 1, "{one}");
            assert_ne!(id(TILL, &[]), id(&TILL.replace(one, other), &[]), "{other}");
        }
        let elsewhere = TILL.replace("'pos'", "'web'");
        assert_eq!(id(TILL, &[]), id(&elsewhere, &[]), "that is said of its rows later");
        let limited = TILL.replace("unique = true", "limit = 2");
        assert_eq!(id(TILL, &["bad_time"]), id(&limited, &["bad_time"]), "nothing was refused for that");
        assert_ne!(id(TILL, &["several_persons"]), id(&limited, &["several_persons"]));
    }
}
