//! `tessera refresh`.

use anyhow::Result;
use indicatif::{HumanBytes, HumanCount};
use tessera_engine::{Engine, RefreshOptions, RefreshReport};

use crate::output::say;
use crate::progress;

/// Refreshes and prints what was done.
pub(crate) async fn run(engine: &Engine, options: RefreshOptions) -> Result<()> {
    let report = refresh(engine, options).await?;
    for step in report.steps.iter().filter(|step| step.ran) {
        say(format_args!(
            "{:<32} {:>12} rows {:>10} {:>8.2} s",
            step.name,
            HumanCount(step.rows).to_string(),
            HumanBytes(step.bytes).to_string(),
            step.seconds
        ))?;
    }
    let kind = if report.full { "full" } else { "incremental" };
    say(format_args!("generation {} published ({kind}, {:.2} s)", report.generation, report.seconds))?;
    Ok(())
}

/// Refreshes with progress.
pub(crate) async fn refresh(engine: &Engine, options: RefreshOptions) -> Result<RefreshReport> {
    let (progress, bar) = progress::refresh();
    let report = engine.refresh(options, &progress).await;
    bar.finish_and_clear();
    Ok(report?)
}
