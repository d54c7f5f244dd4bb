//! A folder for tables that nobody keeps, for the length of a command.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::signals;

/// How often a folder is looked at until it stays away.
const PAUSE: Duration = Duration::from_millis(100);
const LOOKS_MAX: usize = 20;
/// How long a command that is told to end may take to notice it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Does `work` in a temporary folder that is gone afterwards, also where a signal ends the command: by itself a signal ends
/// a process without dropping anything.
///
/// # Errors
/// What `work` reports; the signal.
pub(crate) async fn in_scratch<T>(work: impl AsyncFnOnce(&Path) -> Result<T>) -> Result<T> {
    let scratch = tempfile::tempdir().context("cannot make a temporary folder for tables")?;
    let folder = scratch.path().to_owned();
    // On another thread: this one hears nothing while it waits for a slow reader of standard output.
    let unheard = tokio::spawn(async move {
        let signal = signals::told_to_end().await;
        tokio::time::sleep(PATIENCE).await;
        remove(&folder).await;
        std::process::exit(signal.exit_code().into());
    });
    let done = tokio::select! {
        done = work(scratch.path()) => done,
        signal = signals::told_to_end() => {
            silence_what_is_given_up();
            remove(scratch.path()).await;
            Err(anyhow::Error::new(signal).context("stopped by a signal"))
        }
    };
    unheard.abort();
    done
}

/// Whoever stops a command in the middle need not read that the Delta library's executor panics where the threads that it waits
/// for go away.
fn silence_what_is_given_up() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|at| at.file().contains("kernel_engine")) {
            told(panic);
        }
    }));
}

/// Removes a folder. What was given up goes on to its next point of yielding, and may make files until then.
async fn remove(folder: &Path) {
    for _ in 0..LOOKS_MAX {
        // Fails if a file is made meanwhile; the next look removes that.
        let _ = std::fs::remove_dir_all(folder);
        tokio::time::sleep(PAUSE).await;
        if !folder.exists() {
            return;
        }
    }
}
