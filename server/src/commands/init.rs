//! `tessera init`.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::output::say;
use crate::project::CONFIG_FILE;

/// A project to start from.
const CONFIG: &str = include_str!("init/tessera.toml");
/// A segment to start from.
const SEGMENT: &str = "-- title: Customers who bought in the last 30 days\n-- purpose: marketing\ndid('Order Completed', within => interval '30 days')\n";

/// Makes a project in `folder`.
pub(crate) fn run(folder: &Path) -> Result<()> {
    let file = folder.join(CONFIG_FILE);
    if file.exists() {
        bail!("`{}` exists already: edit it, or choose another folder", file.display());
    }
    let made = |path: &Path| format!("cannot make `{}`", path.display());
    for part in ["models", "traits", "segments"] {
        let path = folder.join(part);
        std::fs::create_dir_all(&path).with_context(|| made(&path))?;
    }
    std::fs::write(&file, CONFIG).with_context(|| made(&file))?;
    let segment = folder.join("segments/recent_buyers.sql");
    std::fs::write(&segment, SEGMENT).with_context(|| made(&segment))?;
    say(format_args!("made {}", file.display()))?;
    say(format_args!(
        "next: describe your sources in it, then `tessera --project {0} ingest --source NAME FILE` and `tessera --project {0} refresh`",
        folder.display()
    ))?;
    Ok(())
}
