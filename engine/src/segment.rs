//! Stage 5: segments. A segment is a boolean expression over a profile, in a file of the project.
//!
//! * [`compile`] makes a DataFusion expression of what a file says; no text of a user ever becomes part of a query.
//! * [`evaluate`] finds the members of all segments in one pass, and who entered and left.

mod compile;
mod evaluate;

pub(crate) use evaluate::{parse, refresh, selected};

use std::path::Path;

use crate::error::{EngineError, Result};
use crate::expression::SourceFile;

/// The files of the project's folder `segments/`, sorted by name.
///
/// # Errors
/// What reading the folder reports.
pub(crate) fn load(project: &Path) -> Result<Vec<SourceFile>> {
    let folder = project.join("segments");
    let mut files = Vec::new();
    if !folder.is_dir() {
        return Ok(files);
    }
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".sql"))
        else {
            continue;
        };
        let file = format!("segments/{name}.sql");
        let text =
            std::fs::read_to_string(&path).map_err(|error| EngineError::from(error).context(format!("`{file}`")))?;
        files.push(SourceFile { name: name.to_owned(), file, text });
    }
    files.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(files)
}
