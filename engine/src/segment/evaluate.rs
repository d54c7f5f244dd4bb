//! Members of all segments in one pass over the profiles, and who entered and left since the last generation. Members are
//! history: a full refresh computes them anew and keeps since when they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::prelude::SessionContext;
use roaring::RoaringBitmap;

use super::members::{ENTERED, LEFT, Members, Memberships, serialized};
use crate::clock::Micros;
use crate::error::Result;
use crate::evaluation::{Census, People, column_type};
use crate::expression::{self, ColumnType, Expr, SegmentDefinition, SourceFile};
use crate::limits;
use crate::model::materialize::Outcome;
use crate::model::workspace::Workspace;
use crate::store::TableName;

/// `segment.member_sets`.
pub(crate) fn table() -> TableName {
    TableName::new("segment", "member_sets")
}

/// Parses all files against the columns that profiles have now, in an order in which each comes after those it names.
///
/// # Errors
/// InvalidInput with file, line, column and the nearest known names, for all files that are wrong.
pub(crate) async fn parse(session: &SessionContext, files: &[SourceFile]) -> Result<Vec<SegmentDefinition>> {
    let profiles = session.table("profile.profiles").await?;
    let columns: Vec<(String, ColumnType)> = profiles
        .schema()
        .fields()
        .iter()
        .filter_map(|field| Some((field.name().clone(), column_type(field.data_type())?)))
        .collect();
    expression::parse_segments(files, &columns)
}

/// Evaluates all segments and adds who entered and who left to `segment.member_sets`.
///
/// # Errors
/// InvalidInput for a segment that is wrong, saying file, line and column.
pub(crate) async fn evaluate(
    workspace: &Workspace,
    files: &[SourceFile],
    census: &Census,
    as_of: Micros,
    generation: u64,
) -> Result<Outcome> {
    let session = &workspace.session;
    let definitions = parse(session, files).await?;
    let before = Memberships::read(session, "last.segment.member_sets").await?;
    let conditions: Vec<(&str, &Expr)> =
        definitions.iter().map(|definition| (definition.name.as_str(), &definition.expression)).collect();
    let expressions: Vec<&Expr> = conditions.iter().map(|(_, condition)| *condition).collect();
    let population = census.population(&expressions).await?;
    let now = population.selected(&conditions).await?;
    let now: BTreeMap<&str, RoaringBitmap> = conditions.iter().map(|(name, _)| *name).zip(now).collect();
    let mut sets = Sets::new(i64::try_from(generation).unwrap_or(i64::MAX));
    let nobody = Members::default();
    let names = now.keys().copied().chain(before.iter().map(|(name, _)| name));
    for name in names.collect::<std::collections::BTreeSet<_>>() {
        let members = before.get(name).unwrap_or(&nobody);
        sets.compare(name, members, now.get(name), population.people(), as_of)?;
    }
    let frame = session.read_batch(sets.batch()?)?;
    let last = workspace.last.get(&table()).map(|version| version.files.clone()).unwrap_or_default();
    if last.len() <= limits::STATE_FILES_MAX {
        return workspace.store(&table(), frame, last).await;
    }
    // The state is in many pieces: who was a member before is written in one.
    let mut whole = Sets::new(i64::try_from(generation).unwrap_or(i64::MAX) - 1);
    for (name, members) in before.iter() {
        for (at, set) in members.since() {
            whole.add(name, ENTERED, at, set.clone(), false)?;
        }
    }
    let (_, base) = workspace.write(&table(), &[], session.read_batch(whole.batch()?)?, "base").await?;
    workspace.store(&table(), frame, base).await
}

/// Rows of `segment.member_sets`.
struct Sets {
    generation: i64,
    segments: Vec<String>,
    changes: Vec<&'static str>,
    at: Vec<Micros>,
    members: BinaryBuilder,
    is_change: Vec<bool>,
}

impl Sets {
    fn new(generation: i64) -> Self {
        let (segments, changes, at, is_change) = Default::default();
        Self { generation, segments, changes, at, members: BinaryBuilder::new(), is_change }
    }

    fn add(
        &mut self,
        name: &str,
        change: &'static str,
        at: Micros,
        members: RoaringBitmap,
        is_change: bool,
    ) -> Result<()> {
        if !members.is_empty() {
            self.segments.push(name.to_owned());
            self.changes.push(change);
            self.at.push(at);
            self.members.append_value(serialized(members)?);
            self.is_change.push(is_change);
        }
        Ok(())
    }

    /// Adds what makes the members of before those of now. A membership follows the person: who is part of another
    /// profile now is a member as that one, since the earlier of both.
    fn compare(
        &mut self,
        name: &str,
        before: &Members,
        now: Option<&RoaringBitmap>,
        people: &People,
        as_of: Micros,
    ) -> Result<()> {
        let nobody = RoaringBitmap::new();
        let now = now.unwrap_or(&nobody);
        let gone = before.all() - people.living();
        let mut followed = before.all() - &gone;
        let mut earlier: BTreeMap<Micros, RoaringBitmap> = BTreeMap::new();
        let mut replaced = gone.clone();
        for ordinal in &gone {
            let (Some(to), Some(at)) = (people.profile_of(ordinal), before.entered_at(ordinal)) else { continue };
            let known = before
                .entered_at(to)
                .into_iter()
                .chain(earlier.iter().find(|(_, members)| members.contains(to)).map(|(at, _)| *at));
            let known = known.min();
            if known.is_some_and(|known| known <= at) {
                continue;
            }
            earlier.values_mut().for_each(|members| {
                members.remove(to);
            });
            if before.all().contains(to) {
                replaced.insert(to);
            }
            earlier.entry(at).or_default().insert(to);
            followed.insert(to);
        }
        self.add(name, LEFT, as_of, replaced, false)?;
        for (at, members) in earlier {
            self.add(name, ENTERED, at, members & now, false)?;
        }
        self.add(name, LEFT, as_of, &followed - now, true)?;
        self.add(name, ENTERED, as_of, now - &followed, true)
    }

    fn batch(mut self) -> Result<RecordBatch> {
        let rows = self.segments.len();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(self.segments)),
            Arc::new(Int64Array::from(vec![self.generation; rows])),
            Arc::new(StringArray::from(self.changes)),
            Arc::new(TimestampMicrosecondArray::from(self.at).with_timezone("UTC")),
            Arc::new(self.members.finish()),
            Arc::new(BooleanArray::from(self.is_change)),
        ];
        let field = |name, data_type| Field::new(name, data_type, true);
        let schema = Schema::new(vec![
            field("segment", DataType::Utf8),
            field("generation", DataType::Int64),
            field("change", DataType::Utf8),
            field("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            field("members", DataType::Binary),
            field("is_change", DataType::Boolean),
        ]);
        Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
    }
}
