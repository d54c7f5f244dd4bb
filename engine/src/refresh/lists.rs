//! Lists of identifiers, by which segments name people one by one: the project's `lists/*.csv`, and uploaded ones.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::list_log;
use crate::config::IdentityConfig;
use crate::config::nearest::suggestion;
use crate::error::{EngineError, ErrorKind, Result};
use crate::identity::normalize::Normalizer;
use crate::landing::chunk::last_record_end;
use crate::landing::csv::Header;
use crate::landing::csv::records::Records;
use crate::project::Project;

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

/// The lists of a project: those of its folder, and those that were uploaded; sorted by name.
///
/// # Errors
/// InvalidInput with file and line for each that cannot be used; what the store reports.
pub(crate) async fn load(project: &Project) -> Result<Vec<List>> {
    let config = &project.config.identity;
    let (mut lists, mut problems) = (Vec::new(), Vec::new());
    let normalizer = Normalizer::new(config)?;
    let mut add = |name: &str, file: &str, text: &[u8], remedy: &str| match parse(name, text, &normalizer, config) {
        Ok(list) => lists.push(list),
        Err((line, message)) => problems.push(format!("{file}:{line}: {message}{remedy}")),
    };
    for (name, path) in files(&project.folder)? {
        let ending = path.extension().unwrap_or_default().display();
        let file = format!("{FOLDER}/{name}.{ending}");
        let text = std::fs::read(&path).map_err(|error| EngineError::from(error).context(format!("`{file}`")))?;
        add(&name, &file, &text, "");
    }
    for (name, text) in list_log::in_force(project).await? {
        check_no_file(&project.folder, &name)?;
        let remedy = format!("; upload it again, or `tessera segment delete-list {name}` if no segment needs it");
        add(&name, &format!("uploaded list {name}"), text.as_bytes(), &remedy);
    }
    if !problems.is_empty() {
        problems.sort();
        return Err(EngineError::invalid(problems.join("\n")));
    }
    lists.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(lists)
}

/// The names and paths of the files in a project's folder of lists; none if there is no such folder.
fn files(project: &Path) -> Result<Vec<(String, PathBuf)>> {
    let folder = project.join(FOLDER);
    let mut files = Vec::new();
    if folder.is_dir() {
        let unreadable = |error: std::io::Error| EngineError::from(error).context(format!("`{FOLDER}`"));
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let path = entry?.path();
            let is_csv = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
            let name = path.file_stem().filter(|_| is_csv).and_then(|name| Some(name.to_str()?.to_owned()));
            files.extend(name.map(|name| (name, path)));
        }
    }
    files.sort();
    if let Some([(name, first), (_, second)]) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let (first, second) = (first.display(), second.display());
        return Err(EngineError::invalid(format!(
            "`{first}` and `{second}` are both the list `{name}`; rename one of them"
        )));
    }
    Ok(files)
}

/// Refuses a name that is neither a file's nor easy to write in an expression.
///
/// # Errors
/// InvalidInput.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(fits) {
        let message = format!("list name `{name}` may hold only lower-case letters, digits, `_` and `-`; rename it");
        return Err(EngineError::invalid(message));
    }
    Ok(())
}

/// Refuses the name of an uploaded list that a file of the project has.
///
/// # Errors
/// AlreadyExists.
pub(crate) fn check_no_file(project: &Path, name: &str) -> Result<()> {
    if files(project)?.iter().any(|(known, _)| known == name) {
        let message = format!(
            "{FOLDER}/{name}.csv of the project is a list `{name}`, and one of that name is uploaded: keep one of them"
        );
        return Err(EngineError::new(ErrorKind::AlreadyExists, message));
    }
    Ok(())
}

/// Reads the text of a list.
///
/// # Errors
/// InvalidInput with a line.
pub(crate) fn parse_text(name: &str, text: &[u8], config: &IdentityConfig) -> Result<List> {
    parse(name, text, &Normalizer::new(config)?, config)
        .map_err(|(line, message)| EngineError::invalid(format!("list {name}:{line}: {message}")))
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
    let header = Header::parse(first_line).map_err(|problem| (1, format!("the header {problem}")))?;
    let namespaces: Vec<&str> = config.namespaces.iter().map(|namespace| namespace.name.as_str()).collect();
    if header.columns.is_empty() {
        return Err((
            1,
            format!("it has no header; name a namespace, such as `{}`", namespaces.first().unwrap_or(&"")),
        ));
    }
    if let Some(place) = header.columns.iter().position(|column| !namespaces.contains(&column.as_str())) {
        // It is not quoted: without a header it is somebody's address.
        let hint = suggestion(&header.columns[place], namespaces.iter().copied());
        let message = format!("column {} of the header is no namespace of `[identity]`; {hint}", place + 1);
        return Err((1, message));
    }
    let mut list = List { name: name.to_owned(), identifiers: BTreeSet::new(), dropped: 0 };
    let text = &text[first_line.len()..];
    let (end, is_open) = last_record_end(text, header.delimiter);
    // A quote that nothing closes would swallow all values to the end.
    let whole = if is_open { &text[..end] } else { text };
    let mut records = Records::new(whole, header.delimiter);
    let mut line = 2;
    while let Some(record) = records.next_record() {
        line += count_lines(record.skipped);
        let fields: Vec<(usize, usize)> = record.fields().collect();
        if fields.len() != header.columns.len() {
            let (has, wanted) = (fields.len(), header.columns.len());
            return Err((line, format!("it has {has} values, but the header names {wanted}")));
        }
        for (namespace, (start, end)) in header.columns.iter().zip(fields) {
            let value = std::str::from_utf8(&record.output[start..end]);
            let value = value.map_err(|_| (line, "it is not UTF-8; save it as UTF-8".to_owned()))?;
            if value.trim().contains(['\n', '\r']) {
                let message = "a quote opens here and is closed on another line; close it on its own, or double it";
                return Err((line, message.to_owned()));
            }
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
    if is_open {
        let message = "a quote opens here and is not closed before the end of the text; close or double it";
        return Err((2 + count_lines(whole), message.to_owned()));
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
        let list = parsed("\u{feff}email;user_id\r\n Ada@Example.com ;7\r\n\r\n;8\r\nnobody;\"9\n\"\r\n").unwrap();
        let expected = [("email", "ada@example.com"), ("user_id", "7"), ("user_id", "8"), ("user_id", "9")];
        let expected = expected.map(|(namespace, value)| (namespace.to_owned(), value.to_owned()));
        assert_eq!(list.identifiers, BTreeSet::from(expected));
        assert_eq!(list.dropped, 1);
    }

    #[test]
    fn test_what_is_wrong_has_its_line() {
        let told = |text| parsed(text).unwrap_err();
        assert_eq!(
            told("emial\nada@example.com\n"),
            (1, "column 1 of the header is no namespace of `[identity]`; did you mean `email`?".to_owned())
        );
        let (line, message) = told("email;ada@example.com\n;bob@example.com\n");
        assert!(line == 1 && message.starts_with("column 2 of the header"), "{line}: {message}");
        assert!(!message.contains("ada"), "the first line may be a person's: {message}");
        assert!(told("email\rada@example.com\r").1.contains("old Macs"));
        assert_eq!(told("email\n\"a\n\"\na,b\n").0, 4);
        assert_eq!(told("").0, 1);
    }

    #[test]
    fn test_a_quote_that_is_not_closed_on_its_line_swallows_no_values() {
        let told = |text| parsed(text).unwrap_err();
        let (line, message) = told("user_id\nu1\n\n\"u2\nu3\nu4\n");
        assert!(line == 4 && message.starts_with("a quote opens here and is not closed before"), "{line}: {message}");
        let (line, message) = told("email\n\"p1@x.org\"\n\"p2@x.org\n\"p3@x.org\"\n\"p4@x.org\"\n");
        assert!(line == 3 && message.starts_with("a quote opens here and is closed on another"), "{line}: {message}");
        assert_eq!(told("email;user_id\na@x.org;\"7\nb@x.org;8\n").0, 2);
        assert_eq!(told("user_id\n1,2\n\"3\n").0, 2, "the first mistake is told");
        assert_eq!(parsed("user_id\n5\" pipe\n\"6\"").unwrap().identifiers.len(), 2, "a quote within a value is one");
    }
}
