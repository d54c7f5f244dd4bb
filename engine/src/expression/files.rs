//! The project's folders of expressions.

use std::path::Path;

use super::SourceFile;
use crate::error::{EngineError, Result};

/// The `.sql` files of a folder of the project, sorted by name; none if there is no such folder.
///
/// # Errors
/// What reading the folder reports.
pub(crate) fn load(project: &Path, folder: &str) -> Result<Vec<SourceFile>> {
    let path = project.join(folder);
    let mut files = Vec::new();
    if !path.is_dir() {
        return Ok(files);
    }
    for entry in std::fs::read_dir(&path)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".sql"))
        else {
            continue;
        };
        let file = format!("{folder}/{name}.sql");
        let text =
            std::fs::read_to_string(&path).map_err(|error| EngineError::from(error).context(format!("`{file}`")))?;
        files.push(SourceFile { name: name.to_owned(), file, text });
    }
    files.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(files)
}
