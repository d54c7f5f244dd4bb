//! One refresh, from lease to publication.
//!
//! Nothing that it writes is visible before the last step, the creation of the generation; whatever fails before leaves
//! the last generation served, and the next refresh starts again from there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use crate::clock::Micros;
use crate::config::ProjectConfig;
use crate::error::{EngineError, ErrorKind, Result};
use crate::model::built_in;
use crate::model::catalog::Catalog;
use crate::model::definition::Model;
use crate::model::materialize::{Outcome, TableState, Workspace};
use crate::progress::Progress;
use crate::project::Project;
use crate::query::catalog::register;
use crate::query::session::CATALOG;
use crate::refresh::check;
use crate::refresh::ledger::Ledger;
use crate::refresh::report::{RefreshReport, StepReport};
use crate::store::delta::{Table, Version};
use crate::store::generation::{self, Generation, PublishedTable};
use crate::store::lease::Lease;
use crate::store::scan::Scan;
use crate::store::{TableName, maintenance};
use crate::{ids, landing, profile, segment};

/// Refreshes the lake. `full` computes everything anew.
///
/// # Errors
/// Conflict while another refresh runs; FailedPrecondition if a check fails; what the store and the queries report.
pub(crate) async fn refresh(project: &Project, full: bool, progress: &Progress) -> Result<RefreshReport> {
    let refresh_id = ids::refresh_id();
    let lease = Lease::acquire(&project.lake, &refresh_id, &project.clock).await?;
    let mut ledger = Ledger::new(&refresh_id, project.clock.now());
    let result = refresh_holding_lease(project, &refresh_id, full, progress, &mut ledger, &lease).await;
    // The ledger is a log beside the generations: a failed run is told there too.
    let recorded = ledger.close(project, &result).await;
    let released = lease.release().await;
    let report = result?;
    recorded?;
    released?;
    Ok(report)
}

async fn refresh_holding_lease(
    project: &Project,
    refresh_id: &str,
    full: bool,
    progress: &Progress,
    ledger: &mut Ledger,
    lease: &Lease,
) -> Result<RefreshReport> {
    let started = Instant::now();
    let config = &project.config;
    let catalog = Catalog::load(built_in::MODELS, &project.folder)?;
    let definitions = segment::load(&project.folder)?;
    maintenance::clean(&project.lake).await?;

    let last = generation::latest(&project.lake).await?;
    let fingerprint = fingerprint(&catalog, config);
    let base = last.as_ref().filter(|generation| !full && generation.fingerprint == fingerprint);
    let mut workspace = open_workspace(project, refresh_id, base).await?;
    ledger.is_full = base.is_none();

    let mut steps = Vec::new();
    for model in catalog.models() {
        progress.step(&model.name.to_string());
        let step = Instant::now();
        let outcome = run_model(&mut workspace, model).await?;
        steps.push(ledger.step(report(&model.name.to_string(), &outcome, step)));
    }
    let as_of = project.clock.now();
    progress.step("segments");
    for (name, outcome, seconds) in segment::refresh(&mut workspace, &definitions, last.as_ref(), as_of).await? {
        steps.push(ledger.step(StepReport {
            name,
            rows: outcome.rows_written,
            bytes: outcome.bytes_written,
            seconds,
            ran: outcome.ran,
        }));
    }
    progress.step("checks");
    let (checks, outcome) = check::run_checks(&workspace.session).await?;
    steps.extend(checks.into_iter().map(|step| ledger.check(step)));
    outcome?;

    let next = describe(&workspace, last.as_ref(), refresh_id, fingerprint, as_of);
    lease.confirm().await?;
    if !generation::publish(&project.lake, &next).await? {
        return Err(EngineError::new(
            ErrorKind::Conflict,
            format!("another refresh published generation {} first: run `tessera refresh` again", next.number),
        ));
    }
    ledger.generation = Some(next.number);
    Ok(RefreshReport { generation: next.number, full: base.is_none(), seconds: started.elapsed().as_secs_f64(), steps })
}

fn report(name: &str, outcome: &Outcome, started: Instant) -> StepReport {
    StepReport {
        name: name.to_owned(),
        rows: outcome.rows_written,
        bytes: outcome.bytes_written,
        seconds: started.elapsed().as_secs_f64(),
        ran: outcome.ran,
    }
}

/// What tables depend on besides data. When it changes, what was computed before is of no use.
fn fingerprint(catalog: &Catalog, config: &ProjectConfig) -> String {
    let mut hasher = blake3::Hasher::new();
    for model in catalog.models() {
        hasher.update(model.name.to_string().as_bytes());
        hasher.update(model.sql(true).as_bytes());
    }
    hasher.update(format!("{:?}{:?}", config.identity, config.behavior).as_bytes());
    for source in &config.sources {
        hasher
            .update(format!("{}{}{:?}{}", source.name, source.touchpoint, source.party, source.keep_links).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

async fn open_workspace(project: &Project, refresh_id: &str, base: Option<&Generation>) -> Result<Workspace> {
    let mut workspace = Workspace {
        lake: project.lake.clone(),
        session: project.session()?,
        run: refresh_id.to_owned(),
        incremental: base.is_some(),
        tables: BTreeMap::new(),
        views: Vec::new(),
        changed_views: BTreeSet::new(),
        previous: BTreeMap::new(),
    };
    for (name, published) in base.iter().flat_map(|generation| &generation.tables) {
        let name = TableName::parse(name)?;
        let version = open(project, &name, Some(published.version)).await?;
        workspace.previous.insert(name, (version, published.base_rows));
    }
    for name in landing::tables() {
        landing::create_if_absent(&project.lake, &name).await?;
        let current = open(project, &name, None).await?;
        let previous = workspace.previous.get(&name).map(|(version, _)| version.clone());
        let seen = previous.as_ref().map_or(0, |version| version.number);
        let new_files = current.files.iter().filter(|file| landing::sequence_of(file) > seen).cloned().collect();
        register(&workspace.session, CATALOG, &name, Arc::new(Scan::new(&project.lake, current.clone())))?;
        workspace.tables.insert(name, TableState { base_rows: current.rows(), current, new_files, previous });
    }
    Ok(workspace)
}

async fn open(project: &Project, name: &TableName, version: Option<u64>) -> Result<Version> {
    Table::new(&project.lake, name).open(version).await?.ok_or_else(|| {
        EngineError::corrupt(format!(
            "the last generation names table `{name}`, which the lake does not hold; run `tessera refresh --full`"
        ))
    })
}

async fn run_model(workspace: &mut Workspace, model: &Model) -> Result<Outcome> {
    if !profile::is_wide(model) {
        return workspace.materialize(model, |sql| sql, false).await;
    }
    let names = profile::attribute_names(workspace, model).await?;
    let all = profile::columns_differ(workspace, model, &names);
    workspace.materialize(model, |sql| profile::with_attributes(&sql, model, &names), all).await
}

fn describe(
    workspace: &Workspace,
    last: Option<&Generation>,
    refresh_id: &str,
    fingerprint: String,
    as_of: Micros,
) -> Generation {
    let published = |state: &TableState| PublishedTable {
        version: state.current.number,
        rows: state.current.rows(),
        bytes: state.current.bytes(),
        base_rows: state.base_rows,
    };
    Generation {
        number: last.map_or(1, |generation| generation.number + 1),
        refresh_id: refresh_id.to_owned(),
        published_at: as_of,
        as_of,
        tables: workspace.tables.iter().map(|(name, state)| (name.to_string(), published(state))).collect(),
        views: workspace.views.iter().map(|(name, sql)| (name.to_string(), sql.clone())).collect(),
        fingerprint,
    }
}
