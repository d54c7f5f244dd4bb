//! `tessera segment personas` and `tessera segment rfm`.

use anyhow::{Result, bail};
use tessera_engine::{Division, Engine, Personas, QueryLimits};

use super::require;
use crate::cli::PersonaArguments;
use crate::output::say;

/// Divides a segment, says what its groups are, and saves them if asked to.
pub(super) async fn run(engine: &Engine, arguments: PersonaArguments, division: Division) -> Result<()> {
    let PersonaArguments { name, described_by, save, by } = arguments;
    if let Some(prefix) = &save {
        check_saving(prefix, &by)?;
    }
    if let Some(name) = &name {
        require(engine, name).await?;
    }
    let snapshot = engine.reload().await?;
    let found =
        engine.find_personas(&snapshot, name.as_deref(), division, &described_by, QueryLimits::default()).await?;
    print(&found)?;
    let Some(prefix) = save else {
        say(format_args!("--save PREFIX makes a segment of each"))?;
        return Ok(());
    };
    for name in engine.save_personas(&prefix, found.personas, &by).await? {
        say(format_args!("made segment {name}; the next refresh evaluates it"))?;
    }
    Ok(())
}

/// Refuses what could not be saved, before anything is computed.
fn check_saving(prefix: &str, by: &str) -> Result<()> {
    if by.trim().is_empty() {
        bail!("nobody makes the segments of --save: give --by a name, or USER in the environment");
    }
    Ok(Engine::check_segment_name(&format!("{prefix}-1"))?)
}

fn print(found: &Personas) -> Result<()> {
    let share = |size: u64| 100.0 * size as f64 / found.size.max(1) as f64;
    say(format_args!("{}", people(found.size)))?;
    if found.silhouettes.len() > 1 {
        let tried = found.silhouettes.iter().map(|(count, silhouette)| format!("{count}: {silhouette:.2}"));
        say(format_args!("mean silhouette by number of personas: {}", tried.collect::<Vec<_>>().join(", ")))?;
    }
    for (place, persona) in found.personas.iter().enumerate() {
        let size = people(persona.size);
        say(format_args!("{}. {}: {size}, {:.1} %", place + 1, persona.title, share(persona.size)))?;
        say(format_args!("   {}", persona.description))?;
    }
    let in_none = found.size - found.personas.iter().map(|persona| persona.size).sum::<u64>();
    if in_none > 0 {
        say(format_args!("in none: {}, {:.1} %", people(in_none), share(in_none)))?;
    }
    Ok(())
}

fn people(count: u64) -> String {
    match count {
        1 => "1 person".to_owned(),
        count => format!("{count} people"),
    }
}
