//! `tessera ingest`.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use indicatif::{HumanBytes, HumanCount};
use tessera_engine::{BatchReport, Engine, Input};

use crate::output::say;
use crate::progress;

/// The most files that are named as not landed.
const NAMED_MAX: usize = 5;

/// Lands `files` of `source` and says what became of each, also of those before one that does not land.
///
/// # Errors
/// What the first file that does not land reports, and which ones after it do not either; a closed standard output.
pub(crate) async fn run(engine: &Engine, source: &str, files: &[PathBuf]) -> Result<()> {
    let mut reports = Vec::new();
    let landed = land_each(engine, source, files, &mut reports).await;
    reports.iter().try_for_each(|report| print(engine.folder(), report))?;
    // They land in the order given, and none after one that fails.
    landed.map_err(|error| match files.get(reports.len()..) {
        Some(left @ [_, _, ..]) => anyhow!("{error:#}\n{}", not_landed(left, files.len())),
        _ => error,
    })
}

/// Says which of `all` files did not land.
fn not_landed(left: &[PathBuf], all: usize) -> String {
    let name = |file: &PathBuf| input(file).name();
    let named = left.iter().take(NAMED_MAX).map(name).collect::<Vec<_>>().join(", ");
    let more = match left.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} of {all} files did not land: {named}{more}; mend the first of them, and ingest them again", left.len())
}

/// Lands `files` of `source`.
pub(crate) async fn land(engine: &Engine, source: &str, files: &[PathBuf]) -> Result<Vec<BatchReport>> {
    let mut reports = Vec::new();
    land_each(engine, source, files, &mut reports).await?;
    Ok(reports)
}

async fn land_each(engine: &Engine, source: &str, files: &[PathBuf], reports: &mut Vec<BatchReport>) -> Result<()> {
    let inputs = files.iter().map(|file| input(file)).collect();
    let (progress, bar) = progress::ingest();
    let landed = engine.ingest(source, inputs, &progress, &mut |report| reports.push(report)).await;
    bar.finish_and_clear();
    Ok(landed?)
}

fn input(file: &Path) -> Input {
    if file == Path::new("-") {
        return Input::Reader { name: "standard input".to_owned(), reader: Box::new(std::io::stdin()) };
    }
    Input::File(file.to_owned())
}

/// Says what became of a file of the project in `folder`.
fn print(folder: &Path, report: &BatchReport) -> Result<()> {
    if report.repeated {
        say(format_args!("{}: landed before, nothing added", report.input))?;
        return Ok(());
    }
    say(format_args!(
        "{}: {} rows landed, {} quarantined, {} read",
        report.input,
        HumanCount(report.rows),
        HumanCount(report.quarantined),
        HumanBytes(report.bytes)
    ))?;
    for (reason, count) in &report.reasons {
        say(format_args!("  quarantined: {} {reason}", HumanCount(*count)))?;
    }
    if report.quarantined > 0 {
        say(format_args!(
            "  see: tessera --project {} sql \"select line, reason, detail, raw from landing.quarantine where batch_id = '{}'\" (after a refresh)",
            folder.display(),
            report.batch_id
        ))?;
    }
    Ok(())
}
