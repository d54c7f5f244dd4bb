//! What another configuration would make of the same data: who is who is resolved anew, into a folder that is thrown away.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::prelude::SessionContext;

use super::history;
use super::ledger::Ledger;
use super::run::{corrections_name, open_workspace, run_models};
use crate::error::{EngineError, Result};
use crate::identity::corrections::Corrections;
use crate::ids;
use crate::model::built_in;
use crate::model::catalog::Catalog;
use crate::model::definition::{Reference, Slice, Strategy};
use crate::progress::Progress;
use crate::project::Project;
use crate::query::catalog::register;
use crate::query::cpu_runtime::CpuRuntime;
use crate::query::session::CATALOG;
use crate::store::{Lake, TableName, generation};

/// Who would be who: `identity.*` as the configuration would have it, `last.identity.identities` as it is published, and
/// in `identity.changes` what became of that.
pub struct Simulation {
    session: SessionContext,
    cpu: Arc<CpuRuntime>,
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Simulation")
    }
}

impl Simulation {
    /// Resolves everything that landed, by the configuration of `project`, and writes its tables to `scratch`.
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
        let lake = Lake::open(&scratch.to_string_lossy(), scratch, &Default::default())?;
        project.runtime.register(&lake);
        let mut ledger = Ledger::new(&ids::refresh_id(), project.clock.now());
        let workspace = open_workspace(project, &lake, &ledger.refresh_id, None, compared).await?;
        history::register_generation(&workspace.session, last.number + 1, ledger.started_at)?;
        let corrections = Corrections::load(project).await?;
        register(&workspace.session, CATALOG, &corrections_name(), corrections.relation()?)?;
        run_models(&workspace, &catalog, None, progress, &mut ledger).await?;
        let published = Reference { name: TableName::new("identity", "identities"), slice: Slice::Last };
        workspace.register_slices(&BTreeSet::from([published]))?;
        Ok(Self { session: workspace.session, cpu })
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
