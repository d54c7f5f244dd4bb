//! Members of all segments in one pass over profiles and their daily measures, and who entered and left since the last
//! generation. The tables of this stage are history: a full refresh computes the members anew and keeps the history.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use datafusion::common::{JoinType, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::functions_nested::expr_fn::make_array;
use datafusion::logical_expr::{Expr, LogicalPlan, col, ident, lit, when};
use datafusion::prelude::SessionContext;

use super::compile::{self, Measure};
use crate::clock::Micros;
use crate::error::{EngineError, Result};
use crate::expression::{self, SegmentDefinition, SourceFile};
use crate::model::materialize::Outcome;
use crate::model::workspace::Workspace;
use crate::query::catalog::register;
use crate::query::functions::text;
use crate::store::TableName;
use crate::store::delta::{DataFile, Table, Version};
use crate::store::generation::Generation;
use crate::store::scan::Scan;

/// What an expression that is not saved is called while it is compiled.
const UNSAVED: &str = "-";
/// The members, with their columns.
const MEMBERSHIPS: &str = "select segment, profile_id, entered_at from segment.memberships";
/// The members of the last generation, by the profiles that have their anchors now: a membership follows the person.
const EARLIER_MEMBERSHIPS: &str = "
    select
        memberships.segment,
        coalesce(moved.to_profile_id, memberships.profile_id) as profile_id,
        min(memberships.entered_at) as entered_at
    from history.segment.memberships memberships
    left join (
        select from_profile_id, to_profile_id
        from identity.moved
        where to_profile_id is not null and profile_id(namespace || ':' || value) = from_profile_id
    ) moved on moved.from_profile_id = memberships.profile_id
    group by 1, 2";

/// Evaluates all segments and keeps what changed. Returns what was done to each table.
///
/// # Errors
/// InvalidInput for a segment that is wrong, saying file, line and column.
pub(crate) async fn refresh(
    workspace: &Workspace,
    files: &[SourceFile],
    last: Option<&Generation>,
    as_of: Micros,
) -> Result<Vec<(String, Outcome, f64)>> {
    let definitions = parse(&workspace.session, files).await?;
    let number = last.map_or(1, |generation| generation.number + 1);
    let history = History::open(workspace, last).await?;
    let mut done = Vec::new();

    let started = Instant::now();
    let frame = workspace.session.read_batch(segments_batch(&definitions)?)?;
    done.push(write(workspace, "segments", frame, Vec::new(), started).await?);

    let started = Instant::now();
    let now = ScalarValue::TimestampMicrosecond(Some(as_of), Some("UTC".into()));
    let members = members(workspace, &definitions, as_of).await?;
    let members = members
        .join(
            history
                .memberships
                .clone()
                .with_column_renamed("segment", "was_segment")?
                .with_column_renamed("profile_id", "was_profile_id")?,
            JoinType::Left,
            &["segment", "profile_id"],
            &["was_segment", "was_profile_id"],
            None,
        )?
        .select(vec![
            col("segment"),
            col("profile_id"),
            datafusion::functions::expr_fn::coalesce(vec![col("entered_at"), lit(now.clone())]).alias("entered_at"),
        ])?;
    done.push(write(workspace, "memberships", members, Vec::new(), started).await?);

    let started = Instant::now();
    let changes = changes(workspace, &history, &now, number).await?;
    done.push(write(workspace, "changes", changes, history.changes.clone(), started).await?);

    let started = Instant::now();
    let sizes = sizes(workspace, &now, number).await?;
    done.push(write(workspace, "sizes", sizes, history.sizes.clone(), started).await?);
    Ok(done)
}

/// Parses all files against the columns that profiles have now, in an order in which each comes after those it names.
///
/// # Errors
/// InvalidInput with file, line, column and the nearest known names, for all files that are wrong.
pub(crate) async fn parse(session: &SessionContext, files: &[SourceFile]) -> Result<Vec<SegmentDefinition>> {
    let profiles = session.table("profile.profiles").await?;
    let columns: Vec<_> = profiles
        .schema()
        .fields()
        .iter()
        .filter_map(|field| Some((field.name().clone(), compile::column_type(field.data_type())?)))
        .collect();
    let mut definitions = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        match expression::parse_segment(&file.name, &file.file, &file.text, &columns) {
            Ok(definition) => definitions.push(definition),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if !problems.is_empty() {
        return Err(EngineError::invalid(problems.join("\n")));
    }
    expression::order(definitions)
}

fn table(name: &str) -> TableName {
    TableName::new("segment", name)
}

async fn write(
    workspace: &Workspace,
    name: &str,
    frame: DataFrame,
    kept: Vec<DataFile>,
    started: Instant,
) -> Result<(String, Outcome, f64)> {
    let name = table(name);
    let outcome = workspace.store(&name, frame, kept).await?;
    Ok((name.to_string(), outcome, started.elapsed().as_secs_f64()))
}

/// What the last generation knew, whether or not this refresh computes everything anew.
struct History {
    memberships: DataFrame,
    changes: Vec<DataFile>,
    sizes: Vec<DataFile>,
}

impl History {
    async fn open(workspace: &Workspace, last: Option<&Generation>) -> Result<Self> {
        let memberships = match Self::version(workspace, last, "memberships").await? {
            Some(version) => {
                register(
                    &workspace.session,
                    "history",
                    &table("memberships"),
                    Arc::new(Scan::new(&workspace.lake, version)),
                )?;
                workspace.session.sql(EARLIER_MEMBERSHIPS).await?
            }
            None => workspace.session.read_batch(RecordBatch::new_empty(memberships_schema()))?,
        };
        let files = |version: Option<Version>| version.map(|version| version.files).unwrap_or_default();
        Ok(Self {
            memberships,
            changes: files(Self::version(workspace, last, "changes").await?),
            sizes: files(Self::version(workspace, last, "sizes").await?),
        })
    }

    async fn version(workspace: &Workspace, last: Option<&Generation>, name: &str) -> Result<Option<Version>> {
        let name = table(name);
        match last.and_then(|generation| generation.tables.get(&name.to_string())) {
            Some(published) => Table::new(&workspace.lake, &name).open(Some(published.version)).await,
            None => Ok(None),
        }
    }
}

fn memberships_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("segment", DataType::Utf8View, true),
        Field::new("profile_id", DataType::Utf8View, true),
        Field::new("entered_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
    ]))
}

fn segments_batch(definitions: &[SegmentDefinition]) -> Result<RecordBatch> {
    let mut ordered: Vec<&SegmentDefinition> = definitions.iter().collect();
    ordered.sort_by(|left, right| left.name.cmp(&right.name));
    let text = |value: fn(&SegmentDefinition) -> Option<&str>| -> ArrayRef {
        Arc::new(ordered.iter().map(|definition| value(definition)).collect::<StringArray>())
    };
    let fields: Vec<Field> = ["segment", "title", "purpose", "description", "expression"]
        .iter()
        .map(|name| Field::new(*name, DataType::Utf8, true))
        .collect();
    let columns = vec![
        text(|definition| Some(&definition.name)),
        text(|definition| definition.title.as_deref()),
        text(|definition| definition.purpose.as_deref()),
        text(|definition| definition.description.as_deref()),
        text(|definition| Some(&definition.sql)),
    ];
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// A plan that gives `(profile_id)` of everybody whom an expression selects, and the number of people in all. The
/// expression may name the segments that the session has.
///
/// # Errors
/// InvalidInput with line and column, and the nearest known names, for an expression that is wrong.
pub(crate) async fn selected(session: &SessionContext, expression: &str, as_of: Micros) -> Result<(LogicalPlan, u64)> {
    let mut files =
        vec![SourceFile { name: UNSAVED.to_owned(), file: "the expression".to_owned(), text: expression.to_owned() }];
    for batch in session.sql("select segment, expression from segment.segments").await?.collect().await? {
        let (names, expressions) = (text(batch.column(0))?, text(batch.column(1))?);
        files.extend(names.iter().zip(expressions.iter()).filter_map(|(name, expression)| {
            Some(SourceFile {
                name: name?.to_owned(),
                file: format!("segment `{}`", name?),
                text: expression?.to_owned(),
            })
        }));
    }
    let mut definitions = parse(session, &files).await?;
    // The others are compiled for those that it names, and not evaluated.
    let needed = expression::needed(&definitions, UNSAVED);
    definitions.retain(|definition| needed.contains(&definition.name));
    let compiled = compile::compile(&definitions, as_of)?;
    let is_selected = compiled
        .segments
        .into_iter()
        .find_map(|(name, condition)| (name == UNSAVED).then_some(condition))
        .ok_or_else(|| EngineError::internal("the expression was not compiled"))?;
    let people = people(session, &compiled.measures, as_of).await?;
    let plan = people.filter(is_selected)?.select_columns(&["profile_id"])?.into_unoptimized_plan();
    let everybody = session.table("profile.profiles").await?.count().await? as u64;
    Ok((plan, everybody))
}

/// Profiles, joined with what has to be counted.
async fn people(session: &SessionContext, measures: &[Measure], as_of: Micros) -> Result<DataFrame> {
    let profiles = session.table("profile.profiles").await?;
    Ok(match counts(session, measures, as_of).await? {
        Some(counts) => profiles.join(counts, JoinType::Left, &["profile_id"], &["measured_profile_id"], None)?,
        None => profiles,
    })
}

/// `(segment, profile_id)` of every member of every segment.
async fn members(workspace: &Workspace, definitions: &[SegmentDefinition], as_of: Micros) -> Result<DataFrame> {
    let compiled = compile::compile(definitions, as_of)?;
    if compiled.segments.is_empty() {
        let empty = RecordBatch::new_empty(memberships_schema());
        return Ok(workspace.session.read_batch(empty)?.select_columns(&["segment", "profile_id"])?);
    }
    let people = people(&workspace.session, &compiled.measures, as_of).await?;
    let names = compiled
        .segments
        .into_iter()
        .map(|(name, is_member)| Ok(when(is_member, lit(ScalarValue::Utf8View(Some(name)))).end()?))
        .collect::<Result<Vec<Expr>>>()?;
    let members = people
        .select(vec![col("profile_id"), make_array(names).alias("segment")])?
        .unnest_columns(&["segment"])?
        .filter(col("segment").is_not_null())?
        .select(vec![col("segment"), col("profile_id")])?;
    Ok(members)
}

/// One column for each figure of events that any segment needs, by profile: what `behavior.daily_activity` says, but added up
/// once, not by day first.
async fn counts(session: &SessionContext, measures: &[Measure], as_of: Micros) -> Result<Option<DataFrame>> {
    if measures.is_empty() {
        return Ok(None);
    }
    let figures = measures.iter().map(|measure| measure.folded(as_of)).collect::<Result<Vec<Expr>>>()?;
    let identities = session
        .table("identity.identities")
        .await?
        .select(vec![col("ordinal").alias("of_ordinal"), col("profile_id").alias("measured_profile_id")])?;
    let counted = session
        .table("behavior.measures")
        .await?
        .filter(is_counted(measures, as_of))?
        .select_columns(&["date", "ordinal", "event_name", "event_count", "first_at", "last_at"])?
        .join(identities, JoinType::Inner, &["ordinal"], &["of_ordinal"], None)?
        .aggregate(vec![col("measured_profile_id")], figures)?;
    Ok(Some(counted))
}

/// False for days and events that no measure counts.
fn is_counted(measures: &[Measure], as_of: Micros) -> Expr {
    let events: BTreeSet<&str> = measures.iter().map(|measure| measure.measure.events.event.as_str()).collect();
    let is_counted = col("event_name").in_list(events.into_iter().map(lit).collect(), false);
    let first_days: Option<Vec<i32>> = measures.iter().map(|measure| measure.first_day(as_of)).collect();
    match first_days.and_then(|days| days.into_iter().min()) {
        Some(day) => is_counted.and(col("date").gt_eq(lit(ScalarValue::Date32(Some(day))))),
        None => is_counted,
    }
}

/// Who entered and who left since the last generation.
async fn changes(workspace: &Workspace, history: &History, now: &ScalarValue, number: u64) -> Result<DataFrame> {
    let now_members = workspace.session.sql(MEMBERSHIPS).await?;
    let key = ["segment", "profile_id"];
    let change = |frame: DataFrame, change: &str| {
        frame.select(vec![
            ident("segment"),
            ident("profile_id"),
            lit(change).alias("change"),
            lit(now.clone()).alias("at"),
            lit(i64::try_from(number).unwrap_or(i64::MAX)).alias("generation"),
        ])
    };
    let entered = change(
        now_members.clone().join(history.memberships.clone(), JoinType::LeftAnti, &key, &key, None)?,
        "entered",
    )?;
    let left = change(history.memberships.clone().join(now_members, JoinType::LeftAnti, &key, &key, None)?, "left")?;
    Ok(entered.union(left)?)
}

/// How many members each segment has.
async fn sizes(workspace: &Workspace, now: &ScalarValue, number: u64) -> Result<DataFrame> {
    let counted = workspace
        .session
        .sql(
            "select segments.segment, count(memberships.profile_id) as size
             from segment.segments left join segment.memberships on memberships.segment = segments.segment
             group by segments.segment",
        )
        .await?;
    Ok(counted.select(vec![
        col("segment"),
        col("size"),
        lit(now.clone()).alias("at"),
        lit(i64::try_from(number).unwrap_or(i64::MAX)).alias("generation"),
    ])?)
}
