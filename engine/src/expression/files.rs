//! The project's folders of expressions.

use std::path::Path;

use super::SourceFile;
use crate::error::{EngineError, Result};

const EXTENSION: &str = "sql";

/// The files of a folder of the project that end in `.sql`, in upper or lower case, sorted by name; none if there is no such
/// folder.
///
/// # Errors
/// InvalidInput if files have one name; what reading the folder reports.
pub(crate) fn load(project: &Path, folder: &str) -> Result<Vec<SourceFile>> {
    let path = project.join(folder);
    let mut files = Vec::new();
    if !path.is_dir() {
        return Ok(files);
    }
    let unreadable = |error: std::io::Error| EngineError::from(error).context(format!("`{folder}`"));
    for entry in std::fs::read_dir(&path).map_err(unreadable)? {
        let path = entry?.path();
        let Some(file_name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some((name, extension)) = file_name.rsplit_once('.') else { continue };
        if !extension.eq_ignore_ascii_case(EXTENSION) {
            continue;
        }
        let file = format!("{folder}/{file_name}");
        let text =
            std::fs::read_to_string(&path).map_err(|error| EngineError::from(error).context(format!("`{file}`")))?;
        files.push(SourceFile { name: name.to_owned(), file, text });
    }
    files.sort_by(|left, right| (&left.name, &left.file).cmp(&(&right.name, &right.file)));
    check_names_differ(&files)?;
    Ok(files)
}

/// Refuses files of one name: only the case of their endings tells them apart.
fn check_names_differ(sorted: &[SourceFile]) -> Result<()> {
    let mut mistakes = Vec::new();
    for pair in sorted.windows(2) {
        if let [SourceFile { name, file: other, .. }, SourceFile { name: next, file, .. }] = pair
            && name == next
        {
            mistakes.push(format!("{file}: {other} defines `{name}` already; rename one of them"));
        }
    }
    if mistakes.is_empty() { Ok(()) } else { Err(EngineError::invalid(mistakes.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project whose folder `traits` has some files, each with its own name in it.
    fn project(names: &[&str]) -> tempfile::TempDir {
        let project = tempfile::tempdir().unwrap();
        std::fs::create_dir(project.path().join("traits")).unwrap();
        for name in names {
            std::fs::write(project.path().join("traits").join(name), name).unwrap();
        }
        project
    }

    #[test]
    fn test_endings_count_in_upper_and_lower_case() {
        let project = project(&["spent.SQL", "orders.sql", "views.Sql", "notes.md", "sql", "old.sql~"]);
        let loaded = load(project.path(), "traits").unwrap();
        let files: Vec<_> =
            loaded.iter().map(|file| (file.name.as_str(), file.file.as_str(), file.text.as_str())).collect();
        let expected = [
            ("orders", "traits/orders.sql", "orders.sql"),
            ("spent", "traits/spent.SQL", "spent.SQL"),
            ("views", "traits/views.Sql", "views.Sql"),
        ];
        assert_eq!(files, expected);
        assert!(load(project.path(), "segments").unwrap().is_empty());
    }

    #[test]
    fn test_files_of_one_name_are_refused() {
        let project = project(&["a.sql", "a.SQL", "b.sql", "c.sql", "c.Sql"]);
        if std::fs::read_dir(project.path().join("traits")).unwrap().count() < 5 {
            return; // to this file system, case makes no difference
        }
        let expected = "traits/a.sql: traits/a.SQL defines `a` already; rename one of them\n\
            traits/c.sql: traits/c.Sql defines `c` already; rename one of them";
        assert_eq!(load(project.path(), "traits").expect_err("one name").to_string(), expected);
    }
}
