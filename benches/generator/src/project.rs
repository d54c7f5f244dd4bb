//! The project files: `tessera.toml`, traits and segments. They lie in `project/`, as an analyst would have them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

include!(concat!(env!("OUT_DIR"), "/project.rs"));

/// Writes the project files and says where.
pub(crate) fn write_project(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::with_capacity(FILES.len());
    for (name, text) in FILES {
        let path = directory.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text)?;
        paths.push(path);
    }
    Ok(paths)
}
