//! Lists of identifiers: the project's `lists/*.csv`, by which segments name people one by one.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::IdentityConfig;
use crate::config::nearest::suggestion;
use crate::error::{EngineError, Result};
use crate::identity::normalize::Normalizer;
use crate::landing::csv::Header;
use crate::landing::csv::records::Records;

const FOLDER: &str = "lists";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List {
    /// How segments call it: the file's name, without `.csv`.
    pub(crate) name: String,
    /// Namespaces with values in their stored form.
    pub(crate) identifiers: BTreeSet<(String, String)>,
    /// Values that identify nobody: blocked, or not of their namespace.
    pub(crate) dropped: u64,
}

/// The lists of a project's folder, sorted by name; none if there is no such folder.
///
/// # Errors
/// InvalidInput with file and line for each that cannot be used.
pub(crate) fn load(project: &Path, config: &IdentityConfig) -> Result<Vec<List>> {
    let folder = project.join(FOLDER);
    let (mut lists, mut problems) = (Vec::new(), Vec::new());
    if !folder.is_dir() {
        return Ok(lists);
    }
    let normalizer = Normalizer::new(config)?;
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".csv")) else { continue };
        let file = format!("{FOLDER}/{name}.csv");
        let text = std::fs::read(&path).map_err(|error| EngineError::from(error).context(format!("`{file}`")))?;
        match parse(name, &text, &normalizer, config) {
            Ok(list) => lists.push(list),
            Err((line, message)) => problems.push(format!("{file}:{line}: {message}")),
        }
    }
    if !problems.is_empty() {
        problems.sort();
        return Err(EngineError::invalid(problems.join("\n")));
    }
    lists.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(lists)
}

/// Reads a CSV text whose columns are namespaces; each value is an identifier on the list. Err is a line and what is wrong
/// with it.
fn parse(
    name: &str,
    text: &[u8],
    normalizer: &Normalizer,
    config: &IdentityConfig,
) -> std::result::Result<List, (usize, String)> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let first_line = text.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
    let not_utf8 = |line| move |_| (line, "it is not UTF-8; save it as UTF-8".to_owned());
    let header = Header::parse(first_line).map_err(not_utf8(1))?;
    let namespaces: Vec<&str> = config.namespaces.iter().map(|namespace| namespace.name.as_str()).collect();
    if header.columns.is_empty() {
        return Err((
            1,
            format!("it has no header; name a namespace, such as `{}`", namespaces.first().unwrap_or(&"")),
        ));
    }
    if let Some(unknown) = header.columns.iter().find(|column| !namespaces.contains(&column.as_str())) {
        let hint = suggestion(unknown, namespaces.iter().copied());
        return Err((1, format!("column `{unknown}` is no namespace of `[identity]`; {hint}")));
    }
    let mut list = List { name: name.to_owned(), identifiers: BTreeSet::new(), dropped: 0 };
    let mut records = Records::new(&text[first_line.len()..], header.delimiter);
    let mut line = 2;
    while let Some(record) = records.next_record() {
        line += count_lines(record.skipped);
        let fields: Vec<(usize, usize)> = record.fields().collect();
        if fields.len() != header.columns.len() {
            let (has, wanted) = (fields.len(), header.columns.len());
            return Err((line, format!("it has {has} values, but the header names {wanted}")));
        }
        for (namespace, (start, end)) in header.columns.iter().zip(fields) {
            let value = std::str::from_utf8(&record.output[start..end]).map_err(not_utf8(line))?;
            match normalizer.normalize(namespace, value) {
                _ if value.trim().is_empty() => {}
                Some(value) => {
                    list.identifiers.insert((namespace.clone(), value.into_owned()));
                }
                None => list.dropped += 1,
            }
        }
        line += count_lines(record.raw);
    }
    Ok(list)
}

fn count_lines(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    fn parsed(text: &str) -> std::result::Result<List, (usize, String)> {
        let config = IdentityConfig::default();
        parse("vip", text.as_bytes(), &Normalizer::new(&config).unwrap(), &config)
    }

    #[test]
    fn test_values_are_stored_as_their_namespace_stores_them() {
        let list = parsed("\u{feff}email;user_id\r\n Ada@Example.com ;7\r\n\r\n;8\r\nnobody;\"9\n9\"\r\n").unwrap();
        let expected = [("email", "ada@example.com"), ("user_id", "7"), ("user_id", "8"), ("user_id", "9\n9")];
        let expected = expected.map(|(namespace, value)| (namespace.to_owned(), value.to_owned()));
        assert_eq!(list.identifiers, BTreeSet::from(expected));
        assert_eq!(list.dropped, 1);
    }

    #[test]
    fn test_what_is_wrong_has_its_line() {
        let told = |text| parsed(text).unwrap_err();
        assert_eq!(
            told("emial\nada@example.com\n"),
            (1, "column `emial` is no namespace of `[identity]`; did you mean `email`?".to_owned())
        );
        assert_eq!(told("email\n\"a\nb\"\na,b\n").0, 4);
        assert_eq!(told("").0, 1);
    }
}
