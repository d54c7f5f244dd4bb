//! `tessera init`.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::output::say;
use crate::project::CONFIG_FILE;

/// A project to start from.
const CONFIG: &str = include_str!("init/tessera.toml");
/// A segment to start from.
const SEGMENT: &str = "-- title: Customers who bought in the last 30 days\n-- purpose: marketing\ndid('Order Completed', within => interval '30 days')\n";

/// Makes a project in `folder`. What is there already stays as it is.
pub(crate) fn run(folder: &Path) -> Result<()> {
    let file = folder.join(CONFIG_FILE);
    if file.exists() {
        bail!("`{}` exists already: edit it, or choose another folder", file.display());
    }
    for part in ["models", "traits", "segments"] {
        let path = folder.join(part);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make `{}`", path.display()))?;
    }
    // The configuration last: without it, `init` can be run again.
    for (path, content) in [(folder.join("segments/recent_buyers.sql"), SEGMENT), (file, CONFIG)] {
        let is_made = make(&path, content).with_context(|| format!("cannot make `{}`", path.display()))?;
        let outcome = if is_made { "made" } else { "was there already and stays as it is:" };
        say(format_args!("{outcome} {}", path.display()))?;
    }
    say(format_args!(
        "next: describe your sources in it, then `tessera --project {0} ingest --source NAME FILE` and `tessera --project {0} refresh`",
        folder.display()
    ))?;
    Ok(())
}

/// Makes a file, unless it is there.
fn make(path: &Path, content: &str) -> std::io::Result<bool> {
    match File::create_new(path) {
        Ok(mut file) => file.write_all(content.as_bytes()).map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}
