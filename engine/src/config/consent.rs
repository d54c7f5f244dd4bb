//! The `[[consent]]` tables: which attributes tell whether people consent to a purpose.

use super::Consent;
use super::attribute::check_snake_case;
use super::reader::{Problems, TableReader};

const KEYS: [&str; 3] = ["purpose", "granted", "withdrawn"];

/// What the presets' attributes tell, unless the project says something else of the purpose: purpose, granted, withdrawn.
const OF_PRESETS: [(&str, &[&str], &[&str]); 3] = [
    ("email", &["accepts_email_marketing"], &["has_opted_out_of_email", "unsubscribed_from_all_email"]),
    ("sms", &["accepts_sms_marketing"], &[]),
    ("phone", &[], &["do_not_call"]),
];

pub(super) fn read_consents(root: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> Vec<Consent> {
    let hint = "write each purpose under its own `[[consent]]`, with double brackets";
    let tables = root.tables("consent", "[[consent]]", hint, problems).unwrap_or_default();
    let mut consents: Vec<Consent> = Vec::with_capacity(tables.len() + OF_PRESETS.len());
    for table in tables {
        let Some(purpose) = table.required_string("purpose", "write `purpose = \"email\"`", problems) else { continue };
        let table = table.renamed(format!("consent `{purpose}`"));
        table.check_keys(&KEYS, problems);
        check_snake_case("purpose", "third_party_ads", &purpose, &table.span_of("purpose"), problems);
        if consents.iter().any(|earlier| earlier.purpose == purpose) {
            problems.add(&table.span_of("purpose"), format!("purpose `{purpose}` is declared twice; keep one of them"));
        }
        let granted = read_names("granted", &table, problems);
        let withdrawn = read_names("withdrawn", &table, problems);
        if let Some(both) = granted.iter().find(|name| withdrawn.contains(name)) {
            let message = format!("{}: `{both}` cannot be both granted and withdrawn; keep one", table.called());
            problems.add(&table.span_of("withdrawn"), message);
        }
        consents.push(Consent { purpose, granted, withdrawn });
    }
    for (purpose, granted, withdrawn) in OF_PRESETS {
        if consents.iter().all(|own| own.purpose != purpose) {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let (granted, withdrawn) = (owned(granted), owned(withdrawn));
            consents.push(Consent { purpose: purpose.to_owned(), granted, withdrawn });
        }
    }
    consents
}

fn read_names(key: &str, table: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for (name, span) in table.strings(key, problems).unwrap_or_default() {
        check_snake_case("attribute", "first_name", &name, &span, problems);
        if names.contains(&name) {
            problems.add(&span, format!("`{key}` in {} names `{name}` twice; keep one of them", table.called()));
        }
        names.push(name);
    }
    names
}
