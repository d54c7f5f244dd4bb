//! Stage 5: segments. A segment is a boolean expression over a profile, in a file of the project.
//!
//! * [`expression`] reads a file into an expression of ours, or refuses it with the place and the nearest known names.
//! * [`compile`] makes a DataFusion expression of it; no text of a user ever becomes part of a query.
//! * [`evaluate`] finds the members of all segments in one pass, and who entered and left.

mod compile;
mod evaluate;
mod expression;

pub(crate) use evaluate::{parse, refresh, selected};

use std::path::Path;

use crate::error::{EngineError, Result};

/// A segment's file, not yet parsed: what its expression may name is known only when profiles are computed.
#[derive(Debug, Clone)]
pub(crate) struct SegmentFile {
    /// The segment's name: the file's, without `.sql`.
    pub(crate) name: String,
    /// Where the file is, for messages.
    pub(crate) file: String,
    /// Its text.
    pub(crate) text: String,
}

/// The files of the project's folder `segments/`, sorted by name.
///
/// # Errors
/// What reading the folder reports.
pub(crate) fn load(project: &Path) -> Result<Vec<SegmentFile>> {
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
        files.push(SegmentFile { name: name.to_owned(), file, text });
    }
    files.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(files)
}
