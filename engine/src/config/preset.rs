//! Ready mappings of what widely used systems export. A source names one, `preset = "shopify_customers"`, and the keys that
//! it writes itself take the place of the preset's.
//!
//! Exports differ: columns are renamed, translated, left out. So a preset writes a column as one or more names,
//! `Email | Email Address`, of which, row by row, the first counts that the file has and that is not blank; case, blanks and
//! punctuation do not. A file need not have it.

/// What a source's `preset` may be, with its table `[[source]]`.
pub(super) const PRESETS: [(&str, &str); 7] = [
    ("salesforce_contacts", include_str!("presets/salesforce_contacts.toml")),
    ("salesforce_leads", include_str!("presets/salesforce_leads.toml")),
    ("hubspot_contacts", include_str!("presets/hubspot_contacts.toml")),
    ("shopify_orders", include_str!("presets/shopify_orders.toml")),
    ("shopify_customers", include_str!("presets/shopify_customers.toml")),
    ("stripe_customers", include_str!("presets/stripe_customers.toml")),
    ("stripe_payments", include_str!("presets/stripe_payments.toml")),
];

/// The names by which a column may be called.
pub(crate) fn names(column: &str) -> impl Iterator<Item = &str> {
    column.split('|').map(str::trim)
}

/// The columns of a file that one of a preset's columns means, in the order of its names.
pub(crate) fn find<'f>(column: &str, of_file: &'f [String]) -> impl Iterator<Item = &'f String> {
    names(column).filter_map(|name| of_file.iter().find(|known| folded(known) == folded(name)))
}

fn folded(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_columns_are_found_by_any_name_and_spelling() {
        let file = ["record id".to_owned(), "E-Mail address".to_owned(), "Phone".to_owned()];
        let find = |column| find(column, &file).map(String::as_str).collect::<Vec<_>>();
        assert_eq!(find("Record ID | Contact ID"), ["record id"]);
        assert_eq!(find("Email | Email Address"), ["E-Mail address"]);
        assert_eq!(find("Mobile Phone | Phone | Record ID"), ["Phone", "record id"]);
        assert!(find("Mobile Phone | mobilephone").is_empty());
    }
}
