//! `tessera segment`.

use anyhow::{Result, bail};
use arrow::array::AsArray;
use arrow::util::pretty::pretty_format_batches;
use tessera_engine::Engine;

use crate::cli::{Format, SegmentCommand};
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
        SegmentCommand::Show { name } => {
            require(engine, &name).await?;
            let snapshot = engine.reload().await?;
            let shown = engine.collect(SHOW, &[&name], None).await?;
            let expression = shown.iter().find_map(|batch| batch.column_by_name("expression"));
            if let Some(expression) = expression.and_then(|column| column.as_string_view_opt()) {
                say(format_args!(
                    "People for whom {}.",
                    engine.segment_in_words(&snapshot, expression.value(0)).await?
                ))?;
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
        SegmentCommand::Compare { left, right } => {
            require(engine, &left).await?;
            require(engine, &right).await?;
            output::print(engine.sql(COMPARE, &[&left, &right], None).await?, Format::Table).await
        }
    }
}

async fn require(engine: &Engine, name: &str) -> Result<()> {
    let found = engine.collect("select segment from segment.segments where segment = $1", &[name], None).await?;
    if found.iter().all(|batch| batch.num_rows() == 0) {
        bail!(
            "there is no segment `{name}` in the newest generation: `tessera segment list` shows all; a new file in segments/ needs a `tessera refresh`"
        );
    }
    Ok(())
}
