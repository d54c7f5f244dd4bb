//! Reads TOML tables key by key and collects every problem with its line, so that one run shows them all.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::nearest::suggestion;
use crate::error::{EngineError, Result};

/// A piece of the file: byte offsets, start included, end excluded.
pub(super) type Span = Range<usize>;

/// The problems found so far in one file.
pub(super) struct Problems<'i> {
    file: &'i str,
    text: &'i str,
    /// (line, message), in the order found
    found: Vec<(usize, String)>,
}

impl<'i> Problems<'i> {
    pub(super) fn new(file: &'i str, text: &'i str) -> Self {
        Self { file, text, found: Vec::new() }
    }

    /// Notes a problem at the start of `span`.
    pub(super) fn add(&mut self, span: &Span, message: impl Into<String>) {
        self.found.push((self.line_of(span), message.into()));
    }

    /// The line in which `span` starts, from 1.
    pub(super) fn line_of(&self, span: &Span) -> usize {
        let before = self.text.as_bytes().iter().take(span.start);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    /// One error with a line per problem, in the order of the file; `None` when there is none.
    pub(super) fn error(&self) -> Option<EngineError> {
        let mut found: Vec<&(usize, String)> = self.found.iter().collect();
        found.sort_by_key(|(line, _)| *line);
        let lines: Vec<String> =
            found.into_iter().map(|(line, message)| format!("{}:{line}: {message}", self.file)).collect();
        if lines.is_empty() { None } else { Some(EngineError::invalid(lines.join("\n"))) }
    }
}

/// The whole file as a table.
///
/// # Errors
/// InvalidInput with a line for every place that is no TOML: what a broken line means is a guess, and problems found in
/// guesses would mislead.
pub(super) fn parse_root<'i>(text: &'i str, problems: &mut Problems<'_>) -> Result<Spanned<DeTable<'i>>> {
    let (root, syntax_errors) = DeTable::parse_recoverable(text);
    for error in &syntax_errors {
        let span = error.span().unwrap_or_default();
        let mut message = error.message().replace('\n', "; ");
        if message == "duplicate key" {
            let key = text.get(span.clone()).unwrap_or_default();
            message = format!("duplicate key `{key}`; keep one of them");
        }
        problems.add(&span, message);
    }
    problems.error().map_or(Ok(root), Err)
}

/// One table of the file with the name by which messages call it (none for the whole file).
///
/// The readers return `None` both for a key that is absent and for one whose value is wrong; only the latter is noted
/// as a problem.
pub(super) struct TableReader<'t, 'i> {
    table: &'t DeTable<'i>,
    span: Span,
    called: String,
}

impl<'t, 'i> TableReader<'t, 'i> {
    pub(super) fn new(table: &'t DeTable<'i>, span: Span, called: impl Into<String>) -> Self {
        Self { table, span, called: called.into() }
    }

    /// Where the table starts.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    pub(super) fn called(&self) -> &str {
        &self.called
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where a key's value is, or the table when the key is absent.
    pub(super) fn span_of(&self, key: &str) -> Span {
        self.table.get(key).map_or_else(|| self.span.clone(), Spanned::span)
    }

    /// Notes every key that is not in `known`.
    pub(super) fn check_keys(&self, known: &[&str], problems: &mut Problems<'_>) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let hint = suggestion(name, known.iter().copied());
                problems.add(&key.span(), format!("unknown key `{name}` {}; {hint}", self.place()));
            }
        }
    }

    /// How messages say "here"; the whole file is a table without a name.
    fn place(&self) -> String {
        if self.called.is_empty() { "at the top level".to_owned() } else { format!("in {}", self.called) }
    }

    /// The entries in the order of the file (the parsed table is sorted by name).
    pub(super) fn entries(&self) -> Vec<(&'t str, Span, &'t Spanned<DeValue<'i>>)> {
        let mut entries: Vec<_> =
            self.table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
        entries.sort_by_key(|(_, span, _)| span.start);
        entries
    }

    pub(super) fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.table.get(key)
    }

    /// A string that is not blank, as written.
    pub(super) fn string(&self, key: &str, problems: &mut Problems<'_>) -> Option<String> {
        let value = self.table.get(key)?;
        string_of(value, &format!("`{key}` in {}", self.called), problems)
    }

    /// A string; its absence is a problem, and `hint` says what to write.
    pub(super) fn required_string(&self, key: &str, hint: &str, problems: &mut Problems<'_>) -> Option<String> {
        if !self.has(key) {
            problems.add(&self.span, format!("{} has no `{key}`; {hint}", self.called));
        }
        self.string(key, problems)
    }

    /// One of a few words, by position in `allowed`.
    pub(super) fn choice<T: Copy>(&self, key: &str, allowed: &[(&str, T)], problems: &mut Problems<'_>) -> Option<T> {
        let written = self.string(key, problems)?;
        let found = allowed.iter().find(|(word, _)| *word == written);
        if found.is_none() {
            let hint = suggestion(&written, allowed.iter().map(|(word, _)| *word));
            let message = format!("`{key} = \"{written}\"` in {} is not known; {hint}", self.called);
            problems.add(&self.span_of(key), message);
        }
        found.map(|(_, value)| *value)
    }

    pub(super) fn boolean(&self, key: &str, problems: &mut Problems<'_>) -> Option<bool> {
        let value = self.table.get(key)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            problems.add(&value.span(), format!("`{key}` in {} must be `true` or `false`", self.called));
        }
        found
    }

    /// A whole number within `range`.
    pub(super) fn integer(&self, key: &str, range: RangeInclusive<u64>, problems: &mut Problems<'_>) -> Option<u64> {
        let value = self.table.get(key)?;
        let number = integer_of(value);
        let found = number.filter(|number| range.contains(number));
        if found.is_none() {
            let (least, most) = (range.start(), range.end());
            let message = format!("`{key}` in {} must be a whole number from {least} to {most}", self.called);
            problems.add(&value.span(), message);
        }
        found
    }

    /// A number from 0 to 1.
    pub(super) fn share(&self, key: &str, problems: &mut Problems<'_>) -> Option<f64> {
        let value = self.table.get(key)?;
        let written = value.get_ref();
        let text = written.as_float().map(|float| float.as_str());
        let text = text.or_else(|| written.as_integer().map(|integer| integer.as_str()));
        let found = text.and_then(|text| text.parse().ok()).filter(|share| (0.0..=1.0).contains(share));
        if found.is_none() {
            let message = format!("`{key}` in {} must be a number from 0 to 1, such as 0.05", self.called);
            problems.add(&value.span(), message);
        }
        found
    }

    /// A list of strings, none of them blank, with the place of each.
    pub(super) fn strings(&self, key: &str, problems: &mut Problems<'_>) -> Option<Vec<(String, Span)>> {
        let value = self.table.get(key)?;
        let Some(array) = value.get_ref().as_array() else {
            let message = format!("`{key}` in {} must be a list of strings: `{key} = [\"...\"]`", self.called);
            problems.add(&value.span(), message);
            return None;
        };
        let called = format!("each entry of `{key}` in {}", self.called);
        let mut strings = Vec::with_capacity(array.len());
        for entry in array.iter() {
            if let Some(string) = string_of(entry, &called, problems) {
                strings.push((string, entry.span()));
            }
        }
        Some(strings)
    }

    /// A table; messages call it `called`.
    pub(super) fn table(&self, key: &str, called: &str, problems: &mut Problems<'_>) -> Option<TableReader<'t, 'i>> {
        let value = self.table.get(key)?;
        let Some(table) = value.get_ref().as_table() else {
            problems.add(&value.span(), format!("`{key}` in {} must be a table", self.called));
            return None;
        };
        Some(TableReader::new(table, value.span(), called))
    }

    /// A list of tables. `hint` says how to write it.
    pub(super) fn tables(
        &self,
        key: &str,
        called: &str,
        hint: &str,
        problems: &mut Problems<'_>,
    ) -> Option<Vec<TableReader<'t, 'i>>> {
        let value = self.table.get(key)?;
        let Some(array) = value.get_ref().as_array() else {
            problems.add(&value.span(), format!("`{key}` must be a list of tables; {hint}"));
            return None;
        };
        let mut tables = Vec::with_capacity(array.len());
        for entry in array.iter() {
            match entry.get_ref().as_table() {
                Some(table) => tables.push(TableReader::new(table, entry.span(), called)),
                None => problems.add(&entry.span(), format!("each entry of `{key}` must be a table; {hint}")),
            }
        }
        Some(tables)
    }

    /// The same table under a name that tells it from its siblings.
    pub(super) fn renamed(self, called: String) -> Self {
        Self { called, ..self }
    }
}

/// A string that is not blank; anything else is a problem.
pub(super) fn string_of(value: &Spanned<DeValue<'_>>, called: &str, problems: &mut Problems<'_>) -> Option<String> {
    match value.get_ref().as_str() {
        None => {
            problems.add(&value.span(), format!("{called} must be a string, not: {}", value.get_ref().type_str()));
            None
        }
        Some(string) if string.trim().is_empty() => {
            problems.add(&value.span(), format!("{called} must not be blank"));
            None
        }
        Some(string) => Some(string.to_owned()),
    }
}

/// A whole number that is not negative, in any notation of TOML.
pub(super) fn integer_of(value: &Spanned<DeValue<'_>>) -> Option<u64> {
    let integer = value.get_ref().as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}
