//! `tessera segment`.

mod compare;
mod personas;
mod show;

use anyhow::{Context, Result, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use tessera_engine::{Division, Engine, QueryLimits, SavedSegment, SegmentContent};

use crate::cli::{Format, SegmentCommand, SegmentWords};
use crate::encode::{self, FileFormat};
use crate::output::{self, say};
use crate::table::escaped;

const SIZE: &str = "select cast(coalesce(sizes.size, 0) as bigint) as size from segment.segments
    left join segment.sizes on sizes.segment = segments.segment
        and sizes.generation = (select max(generation) from segment.sizes)
    where segments.segment = $1";
const ALL_CHANGES: &str = "select generation, at, change, profile_id from segment.changes
    where segment = $1 and generation > cast($2 as bigint) order by generation, change, profile_id";
/// Any segment that a generation had.
const EVER: &str = "select segment from segment.sizes where segment = $1 limit 1";

/// Runs one of the segment commands.
pub(crate) async fn run(engine: &Engine, command: SegmentCommand) -> Result<()> {
    match command {
        SegmentCommand::List => show::list(engine).await,
        SegmentCommand::Show { name, sql } => show::show(engine, &name, sql).await,
        SegmentCommand::Size { name } => {
            require(engine, &name).await?;
            output::print(engine.sql(SIZE, &[&name], None).await?, Format::Table).await
        }
        SegmentCommand::Members { name, limit, format } => members(engine, &name, limit, format).await,
        SegmentCommand::Create { name, expression, words } => {
            let SegmentWords { title, purpose, description, by } = words;
            let content = SegmentContent { title, purpose, description, expression };
            engine.create_segment(&name, content, &by).await?;
            say(format_args!("made segment {name}; the next refresh evaluates it"))?;
            Ok(())
        }
        SegmentCommand::Update { name, expression, etag, words } => {
            update(engine, &name, expression, etag, words).await
        }
        SegmentCommand::Delete { name, etag, by } => {
            engine.delete_segment(&name, etag.as_deref(), &by).await?;
            say(format_args!("deleted segment {name}; the next refresh takes its members out"))?;
            Ok(())
        }
        SegmentCommand::Estimate { expression, by_column } => estimate(engine, &expression, &by_column).await,
        SegmentCommand::Changes { name, after, format } => {
            if is_empty(&engine.collect(EVER, &[&name], None).await?) {
                bail!("no generation had a segment `{name}`: `tessera segment list` shows those that there are");
            }
            output::print(engine.sql(ALL_CHANGES, &[&name, &after.to_string()], None).await?, format).await
        }
        SegmentCommand::Export { name, columns, format, to } => {
            let format = file_format(format, &to)?;
            require(engine, &name).await?;
            let snapshot = engine.reload().await?;
            let members = engine.export_members(&snapshot, &name, &columns, QueryLimits::default()).await?;
            let bytes = encode::write(engine, &url_of(&to)?, encode::pieces(members, format)?).await?;
            say(format_args!("the members of {name} are in {to}: {bytes} bytes"))?;
            Ok(())
        }
        SegmentCommand::UploadList { name, file, by } => {
            let content = std::fs::read(&file).with_context(|| format!("`{}` cannot be read", file.display()))?;
            let uploaded = engine.upload_list(&name, content, &by).await?;
            say(format_args!(
                "list {name} has {} identifiers; values that are none: {}; the next refresh knows it",
                uploaded.identifiers, uploaded.dropped
            ))?;
            Ok(())
        }
        SegmentCommand::DeleteList { name, by } => {
            engine.delete_list(&name, &by).await?;
            say(format_args!("deleted list {name}; the next refresh forgets it"))?;
            Ok(())
        }
        SegmentCommand::Personas { traits, count, arguments } => {
            personas::run(engine, arguments, Division::Clusters { traits, count }).await
        }
        SegmentCommand::Rfm { recency, frequency, monetary, arguments } => {
            personas::run(engine, arguments, Division::Cells { recency, frequency, monetary }).await
        }
        SegmentCommand::Compare { names, columns } => compare::run(engine, &names, &columns).await,
    }
}

/// Prints some members, and says if there are more.
async fn members(engine: &Engine, name: &str, limit: u64, format: Format) -> Result<()> {
    let size = require(engine, name).await?;
    let query = format!(
        "select memberships.entered_at, profiles.* from segment.memberships
         join profile.profiles profiles on profiles.profile_id = memberships.profile_id
         where memberships.segment = $1 order by memberships.entered_at desc, profiles.profile_id limit {limit}"
    );
    output::print(engine.sql(&query, &[name], None).await?, format).await?;
    if size > limit {
        let more =
            format!("{limit} of {size}: `--limit {size}` prints all, `tessera segment export` writes them to a file");
        match format {
            Format::Table => say(more)?,
            // Whoever reads the rows with a program has no use for it there.
            _ => eprintln!("{more}"),
        }
    }
    Ok(())
}

/// Changes what is given. With an `etag` only if nobody has changed the segment since it had that.
async fn update(
    engine: &Engine,
    name: &str,
    expression: Option<String>,
    etag: Option<String>,
    words: SegmentWords,
) -> Result<()> {
    let saved = engine.saved_segments(None).await?.in_force.remove(name);
    let Some(SavedSegment { content, etag: etag_read, .. }) = saved else {
        bail!(
            "no segment `{name}` was made with `tessera segment create` or a call; one of segments/ is changed there"
        );
    };
    let content = SegmentContent {
        title: changed(words.title, content.title),
        purpose: changed(words.purpose, content.purpose),
        description: changed(words.description, content.description),
        expression: expression.unwrap_or(content.expression),
    };
    engine.update_segment(name, content, Some(&etag.unwrap_or(etag_read)), &words.by).await?;
    say(format_args!("changed segment {name}; the next refresh evaluates it"))?;
    Ok(())
}

async fn estimate(engine: &Engine, expression: &str, columns: &[String]) -> Result<()> {
    let snapshot = engine.reload().await?;
    let estimate = engine.estimate_segment(&snapshot, expression, 0, columns, QueryLimits::default()).await?;
    let share = 100.0 * estimate.size as f64 / estimate.profile_count.max(1) as f64;
    say(format_args!("People for whom {}.", estimate.reading.words))?;
    say(format_args!("{} of {} people: {share:.2} %", estimate.size, estimate.profile_count))?;
    say_hints(estimate.hints)?;
    for breakdown in estimate.breakdowns {
        say(format_args!("by {}:", breakdown.column))?;
        for (value, count) in breakdown.values {
            say(format_args!("  {count:>12}  {}", escaped(value.as_deref().unwrap_or("(unknown)"))))?;
        }
        if breakdown.others > 0 {
            say(format_args!("  {:>12}  (others)", breakdown.others))?;
        }
    }
    Ok(())
}

/// Prints what in an expression matches nothing.
fn say_hints(hints: Vec<String>) -> Result<()> {
    for hint in hints {
        say(format_args!("note: {}", escaped(&hint)))?;
    }
    Ok(())
}

/// The kind of a file to write: as it is `asked` for, else by the ending of its name, else csv.
///
/// # Errors
/// If the two say different kinds.
fn file_format(asked: Option<FileFormat>, to: &str) -> Result<FileFormat> {
    match (asked, FileFormat::of_name(to)) {
        (Some(asked), Some(named)) if asked != named => bail!(
            "--format and the ending of `{to}` say different kinds of files: name a file that ends otherwise, or leave --format out"
        ),
        (asked, named) => Ok(asked.or(named).unwrap_or(FileFormat::Csv)),
    }
}

/// A URL as it is, a path as one.
fn url_of(to: &str) -> Result<String> {
    if to.contains("://") {
        return Ok(to.to_owned());
    }
    let path = std::path::absolute(to)?;
    let url = url::Url::from_file_path(&path).map_err(|()| anyhow::anyhow!("`{to}` is no path of a file"))?;
    Ok(url.to_string())
}

/// A word that was given, none if it is empty; that of before if it was not given.
fn changed(given: Option<String>, before: Option<String>) -> Option<String> {
    given.map_or(before, |given| Some(given).filter(|given| !given.is_empty()))
}

fn is_empty(batches: &[RecordBatch]) -> bool {
    batches.iter().all(|batch| batch.num_rows() == 0)
}

/// How many members a segment has in the newest generation.
async fn require(engine: &Engine, name: &str) -> Result<u64> {
    let found = engine.collect(SIZE, &[name], None).await?;
    let row = found.iter().find(|batch| batch.num_rows() > 0).ok_or_else(|| unknown(name))?;
    Ok(u64::try_from(row.column(0).as_primitive::<Int64Type>().value(0))?)
}

fn unknown(name: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "there is no segment `{name}` in the newest generation: `tessera segment list` shows all; a new one needs a `tessera refresh`"
    )
}
