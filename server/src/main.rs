//! `tessera`: customer data on the command line. Parses, runs one command, and exits with 0 only if it succeeded.
#![allow(clippy::print_stderr)] // the one crate that talks to people

mod cli;
mod commands;
mod connection;
mod encode;
mod flight_sql;
mod grpc;
mod http;
mod machine;
mod output;
mod progress;
mod project;
mod refreshes;
mod scheduler;
mod segments;
mod serve;
mod signals;
mod table;
mod telemetry;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::signals::Signal;

/// Refreshes and queries allocate by the gigabyte, in sizes that never repeat: glibc's allocator keeps most of that for
/// ever, and a server grows with every refresh. Not for MSVC, where it does not build.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long what goes on in the background may take to stop once a command is done: a server's clients may not have hung up.
const LAST_SECOND: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(commands::run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            error.downcast_ref::<Signal>().map_or(ExitCode::FAILURE, |signal| signal.exit_code().into())
        }
    };
    runtime.shutdown_timeout(LAST_SECOND);
    code
}

/// Whoever reads our output may stop reading: `tessera sql ... | head` is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
