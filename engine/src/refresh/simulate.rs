//! What another configuration would make of the same data, and what a day in the past would have: tables are made anew, into
//! a folder that is thrown away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use chrono::{NaiveDate, NaiveTime};
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::lit;
use datafusion::prelude::{SQLOptions, SessionContext};
use futures::FutureExt;

use super::definitions::{Definitions, published_texts};
use super::history;
use super::ledger::Ledger;
use super::merges;
use super::run::{corrections_name, open_workspace, run_models};
use crate::clock::Micros;
use crate::error::{EngineError, Result};
use crate::evaluation::day_of;
use crate::identity::corrections::Corrections;
use crate::ids;
use crate::model::built_in;
use crate::model::catalog::Catalog;
use crate::model::definition::{Reference, Slice, Strategy, references_in};
use crate::model::workspace::Workspace;
use crate::progress::Progress;
use crate::project::{Project, register_known_names};
use crate::query::catalog::register;
use crate::query::cpu_runtime::CpuRuntime;
use crate::query::functions::constant;
use crate::query::session::CATALOG;
use crate::store::delta::Version;
use crate::store::{Lake, TableName, generation};

const MICROS_PER_DAY: Micros = 86_400_000_000;

/// Tables that nobody published, and a session to read them.
pub struct Simulation {
    session: SessionContext,
    cpu: Arc<CpuRuntime>,
    /// Why a refresh with this configuration would stop before it publishes.
    stopped: Option<String>,
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Simulation")
    }
}

impl Simulation {
    /// Who would be who: resolves everything that landed, by the configuration of `project`, and writes its tables to
    /// `scratch`. `identity.*` is as the configuration would have it, `last.identity.identities` as it is published, and
    /// `identity.changes` says what became of that.
    ///
    /// # Errors
    /// FailedPrecondition before the first refresh, which there would be nothing to compare with; what the store and the
    /// queries report.
    pub(crate) async fn run(
        project: &Project,
        cpu: Arc<CpuRuntime>,
        scratch: &Path,
        progress: &Progress,
    ) -> Result<Self> {
        let last = generation::latest(&project.lake).await?.ok_or_else(|| {
            EngineError::failed_precondition("nothing is published to compare with: run `tessera refresh` first")
        })?;
        let tables = ["changes", "dropped_links"].map(|name| TableName::new("identity", name));
        let catalog = Catalog::load(built_in::MODELS, &project.folder)?;
        let mut compared = history::last_versions(&project.lake, &catalog, Some(&last)).await?;
        let catalog = catalog.made_for(&tables)?;
        // A history begins anew: only what this configuration would change is of interest.
        for model in catalog.models().iter().filter(|model| model.strategy == Strategy::History) {
            if let Some(version) = compared.get_mut(&model.name) {
                version.files.clear();
            }
        }
        let (workspace, mut ledger) = open(project, scratch, compared, last.number + 1).await?;
        run_models(&workspace, &catalog, None, progress, &mut ledger).await?;
        let published = Reference { name: TableName::new("identity", "identities"), slice: Slice::Last };
        workspace.register_slices(&BTreeSet::from([published]))?;
        let stopped = match project.config.identity.merges_max_share {
            Some(share) => merges::exceeded(&workspace.session, &last, share).await?,
            None => None,
        };
        Ok(Self { session: workspace.session, cpu, stopped })
    }

    /// The tables that `query` reads, as a refresh at the end of a day would have made them, from what is known now of that
    /// time: events that happened by then, and records as they were by then. The configuration, traits and segments are
    /// those of today. Writes to `scratch`.
    ///
    /// # Errors
    /// InvalidInput for SQL that cannot be read, and for a trait or segment that is wrong; what the store and the queries
    /// report.
    pub(crate) async fn as_of(
        project: &Project,
        cpu: Arc<CpuRuntime>,
        scratch: &Path,
        day: NaiveDate,
        query: &str,
        progress: &Progress,
    ) -> Result<Self> {
        let catalog = Catalog::load(built_in::MODELS, &project.folder)?;
        // Histories begin with that day.
        let nothing = history::last_versions(&project.lake, &catalog, None).await?;
        let read = references_in(query)?.into_iter().map(|reference| reference.name);
        let catalog = catalog.made_for(&read.collect::<Vec<_>>())?;
        let (workspace, mut ledger) = open(project, scratch, nothing, 1).await?;
        let midnight = day.and_time(NaiveTime::MIN).and_utc().timestamp_micros().saturating_add(MICROS_PER_DAY);
        for (table, instant) in [("events", "occurred_at"), ("records", "coalesce(updated_at, landed_at)")] {
            let landed = workspace.session.table(format!("landing.{table}")).await?;
            let until = landed.parse_sql_expr(instant)?.lt(lit(timestamp(midnight)));
            workspace.replace_landed(&TableName::new("landing", table), landed.filter(until)?.into_view())?;
        }
        let published = generation::latest(&project.lake).await?;
        let definitions = Definitions::load(project, &workspace, published.as_ref(), 1, midnight - 1).boxed().await?;
        // Whoever names an attribute or a purpose today may do so although nobody had told it then.
        let mut known = Vec::new();
        for (kind, table, column) in [("attribute", "attributes", "name"), ("purpose", "consents", "purpose")] {
            let Some(published) = &published else { continue };
            let table = TableName::new("profile", table);
            let names = published_texts(project, &workspace.session, published, &table, column).await?;
            known.extend(names.into_iter().map(|name| (kind, name)));
        }
        register_known_names(&workspace.session, &known)?;
        run_models(&workspace, &catalog, Some(&definitions), progress, &mut ledger).await?;
        // In the query, too, it is that day.
        let (now, today) = (timestamp(midnight - 1), ScalarValue::Date32(Some(day_of(midnight - 1))));
        let moments = [("now", &now), ("current_timestamp", &now), ("current_date", &today), ("today", &today)];
        for (name, value) in moments {
            workspace.session.register_udf(constant(name, value.clone()).as_ref().clone());
        }
        Ok(Self { session: workspace.session, cpu, stopped: None })
    }

    /// Why a refresh with this configuration would stop, unless told to allow merges: too many profiles become one person.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// Runs a query over it, and returns the answer's columns and rows as they come.
    ///
    /// # Errors
    /// InvalidInput for SQL that is wrong or not read-only.
    pub(crate) async fn stream(&self, query: &str) -> Result<SendableRecordBatchStream> {
        let only_reads = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        Ok(self.session.sql_with_options(query, only_reads).await?.execute_stream().await?)
    }

    /// All rows of a query over it, for small answers.
    ///
    /// # Errors
    /// What the query reports.
    pub async fn collect(&self, query: &str) -> Result<Vec<RecordBatch>> {
        let (session, query) = (self.session.clone(), query.to_owned());
        self.cpu.run(async move { Ok(session.sql(&query).await?.collect().await?) }).await
    }
}

/// A workspace over everything that landed, whose tables are written to `scratch`.
async fn open(
    project: &Project,
    scratch: &Path,
    last: BTreeMap<TableName, Version>,
    number: u64,
) -> Result<(Workspace, Ledger)> {
    let lake = Lake::scratch(scratch)?;
    project.runtime.register(&lake);
    let published = generation::latest(&project.lake).await?;
    let ledger = Ledger::new(&ids::refresh_id(), project.clock.now());
    let workspace = open_workspace(project, &lake, &ledger.refresh_id, published.as_ref(), None, last).await?;
    history::register_generation(&workspace.session, number, ledger.started_at)?;
    let corrections = Corrections::load(project).await?;
    register(&workspace.session, CATALOG, &corrections_name(), corrections.relation()?)?;
    Ok((workspace, ledger))
}

fn timestamp(micros: Micros) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
}
