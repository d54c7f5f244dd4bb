//! The header of a file: leading comment lines of the form `-- word: value`.

use super::parse::sql_parser::tokenizer::Location;
use super::syntax::refused;
use crate::config::nearest::suggestion;
use crate::error::Result;

/// What a file says before its expression.
pub(super) struct Header<'t> {
    entries: Vec<Entry<'t>>,
    /// What follows the header.
    pub(super) rest: &'t str,
}

struct Entry<'t> {
    key: &'t str,
    value: &'t str,
    line: u64,
}

impl<'t> Header<'t> {
    /// The value under a key, if it is given.
    pub(super) fn get(&self, key: &str) -> Option<&'t str> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.value)
    }

    /// The value under a key as an owned text.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(str::to_owned)
    }

    /// Where a key stands; the beginning of the file if it does not.
    pub(super) fn place(&self, key: &str) -> Location {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        Location::new(entry.map_or(1, |entry| entry.line), 1)
    }

    /// Refuses keys that are not `known`, are given twice or are empty.
    pub(super) fn check(&self, file: &str, known: &[&str]) -> Result<()> {
        for (index, Entry { key, value, line }) in self.entries.iter().enumerate() {
            let earlier = self.entries.iter().take(index);
            let message = if !known.contains(key) {
                format!("unknown header `{key}`; {}", suggestion(key, known.iter().copied()))
            } else if value.is_empty() {
                format!("header `{key}` is empty; write `-- {key}: ...` or remove the line")
            } else if earlier.into_iter().any(|entry| entry.key == *key) {
                format!("header `{key}` is given twice; keep one of them")
            } else {
                continue;
            };
            return Err(refused(file, Location::new(*line, 1), message));
        }
        Ok(())
    }
}

/// Reads the leading comment lines. `-- word: value` sets a key; other comments are only for people.
pub(super) fn read_header(text: &str) -> Header<'_> {
    let mut header = Header { entries: Vec::new(), rest: text };
    let mut line = 0;
    while let Some((first, rest)) = first_line(header.rest) {
        line += 1;
        let trimmed = first.trim();
        if !trimmed.is_empty() {
            let Some(comment) = trimmed.strip_prefix("--") else {
                break;
            };
            header.entries.extend(entry(comment).map(|(key, value)| Entry { key, value, line }));
        }
        header.rest = rest;
    }
    header
}

/// The first key that a text sets, if it begins with a header.
pub(crate) fn first_key(text: &str) -> Option<&str> {
    read_header(text).entries.first().map(|entry| entry.key)
}

fn first_line(text: &str) -> Option<(&str, &str)> {
    if text.is_empty() { None } else { Some(text.split_once('\n').unwrap_or((text, ""))) }
}

/// `word: value`, if the comment has this form.
fn entry(comment: &str) -> Option<(&str, &str)> {
    let (key, value) = comment.split_once(':')?;
    let key = key.trim();
    let is_word = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    // `-- see https://...` has a colon, but no value after a blank.
    if is_word && !value.starts_with("//") { Some((key, value.trim())) } else { None }
}
