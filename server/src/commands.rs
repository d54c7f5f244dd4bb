//! What each command does.

mod demo;
mod identity;
mod ingest;
mod init;
mod profile;
mod refresh;
mod scratch;
mod segment;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use tessera_engine::{Engine, RefreshOptions};

use crate::cli::{Arguments, Command, ServeArguments, SqlArguments};
use crate::output::say;
use crate::{output, progress, project, serve, telemetry};

/// Runs one command.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let folder = arguments.project.as_deref().unwrap_or(Path::new("."));
    if !matches!(arguments.command, Command::Serve(_)) {
        telemetry::start("error", None)?;
    }
    match arguments.command {
        Command::Serve(serve) => serve_project(&project::open(folder)?, &serve).await,
        Command::Demo(mut demo) => {
            demo.folder = to_make(arguments.project, demo.folder)?;
            demo::run(demo).await
        }
        Command::Init { folder } => init::run(&to_make(arguments.project, Some(folder.clone()))?.unwrap_or(folder)),
        Command::Ingest(ingest) => ingest::run(&project::open(folder)?, &ingest.source, &ingest.files).await,
        Command::Refresh { full, allow_merges } => {
            let options = RefreshOptions { full, allow_merges, unless_started_since: None };
            refresh::run(&project::open(folder)?, options).await
        }
        Command::Sql(SqlArguments { query, format, as_of_date: Some(day), .. }) => {
            let answer = async |scratch: &Path| {
                let engine = project::open(folder)?;
                let (progress, bar) = progress::refresh();
                let rows = engine.sql_as_of_date(&query, day, scratch, &progress).await;
                bar.finish_and_clear();
                output::print(rows?, format).await
            };
            scratch::in_scratch(answer).await
        }
        Command::Sql(SqlArguments { query, format, as_of, as_of_date: None }) => {
            output::print(project::open(folder)?.sql(&query, &[], as_of).await?, format).await
        }
        Command::Profile { identifier, why: Some(other), as_of } => {
            profile::explain(&project::open(folder)?, &identifier, &other, as_of).await
        }
        Command::Profile { identifier, why: None, as_of } => {
            profile::run(&project::open(folder)?, &identifier, as_of).await
        }
        Command::Identity { command } => identity::run(folder, command).await,
        Command::Segment { command } => segment::run(&project::open(folder)?, command).await,
        Command::Check => {
            match project::open(folder)?.check().await? {
                Some(generation) => {
                    say(format_args!(
                        "ok: configuration, models, segments, and the tables of generation {generation}"
                    ))?;
                }
                None => say(
                    "ok: configuration, models, traits and segments; the attributes that these name are checked after the first \
                     `tessera refresh`",
                )?,
            }
            Ok(())
        }
    }
}

/// The folder of a project to make, which may be named in two places.
///
/// # Errors
/// If these say two folders.
fn to_make(project: Option<PathBuf>, folder: Option<PathBuf>) -> Result<Option<PathBuf>> {
    match (project, folder) {
        (Some(project), Some(folder)) if project != folder => bail!(
            "`--project {}` and `{}` are two folders, and one project is made: leave --project out",
            project.display(),
            folder.display()
        ),
        (project, folder) => Ok(folder.or(project)),
    }
}

/// Serves, with the log lines and traces of a server.
async fn serve_project(engine: &Engine, arguments: &ServeArguments) -> Result<()> {
    let traces = telemetry::start(telemetry::OF_SERVER, engine.config().serve.traces_to.as_deref())?;
    let served = serve::run(engine, arguments).await;
    if let Some(traces) = traces {
        // The last spans are sent from a thread of their own; what is lost when that fails is no data of anybody's.
        let sent = tokio::task::spawn_blocking(move || traces.shutdown()).await?;
        sent.unwrap_or_else(|error| tracing::warn!(%error, "the last traces were not sent"));
    }
    served
}
