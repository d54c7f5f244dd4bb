//! Embeds the SQL of `sql/` so that the binary needs no files beside it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql").canonicalize()?;
    println!("cargo::rerun-if-changed={}", root.display());
    let mut models = String::from(
        "/// `(<schema>/<table>.sql, text)` of every built-in model.\npub(crate) const MODELS: &[(&str, &str)] = &[\n",
    );
    let mut checks = String::from(
        "/// `(<name>.sql, text)` of every built-in check.\npub(crate) const CHECKS: &[(&str, &str)] = &[\n",
    );
    for folder in sorted(&root)? {
        let schema = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !folder.is_dir() || schema == "tests" {
            continue;
        }
        println!("cargo::rerun-if-changed={}", folder.display());
        for file in sorted(&folder)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (list, name) =
                if schema == "checks" { (&mut checks, name) } else { (&mut models, format!("{schema}/{name}")) };
            if name.ends_with(".sql") {
                println!("cargo::rerun-if-changed={}", file.display());
                writeln!(list, "    ({name:?}, include_str!({:?})),", file.display().to_string())
                    .map_err(std::io::Error::other)?;
            }
        }
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("sql.rs");
    std::fs::write(out, format!("{models}];\n\n{checks}];\n"))
}

fn sorted(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}
