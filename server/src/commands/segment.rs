//! `tessera segment`.

mod personas;

use anyhow::{Context, Result, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::util::pretty::pretty_format_batches;
use tessera_engine::{Division, Engine, QueryLimits, SavedSegment, SegmentContent};

use crate::cli::{Format, SegmentCommand, SegmentWords};
use crate::encode;
use crate::output::{self, say};

const LIST: &str = "select segments.segment, segments.title, sizes.size, segments.purpose
    from segment.segments
    left join segment.sizes on sizes.segment = segments.segment
        and sizes.generation = (select max(generation) from segment.sizes)
    order by 1";
const SHOW: &str = "select segment, title, purpose, description, expression from segment.segments where segment = $1";
const SIZE: &str = "select size from segment.sizes where segment = $1 order by generation desc limit 1";
const CHANGES: &str = "select generation, at, change, count(*) as profiles from segment.changes where segment = $1
    group by 1, 2, 3 order by 1 desc, 3 limit 20";
const ALL_CHANGES: &str = "select generation, at, change, profile_id from segment.changes
    where segment = $1 and generation > cast($2 as bigint) order by generation, change, profile_id";
/// Any segment that a generation had.
const EVER: &str = "select segment from segment.sizes where segment = $1 limit 1";
const COMPARE: &str = "with compared as (
        select profile_id, bool_or(segment = $1) as in_left, bool_or(segment = $2) as in_right
        from segment.memberships where segment in ($1, $2) group by profile_id)
    select count(*) filter (where in_left) as left_size, count(*) filter (where in_right) as right_size,
        count(*) filter (where in_left and in_right) as both,
        count(*) filter (where in_left and not in_right) as only_left,
        count(*) filter (where in_right and not in_left) as only_right
    from compared";

/// Runs one of the segment commands.
pub(crate) async fn run(engine: &Engine, command: SegmentCommand) -> Result<()> {
    match command {
        SegmentCommand::List => output::print(engine.sql(LIST, &[], None).await?, Format::Table).await,
        SegmentCommand::Show { name, sql } => {
            require(engine, &name).await?;
            let snapshot = engine.reload().await?;
            let shown = engine.collect(SHOW, &[&name], None).await?;
            let expression = shown.iter().find_map(|batch| batch.column_by_name("expression"));
            if let Some(expression) = expression.and_then(|column| column.as_string_view_opt()) {
                let reading = engine.read_segment(&snapshot, expression.value(0)).await?;
                say(format_args!("People for whom {}.", reading.words))?;
                if sql {
                    say(format_args!("\n{}\n", reading.sql))?;
                }
            }
            for query in [SHOW, SIZE, CHANGES] {
                say(format_args!("{}", pretty_format_batches(&engine.collect(query, &[&name], None).await?)?))?;
            }
            Ok(())
        }
        SegmentCommand::Size { name } => {
            require(engine, &name).await?;
            output::print(engine.sql(SIZE, &[&name], None).await?, Format::Table).await
        }
        SegmentCommand::Members { name, limit, format } => {
            require(engine, &name).await?;
            let query = format!(
                "select memberships.entered_at, profiles.* from segment.memberships
                 join profile.profiles profiles on profiles.profile_id = memberships.profile_id
                 where memberships.segment = $1 order by memberships.entered_at desc, profiles.profile_id limit {limit}"
            );
            output::print(engine.sql(&query, &[&name], None).await?, format).await
        }
        SegmentCommand::Create { name, expression, words } => {
            let SegmentWords { title, purpose, description, by } = words;
            let content = SegmentContent { title, purpose, description, expression };
            engine.create_segment(&name, content, &by).await?;
            say(format_args!("made segment {name}; the next refresh evaluates it"))?;
            Ok(())
        }
        SegmentCommand::Update { name, expression, words } => {
            let saved = engine.saved_segments(None).await?.in_force.remove(&name);
            let Some(SavedSegment { content, etag, .. }) = saved else {
                bail!("no segment `{name}` was made with `tessera segment create`; one of segments/ is changed there");
            };
            let content = SegmentContent {
                title: changed(words.title, content.title),
                purpose: changed(words.purpose, content.purpose),
                description: changed(words.description, content.description),
                expression: expression.unwrap_or(content.expression),
            };
            engine.update_segment(&name, content, Some(&etag), &words.by).await?;
            say(format_args!("changed segment {name}; the next refresh evaluates it"))?;
            Ok(())
        }
        SegmentCommand::Delete { name, by } => {
            engine.delete_segment(&name, None, &by).await?;
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
            require(engine, &name).await?;
            let snapshot = engine.reload().await?;
            let members = engine.export_members(&snapshot, &name, &columns, QueryLimits::default()).await?;
            let file = encode::as_bytes(encode::pieces(members, format)?);
            let bytes = engine.write_file(&url_of(&to)?, file).await?;
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
        SegmentCommand::Compare { left, right } => {
            require(engine, &left).await?;
            require(engine, &right).await?;
            output::print(engine.sql(COMPARE, &[&left, &right], None).await?, Format::Table).await
        }
    }
}

async fn estimate(engine: &Engine, expression: &str, columns: &[String]) -> Result<()> {
    let snapshot = engine.reload().await?;
    let estimate = engine.estimate_segment(&snapshot, expression, 0, columns, QueryLimits::default()).await?;
    let share = 100.0 * estimate.size as f64 / estimate.profile_count.max(1) as f64;
    say(format_args!("People for whom {}.", estimate.reading.words))?;
    say(format_args!("{} of {} people: {share:.2} %", estimate.size, estimate.profile_count))?;
    for breakdown in estimate.breakdowns {
        say(format_args!("by {}:", breakdown.column))?;
        for (value, count) in breakdown.values {
            say(format_args!("  {count:>12}  {}", value.as_deref().unwrap_or("(unknown)")))?;
        }
        if breakdown.others > 0 {
            say(format_args!("  {:>12}  (others)", breakdown.others))?;
        }
    }
    Ok(())
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

async fn require(engine: &Engine, name: &str) -> Result<()> {
    let found = engine.collect("select segment from segment.segments where segment = $1", &[name], None).await?;
    if is_empty(&found) {
        bail!(
            "there is no segment `{name}` in the newest generation: `tessera segment list` shows all; a new one needs a `tessera refresh`"
        );
    }
    Ok(())
}
