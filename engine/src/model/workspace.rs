//! The tables of one refresh, and the session that sees them. Models that do not read each other run at the same time,
//! so what has been made is behind a lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;

use super::definition::{Model, Reference, Slice};
use crate::error::{EngineError, Result};
use crate::query::catalog::{register, register_view};
use crate::query::session::CATALOG;
use crate::store::delta::{DataFile, Version};
use crate::store::scan::Scan;
use crate::store::{Lake, TableName};

/// A table during a refresh.
#[derive(Debug, Clone)]
pub(crate) struct TableState {
    /// As this refresh leaves it.
    pub(crate) current: Version,
    /// The files that this refresh added.
    pub(crate) new_files: Vec<DataFile>,
    /// As the last generation has it; `None` when everything is computed anew.
    pub(crate) previous: Option<Version>,
    /// Rows that the last full write or compaction left.
    pub(crate) base_rows: u64,
}

impl TableState {
    /// As the last generation has it.
    pub(crate) fn unchanged(version: &Version, base_rows: u64) -> Self {
        Self { current: version.clone(), new_files: Vec::new(), previous: Some(version.clone()), base_rows }
    }

    /// True if this refresh changed it.
    pub(crate) fn is_changed(&self) -> bool {
        self.previous.as_ref().is_none_or(|previous| previous.number != self.current.number)
            || !self.new_files.is_empty()
    }
}

/// The tables of one refresh, and the session that sees them.
pub(crate) struct Workspace {
    /// The lake that the tables are written to.
    pub(crate) lake: Lake,
    /// The lake with what landed and what is published: the same one, unless nothing will be published.
    published: Lake,
    /// The session.
    pub(crate) session: SessionContext,
    /// The refresh: names its files.
    pub(crate) run: String,
    /// True if models run on what is new since the last generation.
    pub(crate) incremental: bool,
    /// Versions of the last generation with the rows of their bases; empty when everything is computed anew.
    pub(crate) previous: BTreeMap<TableName, (Version, u64)>,
    /// Versions of the last generation that histories need, also when everything is computed anew.
    pub(crate) last: BTreeMap<TableName, Version>,
    made: Mutex<Made>,
}

/// What the refresh has made so far.
#[derive(Default)]
struct Made {
    tables: BTreeMap<TableName, TableState>,
    /// SQL of the views, each after those that it reads.
    views: Vec<(TableName, String)>,
    /// Views of which something that they read changed, and what no model makes and is not as it was.
    changed_views: BTreeSet<TableName>,
    /// What is registered as `new.*`, `previous.*` and `last.*`.
    slices: BTreeSet<(Slice, TableName)>,
}

impl Workspace {
    /// One in which nothing is made yet.
    pub(crate) fn new(
        lake: &Lake,
        published: &Lake,
        session: SessionContext,
        run: &str,
        previous: Option<BTreeMap<TableName, (Version, u64)>>,
        last: BTreeMap<TableName, Version>,
    ) -> Self {
        Self {
            lake: lake.clone(),
            published: published.clone(),
            session,
            run: run.to_owned(),
            incremental: previous.is_some(),
            previous: previous.unwrap_or_default(),
            last,
            made: Mutex::default(),
        }
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a table, under its name.
    pub(crate) fn keep(&self, name: &TableName, state: TableState) -> Result<()> {
        register(&self.session, CATALOG, name, self.scan(state.current.clone()))?;
        self.made().tables.insert(name.clone(), state);
        Ok(())
    }

    /// Keeps a view, under its name.
    pub(crate) async fn define_view(&self, model: &Model, sql: String) -> Result<()> {
        register_view(&self.session, &model.name, &sql).await.map_err(|error| error.context(&model.file))?;
        let has_changed = self.has_changed_inputs(model)?;
        let mut made = self.made();
        if has_changed {
            made.changed_views.insert(model.name.clone());
        }
        made.views.push((model.name.clone(), sql));
        Ok(())
    }

    /// Notes that something which no model makes is not as it was in the last generation.
    pub(crate) fn note_changed(&self, name: TableName) {
        self.made().changed_views.insert(name);
    }

    /// The tables as this refresh leaves them.
    pub(crate) fn tables(&self) -> BTreeMap<TableName, TableState> {
        self.made().tables.clone()
    }

    /// The views with their SQL, each after those that it reads.
    pub(crate) fn views(&self) -> Vec<(TableName, String)> {
        self.made().views.clone()
    }

    /// True if this refresh changed something that the model reads.
    pub(crate) fn has_changed_inputs(&self, model: &Model) -> Result<bool> {
        let (references, made) = (model.references()?, self.made());
        Ok(references.iter().filter(|reference| !reference.slice.is_earlier()).any(|reference| {
            made.changed_views.contains(&reference.name)
                || made.tables.get(&reference.name).is_some_and(TableState::is_changed)
        }))
    }

    /// Registers `new.*`, `previous.*` and `last.*` as a query names them.
    pub(crate) fn register_slices(&self, references: &BTreeSet<Reference>) -> Result<()> {
        let mut made = self.made();
        for Reference { name, slice } in references {
            if !made.slices.insert((*slice, name.clone())) {
                continue; // by a query before
            }
            match slice {
                Slice::Current => {}
                Slice::New => {
                    let state = made
                        .tables
                        .get(name)
                        .ok_or_else(|| EngineError::invalid(format!("`new.{name}` is not a table")))?;
                    let mut version = state.current.clone();
                    if self.incremental {
                        version.files = state.new_files.clone();
                    }
                    register(&self.session, "new", name, self.scan(version))?;
                }
                Slice::Previous => {
                    if let Some((version, _)) = self.previous.get(name) {
                        // What is new looks for what it joins in what was.
                        let scan = Scan::new(&self.published, version.clone()).for_few_rows();
                        register(&self.session, "previous", name, Arc::new(scan))?;
                    }
                }
                Slice::Last => {
                    let version = self
                        .last
                        .get(name)
                        .ok_or_else(|| EngineError::invalid(format!("`last.{name}` is not a table of a model")))?;
                    register(&self.session, "last", name, Arc::new(Scan::new(&self.published, version.clone())))?;
                }
            }
        }
        Ok(())
    }

    /// Lets queries read what this refresh added to a table from where it still is, in a full refresh, too: `new.*` then lacks
    /// the earlier rows of a table that keeps any.
    pub(crate) fn keep_new_in_memory(&self, name: &TableName, rows: Arc<dyn TableProvider>) -> Result<()> {
        self.made().slices.insert((Slice::New, name.clone()));
        register(&self.session, "new", name, rows)
    }

    /// Puts something else in the place of a table that landed, for whoever reads it, and what is new of it.
    pub(crate) fn replace_landed(&self, name: &TableName, provider: Arc<dyn TableProvider>) -> Result<()> {
        self.made().slices.insert((Slice::New, name.clone()));
        register(&self.session, "new", name, Arc::clone(&provider))?;
        register(&self.session, CATALOG, name, provider)
    }

    /// A reading of a version that landed or that this refresh made.
    pub(crate) fn scan(&self, version: Version) -> Arc<Scan> {
        let lake = if version.name.schema == "landing" { &self.published } else { &self.lake };
        Arc::new(Scan::new(lake, version))
    }
}
