//! One refresh, from lease to publication.
//!
//! Nothing that it writes is visible before the last step, the creation of the generation; whatever fails before leaves
//! the last generation served, and the next refresh starts again from there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use futures::stream::{self, FuturesUnordered};
use futures::{FutureExt, StreamExt, TryStreamExt};
use tracing::Instrument;

use crate::clock::Micros;
use crate::config::{IdentityConfig, ProjectConfig, Source};
use crate::error::{EngineError, ErrorKind, Result};
use crate::identity::corrections::Corrections;
use crate::model::built_in;
use crate::model::catalog::Catalog;
use crate::model::definition::Model;
use crate::model::materialize::Outcome;
use crate::model::workspace::{TableState, Workspace};
use crate::profile::traits;
use crate::progress::Progress;
use crate::project::{Project, register_known_names};
use crate::query::catalog::register;
use crate::query::session::CATALOG;
use crate::refresh::check;
use crate::refresh::definitions::Definitions;
use crate::refresh::history::{self, FROM_BACKUP};
use crate::refresh::kept::{self, Kept};
use crate::refresh::ledger::Ledger;
use crate::refresh::merges;
use crate::refresh::report::{RefreshReport, StepReport};
use crate::store::delta::{Table, Version};
use crate::store::generation::{self, Generation, PublishedTable};
use crate::store::lease::Lease;
use crate::store::{Lake, TableName, maintenance};
use crate::{ids, landing, limits, profile, segment};

/// So far may the clocks of two machines differ, in microseconds.
const CLOCK_SKEW: Micros = limits::LEASE_SKEW_SECONDS * 1_000_000;

/// What a refresh is to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct RefreshOptions {
    /// Compute everything anew.
    pub full: bool,
    /// Publish even if more profiles merge than `merges_max_share` in `[identity]` allows.
    pub allow_merges: bool,
    /// Do nothing if what is published was computed by a refresh that started at this instant or later, microseconds
    /// since 1970 UTC. So whoever shares a schedule may try, and one does it.
    pub unless_started_since: Option<Micros>,
}

/// A refresh that may begin: it holds the lease.
pub struct RefreshRun {
    project: Arc<Project>,
    options: RefreshOptions,
    lease: Lease,
    ledger: Ledger,
    /// What is kept for the next one; `None` if this process makes only one.
    kept: Option<Arc<Kept>>,
}

impl std::fmt::Debug for RefreshRun {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "RefreshRun({})", self.id())
    }
}

impl RefreshRun {
    /// Takes the lease. `None` if somebody else has done it already (see [`RefreshOptions::unless_started_since`]).
    ///
    /// # Errors
    /// Conflict while another refresh runs.
    pub(crate) async fn begin(
        project: &Arc<Project>,
        options: RefreshOptions,
        kept: Option<Arc<Kept>>,
    ) -> Result<Option<Self>> {
        let refresh_id = ids::refresh_id();
        let lease = Lease::acquire(&project.lake, &refresh_id, &project.clock).await?;
        // Only who holds the lease can know that nobody is about to publish.
        if let Some(since) = options.unless_started_since {
            let last = generation::latest(&project.lake).await;
            let is_done = last.as_ref().is_ok_and(|last| {
                last.as_ref().is_some_and(|last| {
                    let started_at = if options.full { last.full_started_at } else { last.started_at };
                    // One that began in what is still to come had a wrong clock: it would be the last one for so long.
                    (since..=project.clock.now() + CLOCK_SKEW).contains(&started_at)
                })
            });
            if is_done || last.is_err() {
                lease.release().await?;
                last?;
                return Ok(None);
            }
        }
        let mut ledger = Ledger::new(&refresh_id, project.clock.now());
        ledger.is_full = options.full; // also of one that is stopped before it is known what else needs a full one
        Ok(Some(Self { project: Arc::clone(project), options, lease, ledger, kept }))
    }

    /// The refresh's id.
    pub fn id(&self) -> &str {
        &self.ledger.refresh_id
    }

    /// When it began, microseconds since 1970 UTC.
    pub fn started_at(&self) -> Micros {
        self.ledger.started_at
    }

    /// Refreshes the lake. Ends early once `stop` does; then nothing is published.
    ///
    /// # Errors
    /// FailedPrecondition if a check fails; Cancelled if it was stopped; what the store and the queries report.
    pub(crate) async fn run(self, progress: &Progress, stop: BoxFuture<'static, ()>) -> Result<RefreshReport> {
        let Self { project, options, lease, mut ledger, kept } = self;
        let mut result = tokio::select! {
            result = refresh_holding_lease(&project, options, progress, &mut ledger, &lease, kept.as_deref()) => result,
            () = stop => Err(EngineError::new(
                ErrorKind::Cancelled,
                "the refresh was stopped: what was published before is still served",
            )),
        };
        // It may have been published all the same: stopped in that very moment, or told of it by no reply.
        if result.is_err()
            && let Ok(Some(latest)) = generation::latest(&project.lake).await
            && latest.refresh_id == ledger.refresh_id
        {
            ledger.generation = Some(latest.number);
            result = Ok(ledger.report(&project));
        }
        // The ledger is a log beside the generations: a failed run is told there too. What became of the run does not depend
        // on it, nor on the lease, which expires by itself.
        if let Err(error) = ledger.close(&project, &result).await {
            tracing::warn!(%error, "the run is not recorded in ops.refreshes and ops.checks");
        }
        if let Err(error) = lease.release().await {
            tracing::warn!(%error, "lease not released: the next refresh may have to wait until it expires");
        }
        result
    }
}

async fn refresh_holding_lease(
    project: &Project,
    options: RefreshOptions,
    progress: &Progress,
    ledger: &mut Ledger,
    lease: &Lease,
    kept: Option<&Kept>,
) -> Result<RefreshReport> {
    let catalog = Catalog::load(built_in::MODELS, &project.folder)?;
    let corrections = Corrections::load(project).await?;
    let last = generation::latest(&project.lake).await?;
    let fingerprint = fingerprint(&catalog, &project.config);
    let base = last.as_ref().filter(|generation| !options.full && generation.fingerprint == fingerprint);
    let number = last.as_ref().map_or(1, |generation| generation.number + 1);
    let last_versions = history::last_versions(&project.lake, &catalog, last.as_ref()).await?;
    let workspace =
        open_workspace(project, &project.lake, &ledger.refresh_id, last.as_ref(), base, last_versions).await?;
    // Only now is it known that the lake holds what it should.
    let made = catalog.models().iter().map(|model| &model.name);
    maintenance::clean(&project.lake, made, lease.confirm().await?, project.clock.now()).await?;
    history::register_generation(&workspace.session, number, ledger.started_at)?;
    register(&workspace.session, CATALOG, &corrections_name(), corrections.relation()?)?;
    if base.is_none_or(|base| base.corrections != corrections.digest()) {
        workspace.note_changed(corrections_name());
    }
    ledger.is_full = base.is_none();
    // Boxed, as models are: what a future holds of expressions costs the compiler minutes wherever it is part of another.
    let mut definitions =
        Definitions::load(project, &workspace, last.as_ref(), number, project.clock.now()).boxed().await?;
    if let Some(kept) = kept {
        definitions.graph = kept.take(&workspace, base).await;
    }
    let columns = profile_columns(project, last.as_ref()).await?;
    register_known_names(&workspace.session, &definitions.named(&columns, &catalog))?;

    run_models(&workspace, &catalog, Some(&definitions), progress, ledger).await?;
    if let (Some(last), Some(share), false) = (&last, project.config.identity.merges_max_share, options.allow_merges) {
        merges::check(&workspace, last, share).await?;
    }
    progress.step("checks");
    let (checks, outcome) = check::check_workspace(&workspace).await?;
    for step in checks {
        ledger.check(step, progress);
    }
    outcome?;

    let at = (definitions.as_of, project.clock.now());
    let next = describe(&workspace, last.as_ref(), ledger, fingerprint, corrections.digest(), at);
    lease.confirm().await?;
    if !generation::publish(&project.lake, &next).await? {
        return Err(EngineError::new(
            ErrorKind::Conflict,
            format!("another refresh published generation {} first: run `tessera refresh` again", next.number),
        ));
    }
    ledger.generation = Some(next.number);
    if let Some(kept) = kept {
        kept.put(&workspace, definitions.graph, &next.refresh_id).await;
    }
    Ok(ledger.report(project))
}

/// `config.corrections`.
pub(crate) fn corrections_name() -> TableName {
    TableName::new("config", "corrections")
}

fn report(name: String, outcome: &Outcome, seconds: f64) -> StepReport {
    StepReport { name, rows: outcome.rows_written, bytes: outcome.bytes_written, seconds, ran: outcome.ran }
}

/// What tables depend on besides data. When it changes, what was computed before is of no use.
fn fingerprint(catalog: &Catalog, config: &ProjectConfig) -> String {
    let mut hasher = blake3::Hasher::new();
    // Rules in Rust, and what crates know of telephone numbers or languages, change with releases: the version in the
    // workspace's `Cargo.toml` is raised for each, and its first refresh is a full one.
    hasher.update(env!("CARGO_PKG_VERSION").as_bytes());
    for model in catalog.models() {
        hasher.update(model.name.to_string().as_bytes());
        hasher.update(model.sql(true).as_bytes());
        hasher.update(model.sql(false).as_bytes());
    }
    // How many merges are too many changes no table.
    let identity = IdentityConfig { merges_max_share: None, ..config.identity.clone() };
    hasher.update(format!("{identity:?}{:?}{:?}{:?}", config.attributes, config.consents, config.behavior).as_bytes());
    for source in &config.sources {
        let Source { name, touchpoint, party, keep_links, updated_at, .. } = source;
        let has_updated_at = updated_at.is_some();
        hasher.update(format!("{:?}", (name, touchpoint, party, keep_links, has_updated_at)).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// A workspace over what landed and what is published, whose tables are written to `lake`. `base` is the last generation if
/// models run on what is new since.
///
/// # Errors
/// Corrupt if a table of the base is not as it was published, or anything that landed before is gone.
pub(crate) async fn open_workspace(
    project: &Project,
    lake: &Lake,
    refresh_id: &str,
    last: Option<&Generation>,
    base: Option<&Generation>,
    last_versions: BTreeMap<TableName, Version>,
) -> Result<Workspace> {
    let tables = base.iter().flat_map(|generation| &generation.tables);
    let opening: Vec<_> = tables.map(|(name, published)| open_previous(project, name, published)).collect();
    let previous: BTreeMap<_, _> = stream::iter(opening).buffer_unordered(limits::STORE_READS).try_collect().await?;
    let workspace =
        Workspace::new(lake, &project.lake, project.session()?, refresh_id, base.map(|_| previous), last_versions);
    for name in landing::tables() {
        let current = landed(project, &name, last).await?;
        let previous = workspace.previous.get(&name).map(|(version, _)| version.clone());
        let seen: HashSet<&str> =
            previous.iter().flat_map(|version| &version.files).map(|file| file.path.as_str()).collect();
        let new_files = current.files.iter().filter(|file| !seen.contains(file.path.as_str())).cloned().collect();
        workspace.keep(&name, TableState { base_rows: current.rows(), current, new_files, previous })?;
    }
    Ok(workspace)
}

/// A table as the last generation published it, and how many rows of a state were folded.
async fn open_previous(
    project: &Project,
    name: &str,
    published: &PublishedTable,
) -> Result<(TableName, (Version, u64))> {
    let name = TableName::parse(name)?;
    let version = published.open(&project.lake, &name).await.map_err(|error| {
        let is_landing = landing::tables().contains(&name);
        let advice = if is_landing { FROM_BACKUP } else { "run `tessera refresh --full`" };
        error.context(advice)
    })?;
    Ok((name, (version, published.base_rows)))
}

/// A landing table as it is now, which has all that the last generation read of it.
async fn landed(project: &Project, name: &TableName, last: Option<&Generation>) -> Result<Version> {
    let before = match last.and_then(|last| last.tables.get(&name.to_string())) {
        Some(published) => published.open(&project.lake, name).await.map_err(|error| error.context(FROM_BACKUP))?.files,
        None => {
            landing::create_if_absent(&project.lake, name).await?;
            Vec::new()
        }
    };
    let now = Table::new(&project.lake, name).open(None).await?;
    let now = now.ok_or_else(|| EngineError::internal(format!("table `{name}` is not there")))?;
    let here: HashSet<&str> = now.files.iter().map(|file| file.path.as_str()).collect();
    let gone = before.iter().filter(|file| !here.contains(file.path.as_str())).count();
    if gone > 0 {
        return Err(EngineError::corrupt(format!(
            "{FROM_BACKUP}: the log of table `{name}` does not tell of {gone} files that the last generation read"
        )));
    }
    Ok(now)
}

/// The columns that profiles had in the last generation, as far as it is there.
async fn profile_columns(project: &Project, last: Option<&Generation>) -> Result<BTreeSet<String>> {
    let mut columns = BTreeSet::new();
    for name in [traits::persons(), traits::profiles()] {
        let Some(published) = last.and_then(|last| last.tables.get(&name.to_string())) else { continue };
        let version = published.open_if_there(&project.lake, &name).await?;
        let schema = version.map(|version| version.schema);
        columns.extend(schema.iter().flat_map(|schema| schema.fields()).map(|field| field.name().clone()));
    }
    Ok(columns)
}

/// Runs all models, each after those that it reads, a few at a time: while one waits for its last file, another computes.
pub(crate) async fn run_models(
    workspace: &Workspace,
    catalog: &Catalog,
    definitions: Option<&Definitions>,
    progress: &Progress,
    ledger: &mut Ledger,
) -> Result<()> {
    let mut waiting: Vec<(&Model, BTreeSet<TableName>)> = Vec::new();
    for model in catalog.models() {
        // What the last generation holds is there already.
        let read = model.references()?.into_iter().filter(|reference| !reference.slice.is_earlier());
        let read = read.map(|reference| reference.name).filter(|name| catalog.get(name).is_some());
        waiting.push((model, read.collect()));
    }
    // Over everything, each model keeps all processors busy, and two only take each other's caches.
    let at_once = if workspace.incremental { limits::MODELS_AT_ONCE } else { 1 };
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < at_once
            && let Some(place) = waiting.iter().position(|(_, read)| read.is_empty())
        {
            let (model, _) = waiting.remove(place);
            progress.step(&model.name.to_string());
            let span = tracing::info_span!("model", table = %model.name);
            running.push(run_model(workspace, model, definitions).instrument(span).boxed());
        }
        let Some((model, outcome, seconds)) = running.next().await.transpose()? else { break };
        ledger.table(report(model.name.to_string(), &outcome, seconds), progress);
        for (_, read) in &mut waiting {
            read.remove(&model.name);
        }
    }
    match waiting.first() {
        None => Ok(()),
        Some((model, _)) => Err(EngineError::internal(format!("model `{}` never became ready", model.name))),
    }
}

async fn run_model<'m>(
    workspace: &Workspace,
    model: &'m Model,
    definitions: Option<&Definitions>,
) -> Result<(&'m Model, Outcome, f64)> {
    let started = Instant::now();
    let outcome = match definitions {
        // Without traits, persons are all there is to profiles.
        Some(definitions) if model.name == traits::persons() && definitions.traits.is_empty() => {
            let profiles = model.named(traits::profiles());
            let outcome = run_wide(workspace, &profiles, Some(definitions)).await?;
            workspace.define_view(model, format!("select * from {}", profiles.name)).await?;
            outcome
        }
        Some(definitions) if model.name == traits::profiles() && definitions.traits.is_empty() => Outcome::default(),
        _ if profile::is_wide(model) => run_wide(workspace, model, definitions).await?,
        Some(definitions) if model.name == traits::table() => {
            let Definitions { traits, census, touched, .. } = definitions;
            traits::compute(workspace, model, traits, census, touched.as_ref()).await?
        }
        Some(definitions) if model.name == segment::table() => {
            let Definitions { segments, census, touched, as_of, generation, .. } = definitions;
            segment::evaluate(workspace, model, segments, census, touched.as_ref(), *as_of, *generation).await?
        }
        Some(definitions) if definitions.empty_states.contains(&model.name) => {
            workspace.materialize(model, nothing_of, false).await?
        }
        Some(Definitions { graph: Some(_), .. }) if model.name == kept::touched() => {
            workspace.materialize(model, |_| kept::TOUCHED.to_owned(), false).await?
        }
        Some(Definitions { graph: Some(_), .. }) if model.name == kept::changed_components() => {
            workspace.materialize(model, nothing_of, false).await?
        }
        _ if model.name == traits::profiles() => {
            let sql = traits::with_traits(&workspace.session, &model.sql(workspace.incremental)).await?;
            workspace.materialize(model, |_| sql.clone(), false).await?
        }
        _ => workspace.materialize(model, |sql| sql, false).await?,
    };
    Ok((model, outcome, started.elapsed().as_secs_f64()))
}

/// A query that gives no row, with the columns of another one.
fn nothing_of(sql: String) -> String {
    format!("select * from (\n{sql}\n) nothing where false")
}

/// Runs a model that has a column for each attribute.
async fn run_wide(workspace: &Workspace, model: &Model, definitions: Option<&Definitions>) -> Result<Outcome> {
    let no_traits = BTreeSet::new();
    let traits = definitions.map_or(&no_traits, |definitions| &definitions.settled_traits);
    let attributes = profile::attribute_columns(&workspace.session, model, traits).await?;
    profile::register_columns(&workspace.session, &attributes);
    // A table that is not there yet, or has other columns, is written as a whole.
    let all = profile::columns_differ(workspace, model, &attributes);
    workspace.materialize(model, |sql| profile::with_attributes(&sql, &attributes), all).await
}

fn describe(
    workspace: &Workspace,
    last: Option<&Generation>,
    ledger: &Ledger,
    fingerprint: String,
    corrections: String,
    (as_of, published_at): (Micros, Micros),
) -> Generation {
    let published = |state: &TableState| PublishedTable {
        version: state.current.number,
        rows: state.current.rows(),
        bytes: state.current.bytes(),
        base_rows: state.base_rows,
    };
    Generation {
        number: last.map_or(1, |generation| generation.number + 1),
        refresh_id: ledger.refresh_id.clone(),
        started_at: ledger.started_at,
        full_started_at: match last {
            Some(last) if !ledger.is_full => last.full_started_at,
            _ => ledger.started_at,
        },
        published_at,
        as_of,
        tables: workspace.tables().iter().map(|(name, state)| (name.to_string(), published(state))).collect(),
        views: workspace.views().into_iter().map(|(name, sql)| (name.to_string(), sql)).collect(),
        fingerprint,
        corrections,
    }
}
