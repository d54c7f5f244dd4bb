//! Which tables are looked into row by row, and by what.

use crate::store::TableName;

/// By what the rows of a table are looked up.
pub(crate) struct Keys {
    /// The columns of each key, all of them text.
    pub(crate) columns: &'static [&'static [&'static str]],
    /// The column by which rows are the latest, and the one that decides between equal times.
    pub(crate) time: Option<&'static str>,
    /// The columns that a look-up gives; `None` for all.
    pub(crate) read: Option<&'static [&'static str]>,
}

/// Breaks ties between rows of one time: the later to land is the later.
pub(crate) const ORDER: &str = "landed_order";

/// The keys of a table; `None` for one that nobody looks into row by row. Its files have small pages.
pub(crate) fn keys_of(name: &TableName) -> Option<&'static Keys> {
    const BY_PROFILE: Keys = Keys { columns: &[&["profile_id"]], time: None, read: None };
    const IDENTITIES: Keys = Keys { columns: &[&["namespace", "value"], &["profile_id"]], time: None, read: None };
    const EVENTS: Keys = Keys {
        columns: &[&["namespace", "value"]],
        time: Some("occurred_at"),
        read: Some(&[
            "event_id",
            "source",
            "touchpoint",
            "event_type",
            "event_name",
            "occurred_at",
            "namespace",
            "value",
            "page_path",
            "revenue",
            "currency",
            "properties",
            ORDER,
        ]),
    };
    match (name.schema.as_str(), name.table.as_str()) {
        ("identity", "identities") => Some(&IDENTITIES),
        ("profile", "profiles" | "attributes") => Some(&BY_PROFILE),
        ("staging", "events") => Some(&EVENTS),
        _ => None,
    }
}
