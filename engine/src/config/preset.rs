//! Ready mappings of what widely used systems export. A source names one, `preset = "shopify_customers"`, and the keys that
//! it writes itself take the place of the preset's.
//!
//! Exports differ: columns are renamed, translated, left out. So a preset writes a column as one or more names,
//! `Email | Email Address`, of which the first that the file has counts; case, blanks and punctuation do not. A file need
//! not have it.

use super::reader::{Problems, TableReader, parse_root};
use super::{IdentityConfig, Source, source};

/// What a source's `preset` may be, with its table `[[source]]`.
const PRESETS: [(&str, &str); 6] = [
    ("salesforce_contacts", include_str!("presets/salesforce_contacts.toml")),
    ("salesforce_leads", include_str!("presets/salesforce_leads.toml")),
    ("hubspot_contacts", include_str!("presets/hubspot_contacts.toml")),
    ("shopify_orders", include_str!("presets/shopify_orders.toml")),
    ("shopify_customers", include_str!("presets/shopify_customers.toml")),
    ("stripe_customers", include_str!("presets/stripe_customers.toml")),
];

/// The source that a table's `preset` stands for.
pub(super) fn read_preset(
    table: &TableReader<'_, '_>,
    identity: &IdentityConfig,
    problems: &mut Problems<'_>,
) -> Option<Source> {
    let text = table.choice("preset", &PRESETS, problems)?;
    // A preset has no problems: a test reads them all.
    let mut none = Problems::new("preset", text);
    let root = parse_root(text, &mut none).ok()?;
    let root = TableReader::new(root.get_ref(), 0..0, "");
    let tables = root.tables("source", "[[source]]", "", &mut none)?;
    source::read_sources(tables, identity, &mut none).pop()
}

/// The names by which a column may be called.
pub(crate) fn names(column: &str) -> impl Iterator<Item = &str> {
    column.split('|').map(str::trim)
}

/// The column of a file that one of a preset's columns means.
pub(crate) fn find<'f>(column: &str, of_file: &'f [String]) -> Option<&'f String> {
    names(column).find_map(|name| of_file.iter().find(|known| folded(known) == folded(name)))
}

fn folded(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_every_preset_is_a_valid_source() {
        for (name, text) in PRESETS {
            let mut problems = Problems::new(name, text);
            let root = parse_root(text, &mut problems).expect(name);
            let root = TableReader::new(root.get_ref(), 0..0, "");
            let tables = root.tables("source", "[[source]]", "", &mut problems).expect(name);
            assert_eq!(source::read_sources(tables, &IdentityConfig::default(), &mut problems).len(), 1, "{name}");
            assert!(problems.error().is_none(), "{name}: {:?}", problems.error());
        }
    }

    #[test]
    fn test_columns_are_found_by_any_name_and_spelling() {
        let file = ["record id".to_owned(), "E-Mail address".to_owned(), "Phone".to_owned()];
        assert_eq!(find("Record ID | Contact ID", &file), Some(&file[0]));
        assert_eq!(find("Email | Email Address", &file), Some(&file[1]));
        assert_eq!(find("Mobile Phone | mobilephone", &file), None);
    }
}
