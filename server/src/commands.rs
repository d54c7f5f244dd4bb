//! What each command does.

mod demo;
mod ingest;
mod init;
mod profile;
mod refresh;
mod segment;

use anyhow::Result;

use crate::cli::{Arguments, Command};
use crate::output::say;
use crate::{output, project};

/// Runs one command.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let folder = &arguments.project;
    match arguments.command {
        Command::Demo(demo) => demo::run(demo).await,
        Command::Init { folder } => init::run(&folder),
        Command::Ingest(ingest) => ingest::run(&project::open(folder)?, &ingest.source, &ingest.files).await,
        Command::Refresh { full } => refresh::run(&project::open(folder)?, full).await,
        Command::Sql(sql) => {
            output::print(project::open(folder)?.sql(&sql.query, &[], sql.as_of).await?, sql.format).await
        }
        Command::Profile { identifier, as_of } => profile::run(&project::open(folder)?, &identifier, as_of).await,
        Command::Segment { command } => segment::run(&project::open(folder)?, command).await,
        Command::Check => {
            match project::open(folder)?.check().await? {
                Some(generation) => {
                    say(format_args!(
                        "ok: configuration, models, segments, and the tables of generation {generation}"
                    ))?;
                }
                None => say(
                    "ok: configuration and models; segments and tables are checked after the first `tessera refresh`",
                )?,
            }
            Ok(())
        }
    }
}
