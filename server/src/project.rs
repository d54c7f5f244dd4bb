//! A project's folder, opened: the only place that reads files of configuration and the environment.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use tessera_engine::{Clock, Engine, EngineError, EngineOptions, ProjectConfig};

use crate::machine;

/// The project's configuration file.
pub(crate) const CONFIG_FILE: &str = "tessera.toml";

/// Opens the project in `folder`.
pub(crate) fn open(folder: &Path) -> Result<Engine> {
    let file = folder.join(CONFIG_FILE);
    if !file.exists() {
        bail!(
            "there is no {CONFIG_FILE} in `{}`: go to a project's folder, name one with --project, or make one with `tessera init DIR`",
            folder.display()
        );
    }
    open_with(folder, read(&file)?)
}

/// Opens the project in `folder` as if its configuration were that of the file `other`; its lake stays the same.
pub(crate) fn open_as(folder: &Path, other: &Path) -> Result<Engine> {
    let lake_url = open(folder)?.config().lake_url.clone();
    open_with(folder, ProjectConfig { lake_url, ..read(other)? })
}

/// Refuses to refresh by another configuration than the file has now: it would undo what a refresh on the command line did.
///
/// # Errors
/// FailedPrecondition if the file says something else than the engine was opened with, or cannot be read.
pub(crate) fn check_unchanged(engine: &Engine) -> Result<(), EngineError> {
    let now = read(&engine.folder().join(CONFIG_FILE))
        .map_err(|error| EngineError::failed_precondition(format!("{error:#}")))?;
    let known = engine.config();
    // What a server uses of itself and of the machine changes no table.
    let (serve, schedules, engine) = (known.serve.clone(), known.schedules.clone(), known.engine.clone());
    if (ProjectConfig { serve, schedules, engine, ..now }) == *known {
        return Ok(());
    }
    Err(EngineError::failed_precondition(format!(
        "{CONFIG_FILE} has changed since this server started: restart it, and it refreshes by what the file says now"
    )))
}

fn read(file: &Path) -> Result<ProjectConfig> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    Ok(ProjectConfig::parse(&text, &name)?)
}

fn open_with(folder: &Path, config: ProjectConfig) -> Result<Engine> {
    let options = EngineOptions {
        project: folder.to_owned(),
        config,
        storage_options: storage_options(),
        memory_bytes: machine::query_memory_bytes(),
        threads: machine::threads(),
        clock: Clock::system(),
    };
    Ok(Engine::open(options)?)
}

/// `AWS_*` variables, under the names that the object store knows.
fn storage_options() -> HashMap<String, String> {
    // What is not Unicode is none of these, and no reason to fail.
    let unicode =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    unicode.filter(|(name, _)| name.starts_with("AWS_")).collect()
}
