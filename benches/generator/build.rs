//! Embeds the files of `project/` so that the binary needs no files beside it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("project");
    let mut files =
        String::from("/// Every project file by its path within the project.\nconst FILES: &[(&str, &str)] = &[\n");
    for folder in ["", "traits", "segments"] {
        let folder = root.join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        for file in sorted(&folder)? {
            if file.is_file() {
                let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
                writeln!(files, "    ({name:?}, include_str!({:?})),", file.display().to_string())
                    .map_err(std::io::Error::other)?;
            }
        }
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("project.rs");
    std::fs::write(out, format!("{files}];\n"))
}

fn sorted(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}
