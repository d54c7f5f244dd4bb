//! Names and texts with the quotes that they need.

/// Words that stand for something else where a name may stand. Sorted; a test tries all words of the parser.
const WORDS: [&str; 28] = [
    "all",
    "and",
    "any",
    "case",
    "current_catalog",
    "current_date",
    "current_time",
    "current_timestamp",
    "current_user",
    "distinct",
    "exists",
    "false",
    "from",
    "interval",
    "localtime",
    "localtimestamp",
    "not",
    "null",
    "or",
    "returning",
    "select",
    "session_user",
    "some",
    "trim",
    "true",
    "user",
    "where",
    "with",
];

/// Whether a name would be read as something else without quotes.
pub(in super::super) fn needs_quotes(name: &str) -> bool {
    let is_start = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let is_plain =
        name.bytes().next().is_some_and(is_start) && name.bytes().all(|byte| is_start(byte) || byte.is_ascii_digit());
    !is_plain || WORDS.binary_search(&name).is_ok()
}

/// The name of a column, in quotes if it needs them.
pub(in super::super) fn name(name: &str) -> String {
    if needs_quotes(name) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_owned() }
}

/// Text in single quotes.
pub(in super::super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
