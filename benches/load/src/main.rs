//! A load on a running `tessera serve`, by the same protocols as its users'. Each command prints one line of JSON.
//!
//! * [`lookups`] asks for profiles by identifier, [`estimates`] for the sizes of segments.
//! * [`stream`] fetches a large result by Flight, and serves batches from memory to compare with.
//! * [`mixed`] does everything at once and checks that no answer mixes two generations.
//!
//! `benches/run_load.py` puts them together.

mod estimates;
mod latencies;
mod lookups;
mod mixed;
mod stream;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tonic::transport::{Channel, Endpoint};

#[derive(Parser)]
#[command(about = "A load on a running `tessera serve`")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Asks for profiles by identifier, each connection one after the other.
    Lookups {
        /// Host and port of gRPC.
        #[arg(long)]
        address: String,
        /// A file with an identifier, `namespace:value`, a line.
        #[arg(long)]
        identifiers: PathBuf,
        #[arg(long, default_value_t = 32)]
        connections: usize,
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Latest events of each profile.
        #[arg(long, default_value_t = 0)]
        event_limit: i32,
    },
    /// Asks for the size of a segment, one after the other.
    Estimates {
        /// Host and port of gRPC.
        #[arg(long)]
        address: String,
        #[arg(long)]
        expression: String,
        #[arg(long, default_value_t = 30)]
        count: usize,
    },
    /// Fetches the result of a query by Flight SQL, or what `serve-batches` serves.
    Fetch {
        /// Host and port of Flight.
        #[arg(long)]
        address: String,
        /// The query; without one, the bare stream.
        #[arg(long)]
        sql: Option<String>,
        /// Where to keep the batches, as an Arrow IPC stream.
        #[arg(long)]
        save: Option<PathBuf>,
    },
    /// Serves the batches of an Arrow IPC stream from memory; prints its address.
    ServeBatches { file: PathBuf },
    /// Refreshes, and waits until that is published.
    Refresh {
        /// Host and port of gRPC.
        #[arg(long)]
        address: String,
    },
    /// Look-ups, estimates, listings and queries at once, each answer checked.
    Mixed {
        /// Host and port of gRPC and Flight SQL.
        #[arg(long)]
        address: String,
        /// A file with an identifier, `namespace:value`, a line.
        #[arg(long)]
        identifiers: PathBuf,
        /// A segment whose members are listed.
        #[arg(long)]
        segment: String,
        #[arg(long, default_value_t = 300)]
        seconds: u64,
    },
}

/// A connection of its own to host and port.
async fn connect(address: &str) -> Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?.connect().await?)
}

#[tokio::main]
async fn main() -> Result<()> {
    let figures = match Arguments::parse().command {
        Command::Lookups { address, identifiers, connections, seconds, event_limit } => {
            lookups::run(&address, &identifiers, connections, seconds, event_limit).await?
        }
        Command::Estimates { address, expression, count } => estimates::run(&address, &expression, count).await?,
        Command::Fetch { address, sql, save } => stream::fetch(&address, sql.as_deref(), save.as_deref()).await?,
        Command::ServeBatches { file } => return stream::serve(&file).await,
        Command::Refresh { address } => mixed::refresh(&address).await?,
        Command::Mixed { address, identifiers, segment, seconds } => {
            mixed::run(&address, &identifiers, &segment, seconds).await?
        }
    };
    writeln!(std::io::stdout(), "{figures}")?;
    Ok(())
}
