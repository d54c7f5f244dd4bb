//! Runs a file of SQL statements with the functions and relations of identity resolution, and prints the seconds that it
//! took. `benches/run_identity.py` compares them with what others do.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use tessera_engine::{IdentityConfig, identity_session};

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
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut sql = std::fs::read_to_string(&arguments.sql).with_context(|| arguments.sql.display().to_string())?;
    for parameter in &arguments.parameters {
        let (name, value) = parameter.split_once('=').context("a parameter is `name=value`")?;
        sql = sql.replace(&format!("{{{name}}}"), value);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.threads).enable_all().build()?;
    let started = Instant::now();
    runtime.block_on(run(&arguments, &sql))?;
    writeln!(std::io::stdout(), "{:.3}", started.elapsed().as_secs_f64())?;
    Ok(())
}

async fn run(arguments: &Arguments, sql: &str) -> Result<()> {
    let session = identity_session(&IdentityConfig::default(), arguments.memory_mib << 20, arguments.threads)?;
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
