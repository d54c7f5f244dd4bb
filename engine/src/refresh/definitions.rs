//! What the project defines beside models: traits and segments, and what has to be kept of events for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

use super::lists::{self, List};
use crate::clock::Micros;
use crate::error::{EngineError, Result};
use crate::evaluation::{self, Census, Keeping, Kept, Listed, Scope, all_listed, attribute_beside, day_of};
use crate::expression::{self, SegmentHeader, SourceFile, TraitHeader};
use crate::identity::touched_components::SharedGraph;
use crate::model::catalog::Catalog;
use crate::model::definition::{Reference, Slice};
use crate::model::workspace::Workspace;
use crate::profile;
use crate::project::Project;
use crate::query::catalog::register;
use crate::query::functions::text;
use crate::query::session::CATALOG;
use crate::segment::saved::with_saved;
use crate::store::TableName;
use crate::store::generation::Generation;
use crate::store::scan::Scan;

/// Columns of `config.segments`.
const SEGMENT_COLUMNS: [&str; 5] = ["segment", "title", "purpose", "description", "expression"];
/// Columns of `config.traits`.
const TRAIT_COLUMNS: [&str; 5] = ["trait", "title", "description", "window", "expression"];

/// The project's traits and segments as one refresh uses them.
pub(crate) struct Definitions {
    /// The files of `traits/`.
    pub(crate) traits: Vec<SourceFile>,
    /// The files of `segments/`, and saved segments.
    pub(crate) segments: Vec<SourceFile>,
    /// Traits whose names are theirs, whatever attributes are told: those that the published generation has, too. Before there is
    /// one all are, as if they had been there before the data.
    pub(crate) settled_traits: BTreeSet<String>,
    /// Traits that only the published generation has.
    gone_traits: BTreeSet<String>,
    /// The instant as of which they are computed.
    pub(crate) as_of: Micros,
    /// The generation that the refresh makes.
    pub(crate) generation: u64,
    /// States of which traits and segments need nothing: no event has to be read for them.
    pub(crate) empty_states: Vec<TableName>,
    /// What is known of profiles, once they are computed.
    pub(crate) census: Census,
    /// What is known of those that the refresh touches, if that is all that can be new: it is incremental, and the day is
    /// the one of the last generation, so that no window has moved.
    pub(crate) touched: Option<Census>,
    /// The identity graph of the last generation, if one is kept.
    pub(crate) graph: Option<SharedGraph>,
}

impl Definitions {
    /// Loads them, to be computed as of an instant for the generation of a number, and lets models of `workspace` know what is
    /// to be kept. Columns of profiles have the names that they have in the `published` generation.
    ///
    /// # Errors
    /// InvalidInput with file, line and column for each file that asks for figures of events in a wrong way.
    pub(crate) async fn load(
        project: &Project,
        workspace: &Workspace,
        published: Option<&Generation>,
        generation: u64,
        as_of: Micros,
    ) -> Result<Self> {
        let traits = expression::load(&project.folder, "traits")?;
        let segments = with_saved(project, expression::load(&project.folder, "segments")?).await?;
        let listed = last_listed(workspace).await?;
        let keeping = Keeping::settle(wanted(traits.iter().chain(&segments))?, listed.clone());
        register_keeping(&workspace.session, &keeping)?;
        let is_empty = |instants: bool| !keeping.listed.iter().any(|kept| kept.is_kept && kept.is_instant == instants);
        let states = [("defined_measures", is_empty(false)), ("instants", is_empty(true))];
        let empty_states = states.into_iter().filter(|(_, is_empty)| *is_empty);
        let empty_states = empty_states.map(|(name, _)| TableName::new("behavior", name)).collect();
        if keeping.listed != listed {
            workspace.note_changed(measures_name());
        }
        register_segments(&workspace.session, &segments)?;
        note_if_changed(workspace, segments_name(), TableName::new("segment", "segments"), &SEGMENT_COLUMNS).await?;
        register_lists(&workspace.session, &lists::load(project).await?)?;
        for name in [lists_name(), listed_name()] {
            workspace.note_changed(name);
        }
        register_traits(&workspace.session, &traits)?;
        note_if_changed(workspace, traits_name(), trait_definitions(), &TRAIT_COLUMNS).await?;
        let is_same_day = published.is_some_and(|published| day_of(published.as_of) == day_of(as_of));
        // Without traits, persons are profiles.
        let persons = if traits.is_empty() { "new.profile.profiles" } else { "new.profile.persons" };
        let census = |scope| Census::new(&workspace.session, scope, as_of);
        let names: BTreeSet<String> = traits.iter().map(|file| file.name.clone()).collect();
        let earlier = match published {
            Some(published) => {
                published_texts(project, &workspace.session, published, &trait_definitions(), "trait").await?
            }
            None => names.clone(),
        };
        Ok(Self {
            settled_traits: &names & &earlier,
            gone_traits: &earlier - &names,
            traits,
            segments,
            as_of,
            empty_states,
            generation,
            census: census(Scope::Everybody),
            touched: (workspace.incremental && is_same_day).then(|| census(Scope::Touched { persons })),
            graph: None,
        })
    }

    /// What traits and segments may name, for `config.known_names`: their words, and those attributes among these that are
    /// columns that profiles had in the last generation. When nobody tells one any more it is null, and what names it is right
    /// as before.
    pub(crate) fn named(&self, columns: &BTreeSet<String>, catalog: &Catalog) -> Vec<(&'static str, String)> {
        let own: BTreeSet<&str> = [profile::traits::persons(), profile::traits::profiles()]
            .iter()
            .filter_map(|name| catalog.get(name))
            .flat_map(|model| model.columns.iter().map(|column| column.name.as_str()))
            .collect();
        // What was told under the name of a trait that is gone has that name now.
        let beside: BTreeSet<String> = self.gone_traits.iter().map(|name| attribute_beside(name)).collect();
        let is_attribute = |name: &&String| {
            let is_of_trait = [&self.settled_traits, &self.gone_traits, &beside].iter().any(|of| of.contains(*name));
            !own.contains(name.as_str()) && !is_of_trait
        };
        let words = words(self.traits.iter().chain(&self.segments));
        let named = columns.iter().filter(is_attribute).filter(|name| words.contains(name.as_str()));
        let named: Vec<_> = named.map(|name| ("attribute", name.clone())).collect();
        named.into_iter().chain(words.into_iter().map(|word| ("word", word))).collect()
    }
}

/// The words of some files, in lower case: any of them may be an attribute.
pub(super) fn words<'f>(files: impl Iterator<Item = &'f SourceFile>) -> BTreeSet<String> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let of = |file: &'f SourceFile| file.text.split(move |letter| !is_word(letter));
    files.flat_map(of).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// What is to be kept of events for the expressions of some files.
fn wanted<'f>(files: impl Iterator<Item = &'f SourceFile>) -> Result<BTreeSet<Kept>> {
    let of = |SourceFile { text, file, .. }: &SourceFile| -> Result<BTreeSet<Kept>> {
        let measures = expression::measures_in(text, file)?;
        Ok(Kept::wanted(&measures, &expression::sequences_in(text, file)?))
    };
    let (mut wanted, mut problems) = (BTreeSet::new(), Vec::new());
    for file in files {
        match of(file) {
            Ok(kept) => wanted.extend(kept),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if problems.is_empty() { Ok(wanted) } else { Err(EngineError::invalid(problems.join("\n"))) }
}

/// The different texts in a column of a table of the published generation; none if that has no such table.
///
/// # Errors
/// What the store and the query report.
pub(super) async fn published_texts(
    project: &Project,
    session: &SessionContext,
    published: &Generation,
    name: &TableName,
    column: &str,
) -> Result<BTreeSet<String>> {
    let Some(table) = published.tables.get(&name.to_string()) else { return Ok(BTreeSet::new()) };
    let Some(version) = table.open_if_there(&project.lake, name).await? else {
        return Ok(BTreeSet::new());
    };
    let rows = session.read_table(Arc::new(Scan::new(&project.lake, version)))?;
    let mut texts = BTreeSet::new();
    for batch in &rows.select_columns(&[column])?.distinct()?.collect().await? {
        texts.extend(text(batch.column(0))?.iter().flatten().map(str::to_owned));
    }
    Ok(texts)
}

fn traits_name() -> TableName {
    TableName::new("config", "traits")
}

/// The traits as the last refresh defined them.
fn trait_definitions() -> TableName {
    TableName::new("profile", "trait_definitions")
}

fn segments_name() -> TableName {
    TableName::new("config", "segments")
}

/// Notes that `given` changed, unless it says what `kept` said in the last generation: a thousand definitions are not written
/// again for nothing, nor is what reads them computed again.
///
/// # Errors
/// What the query reports.
async fn note_if_changed(workspace: &Workspace, given: TableName, kept: TableName, columns: &[&str]) -> Result<()> {
    let has_changed = if workspace.previous.contains_key(&kept) {
        let slices = BTreeSet::from([Reference { name: kept.clone(), slice: Slice::Previous }]);
        workspace.register_slices(&slices)?;
        let columns = columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
        let [now, before] =
            [given.to_string(), format!("previous.{kept}")].map(|of| format!("select {columns} from {of}"));
        let differing = format!("({now} except {before}) union all ({before} except {now})");
        let differing = workspace.session.sql(&differing).await?.limit(0, Some(1))?.collect().await?;
        differing.iter().any(|batch| batch.num_rows() > 0)
    } else {
        true
    };
    if has_changed {
        workspace.note_changed(given);
    }
    Ok(())
}

/// Registers `config.segments(segment, title, purpose, description, expression)`.
///
/// # Errors
/// InvalidInput for all files whose names or headers are wrong.
pub(crate) fn register_segments(session: &SessionContext, files: &[SourceFile]) -> Result<()> {
    register_texts(session, &segments_name(), SEGMENT_COLUMNS, files, |file| {
        let SegmentHeader { title, purpose, description, sql } = expression::read_segment_header(file)?;
        Ok([Some(file.name.clone()), title, purpose, description, Some(sql)])
    })
}

/// Registers `config.traits(trait, title, description, window, expression)`.
///
/// # Errors
/// InvalidInput for all files whose headers are wrong.
pub(crate) fn register_traits(session: &SessionContext, files: &[SourceFile]) -> Result<()> {
    register_texts(session, &traits_name(), TRAIT_COLUMNS, files, |file| {
        let TraitHeader { title, description, window, sql } = expression::read_trait_header(file)?;
        Ok([Some(file.name.clone()), title, description, window, Some(sql)])
    })
}

fn lists_name() -> TableName {
    TableName::new("config", "lists")
}

fn listed_name() -> TableName {
    TableName::new("config", "listed")
}

/// Registers `config.lists(list, identifiers, dropped)` and `config.listed(list, namespace, value)`.
///
/// # Errors
/// None that is known.
pub(crate) fn register_lists(session: &SessionContext, lists: &[List]) -> Result<()> {
    let integers = |value: fn(&List) -> u64| -> ArrayRef {
        Arc::new(lists.iter().map(|list| i64::try_from(value(list)).ok()).collect::<Int64Array>())
    };
    let names = lists.iter().map(|list| Some(list.name.as_str())).collect::<StringViewArray>();
    let columns: [(&str, ArrayRef); 3] = [
        ("list", Arc::new(names)),
        ("identifiers", integers(|list| list.identifiers.len() as u64)),
        ("dropped", integers(|list| list.dropped)),
    ];
    register_batch(session, &lists_name(), RecordBatch::try_from_iter(columns)?)?;
    let rows = || lists.iter().flat_map(|list| list.identifiers.iter().map(move |identifier| (&list.name, identifier)));
    let texts = |value: fn((&'_ String, &'_ (String, String))) -> String| -> ArrayRef {
        Arc::new(rows().map(|row| Some(value(row))).collect::<StringViewArray>())
    };
    let columns = [
        ("list", texts(|(list, _)| list.clone())),
        ("namespace", texts(|(_, (namespace, _))| namespace.clone())),
        ("value", texts(|(_, (_, value))| value.clone())),
    ];
    register_batch(session, &listed_name(), RecordBatch::try_from_iter(columns)?)
}

fn register_batch(session: &SessionContext, name: &TableName, batch: RecordBatch) -> Result<()> {
    register(session, CATALOG, name, Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}

fn register_texts<const N: usize>(
    session: &SessionContext,
    name: &TableName,
    columns: [&str; N],
    files: &[SourceFile],
    row: impl Fn(&SourceFile) -> Result<[Option<String>; N]>,
) -> Result<()> {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        match row(file) {
            Ok(row) => rows.push(row),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if !problems.is_empty() {
        return Err(EngineError::invalid(problems.join("\n")));
    }
    let texts = |column: usize| rows.iter().map(|row| row[column].as_deref()).collect::<StringViewArray>();
    let arrays = (0..N).map(|column| Arc::new(texts(column)) as ArrayRef).collect();
    let schema = Arc::new(Schema::new(columns.map(|name| Field::new(name, DataType::Utf8View, true)).to_vec()));
    let batch = RecordBatch::try_new(schema, arrays)?;
    register_batch(session, name, batch)
}

fn measures_name() -> TableName {
    TableName::new("config", "measures")
}

/// Registers `config.measures(measure_id, event_name, definition, is_instant, is_kept, is_new)` and the functions that find what is
/// kept.
pub(crate) fn register_keeping(session: &SessionContext, keeping: &Keeping) -> Result<()> {
    let listed = &keeping.listed;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(listed.iter().map(|listed| Some(listed.measure_id)).collect::<Int64Array>()),
        Arc::new(listed.iter().map(|listed| Some(listed.event_name.as_str())).collect::<StringViewArray>()),
        Arc::new(listed.iter().map(|listed| Some(listed.definition.as_str())).collect::<StringViewArray>()),
        Arc::new(listed.iter().map(|listed| Some(listed.is_instant)).collect::<BooleanArray>()),
        Arc::new(listed.iter().map(|listed| Some(listed.is_kept)).collect::<BooleanArray>()),
        Arc::new(listed.iter().map(|listed| Some(keeping.new.contains(&listed.measure_id))).collect::<BooleanArray>()),
    ];
    let schema = Arc::new(Schema::new(vec![
        Field::new("measure_id", DataType::Int64, false),
        Field::new("event_name", DataType::Utf8View, false),
        Field::new("definition", DataType::Utf8View, false),
        Field::new("is_instant", DataType::Boolean, false),
        Field::new("is_kept", DataType::Boolean, false),
        Field::new("is_new", DataType::Boolean, false),
    ]));
    let batch = RecordBatch::try_new(schema, columns)?;
    register_batch(session, &measures_name(), batch)?;
    for function in evaluation::functions(session, keeping)? {
        session.register_udf(function.as_ref().clone());
    }
    Ok(())
}

/// What the last generation kept; nothing if everything is computed anew.
async fn last_listed(workspace: &Workspace) -> Result<Vec<Listed>> {
    let name = TableName::new("behavior", "measure_definitions");
    if !workspace.previous.contains_key(&name) {
        return Ok(Vec::new());
    }
    workspace.register_slices(&BTreeSet::from([Reference { name, slice: Slice::Previous }]))?;
    all_listed(&workspace.session, "previous.behavior.measure_definitions").await
}
