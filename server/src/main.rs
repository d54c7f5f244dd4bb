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
use tessera_engine::Engine;

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
    machine::open_many_files();
    // The first thread has the stack that the system gives it, and a long query needs more.
    let command = std::thread::Builder::new().stack_size(Engine::STACK_BYTES).spawn(|| run(arguments));
    match command.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        Ok(Err(_)) => ExitCode::FAILURE, // it panicked, and has said so
        Err(error) => no_threads(&error),
    }
}

fn run(arguments: cli::Arguments) -> ExitCode {
    let threads =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(Engine::STACK_BYTES).build();
    let runtime = match threads {
        Ok(runtime) => runtime,
        Err(error) => return no_threads(&error),
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

fn no_threads(error: &std::io::Error) -> ExitCode {
    eprintln!("error: no threads: {error}");
    ExitCode::FAILURE
}

/// Whoever reads our output may stop reading: `tessera sql ... | head` is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
