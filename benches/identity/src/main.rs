//! Runs a file of SQL statements with the functions and relations of identity resolution, and prints the seconds that it
//! took. `benches/run_identity.py` compares them with what others do.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use tessera_engine::{IdentityConfig, identity_session, keep_identity_graph};

#[derive(Parser)]
#[command(about = "Runs SQL with the functions of identity resolution")]
struct Arguments {
    /// A file with statements, each ended by a semicolon; `{name}` stands for the value of a parameter.
    sql: PathBuf,
    /// `name=value`
    parameters: Vec<String>,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// What operators may hold.
    #[arg(long, default_value_t = 1536)]
    memory_mib: usize,
    /// An earlier answer, whose graph is in memory before time counts.
    #[arg(long)]
    kept: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut sql = std::fs::read_to_string(&arguments.sql).with_context(|| arguments.sql.display().to_string())?;
    for parameter in &arguments.parameters {
        let (name, value) = parameter.split_once('=').context("a parameter is `name=value`")?;
        sql = sql.replace(&format!("{{{name}}}"), value);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.threads).enable_all().build()?;
    let session = identity_session(&IdentityConfig::default(), arguments.memory_mib << 20, arguments.threads)?;
    if let Some(people) = &arguments.kept {
        runtime.block_on(keep(&session, people))?;
    }
    let started = Instant::now();
    runtime.block_on(run(&session, &sql))?;
    writeln!(std::io::stdout(), "{:.3}", started.elapsed().as_secs_f64())?;
    Ok(())
}

/// Takes an earlier answer into memory.
async fn keep(session: &SessionContext, people: &Path) -> Result<()> {
    let started = Instant::now();
    session.register_parquet("kept", people.display().to_string(), ParquetReadOptions::default()).await?;
    keep_identity_graph(session, "select namespace, value, person, 0 as ordinal, 0 as profile_ordinal from kept")
        .await?;
    writeln!(std::io::stderr(), "{:.3} the graph is in memory", started.elapsed().as_secs_f64())?;
    Ok(())
}

async fn run(session: &SessionContext, sql: &str) -> Result<()> {
    for statement in sql.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        let started = Instant::now();
        session.sql(statement).await?.collect().await.with_context(|| statement.to_owned())?;
        writeln!(
            std::io::stderr(),
            "{:.3} {}",
            started.elapsed().as_secs_f64(),
            statement.lines().next().unwrap_or("")
        )?;
    }
    Ok(())
}
