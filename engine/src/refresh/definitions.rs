//! What the project defines beside models: traits and segments, and what has to be kept of events for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

use crate::clock::Micros;
use crate::error::{EngineError, Result};
use crate::evaluation::{self, Census, Keeping, Kept, Listed, all_listed};
use crate::expression::{self, SegmentHeader, SourceFile};
use crate::model::definition::{Reference, Slice};
use crate::model::workspace::Workspace;
use crate::project::Project;
use crate::query::catalog::register;
use crate::query::session::CATALOG;
use crate::store::TableName;

/// The project's traits and segments as one refresh uses them.
pub(crate) struct Definitions {
    /// The files of `traits/`.
    pub(crate) traits: Vec<SourceFile>,
    /// The files of `segments/`.
    pub(crate) segments: Vec<SourceFile>,
    /// The instant as of which they are computed.
    pub(crate) as_of: Micros,
    /// The generation that the refresh makes.
    pub(crate) generation: u64,
    /// What is known of profiles, once they are computed.
    pub(crate) census: Census,
}

impl Definitions {
    /// Loads them, and lets models of `workspace` know what is to be kept.
    ///
    /// # Errors
    /// InvalidInput with file, line and column for what asks for figures of events in a wrong way.
    pub(crate) async fn load(project: &Project, workspace: &Workspace, generation: u64) -> Result<Self> {
        let traits = expression::load(&project.folder, "traits")?;
        let segments = expression::load(&project.folder, "segments")?;
        let mut wanted = BTreeSet::new();
        for file in traits.iter().chain(&segments) {
            wanted.extend(expression::measures_in(&file.text, &file.file)?.iter().map(Kept::of));
        }
        wanted.retain(|kept| !kept.is_of_all_events());
        let last = last_listed(workspace).await?;
        let keeping = Keeping::settle(wanted, last.clone());
        register_keeping(&workspace.session, &keeping)?;
        if keeping.listed != last {
            workspace.note_changed(measures_name());
        }
        register_segments(&workspace.session, &segments)?;
        workspace.note_changed(segments_name());
        let as_of = project.clock.now();
        Ok(Self { traits, segments, as_of, generation, census: Census::new(&workspace.session, as_of) })
    }
}

fn segments_name() -> TableName {
    TableName::new("config", "segments")
}

/// Registers `config.segments(segment, title, purpose, description, expression)`.
///
/// # Errors
/// InvalidInput for all files whose names or headers are wrong.
pub(crate) fn register_segments(session: &SessionContext, files: &[SourceFile]) -> Result<()> {
    let (mut headers, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        match expression::read_segment_header(file) {
            Ok(header) => headers.push((file.name.as_str(), header)),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if !problems.is_empty() {
        return Err(EngineError::invalid(problems.join("\n")));
    }
    let text = |value: fn(&SegmentHeader) -> Option<&str>| -> ArrayRef {
        Arc::new(headers.iter().map(|(_, header)| value(header)).collect::<StringViewArray>())
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(headers.iter().map(|(name, _)| Some(*name)).collect::<StringViewArray>()),
        text(|header| header.title.as_deref()),
        text(|header| header.purpose.as_deref()),
        text(|header| header.description.as_deref()),
        text(|header| Some(&header.sql)),
    ];
    let names = ["segment", "title", "purpose", "description", "expression"];
    let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8View, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    register(session, CATALOG, &segments_name(), Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

fn measures_name() -> TableName {
    TableName::new("config", "measures")
}

/// Registers `config.measures(measure_id, event_name, definition, is_kept, is_new)` and the functions that find what is
/// kept.
pub(crate) fn register_keeping(session: &SessionContext, keeping: &Keeping) -> Result<()> {
    let listed = &keeping.listed;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(listed.iter().map(|listed| Some(listed.measure_id)).collect::<Int64Array>()),
        Arc::new(listed.iter().map(|listed| Some(listed.event_name.as_str())).collect::<StringViewArray>()),
        Arc::new(listed.iter().map(|listed| Some(listed.definition.as_str())).collect::<StringViewArray>()),
        Arc::new(listed.iter().map(|listed| Some(listed.is_kept)).collect::<BooleanArray>()),
        Arc::new(listed.iter().map(|listed| Some(keeping.new.contains(&listed.measure_id))).collect::<BooleanArray>()),
    ];
    let schema = Arc::new(Schema::new(vec![
        Field::new("measure_id", DataType::Int64, false),
        Field::new("event_name", DataType::Utf8View, false),
        Field::new("definition", DataType::Utf8View, false),
        Field::new("is_kept", DataType::Boolean, false),
        Field::new("is_new", DataType::Boolean, false),
    ]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    register(session, CATALOG, &measures_name(), Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))?;
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
