//! Checks. Of what a refresh will read: every model is planned against the columns that it may rely on, without any data, and
//! traits, segments and lists are read, so that a mistake is found before a refresh finds it. Of what it is about to publish, or
//! has published: the queries of `sql/checks/` find no row.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;

use crate::error::{EngineError, Result};
use crate::evaluation::{Keeping, column_type};
use crate::expression::{self, ColumnType, KnownNames};
use crate::identity::corrections::Corrections;
use crate::model::built_in;
use crate::model::catalog::Catalog;
use crate::model::definition::{Model, Slice, Strategy, counting_lines, references_in};
use crate::model::materialize::contracted;
use crate::model::workspace::Workspace;
use crate::project::Project;
use crate::query::catalog::register;
use crate::query::functions::text;
use crate::query::session::CATALOG;
use crate::refresh::definitions::{register_keeping, register_lists, register_segments, register_traits};
use crate::refresh::report::StepReport;
use crate::refresh::{history, lists};
use crate::segment::saved::with_saved;
use crate::store::TableName;
use crate::{landing, profile};

/// Plans all models, each as a full and as an incremental refresh would run it.
///
/// # Errors
/// InvalidInput naming the file, and the line where the planner knows it.
pub(crate) async fn check(project: &Project, catalog: &Catalog) -> Result<()> {
    let session = project.session()?;
    history::register_generation(&session, 1, 0)?;
    let corrections = Corrections::load(project).await?;
    register(&session, CATALOG, &TableName::new("config", "corrections"), corrections.relation()?)?;
    register_keeping(&session, &Keeping::default())?;
    register_segments(&session, &[])?;
    register_lists(&session, &[])?;
    register_traits(&session, &[])?;
    for name in landing::tables() {
        let table: Arc<dyn TableProvider> = Arc::new(EmptyTable::new(Arc::new(landing::table_schema(&name))));
        for slice in [CATALOG, "new", "previous", "last"] {
            register(&session, slice, &name, Arc::clone(&table))?;
        }
    }
    // What the last generation held is read by models that run before the one that makes it.
    for model in catalog.models() {
        if let Some(schema) = model.schema() {
            let table: Arc<dyn TableProvider> = Arc::new(EmptyTable::new(Arc::new(schema)));
            for slice in ["previous", "last"] {
                register(&session, slice, &model.name, Arc::clone(&table))?;
            }
        }
    }
    for model in catalog.models() {
        check_references(catalog, model)?;
        let mut planned = None;
        for incremental in [true, false] {
            let mut sql = profile::with_attributes(&model.sql(incremental), &[]);
            if model.name == profile::traits::profiles() {
                sql = profile::traits::with_traits(&session, &sql).await?;
            }
            let frame = session.sql(&sql).await.map_err(|error| located(model, EngineError::from(error)))?;
            planned = Some(contracted(model, frame)?);
        }
        if let Some(replaces) = &model.replaces {
            session.sql(replaces).await.map_err(|error| located(model, EngineError::from(error)))?;
        }
        if model.strategy == Strategy::Fold {
            let table: Arc<dyn TableProvider> =
                Arc::new(EmptyTable::new(Arc::new(model.schema().unwrap_or_else(arrow::datatypes::Schema::empty))));
            register(&session, CATALOG, &model.name, table)?;
            session.sql(&model.fold_sql()).await.map_err(|error| located(model, EngineError::from(error)))?;
        }
        if let Some(frame) = planned {
            let table: Arc<dyn TableProvider> = Arc::new(EmptyTable::new(Arc::new(frame.schema().as_arrow().clone())));
            register(&session, CATALOG, &model.name, Arc::clone(&table))?;
            register(&session, "new", &model.name, table)?;
        }
    }
    Ok(())
}

/// Checks traits, segments and lists as the next refresh will read them, over the attributes that profiles of `session` have.
///
/// # Errors
/// InvalidInput with a line for each mistake, saying file, line and column: of traits, and once those are right, of segments and lists.
pub(crate) async fn check_definitions(project: &Project, session: &SessionContext) -> Result<()> {
    let traits = profile::traits::parse(session, &expression::load(&project.folder, "traits")?).await?;
    let files = with_saved(project, expression::load(&project.folder, "segments")?).await?;
    let persons = session.table("profile.persons").await?;
    let known = persons.schema().fields().iter();
    let mut columns: Vec<(String, ColumnType)> =
        known.filter_map(|field| Some((field.name().clone(), column_type(field.data_type())?))).collect();
    columns.extend(traits.iter().map(|definition| (definition.name.clone(), definition.column_type)));
    let lists = lists::load(project).await;
    let list_names = lists.as_ref().ok().map(|lists| lists.iter().map(|list| list.name.clone()).collect());
    let known = KnownNames { segments: None, lists: list_names, purposes: Some(purposes(session).await?) };
    expression::check_trait_names(&traits, &known)?;
    let segments = expression::read_segments(&files, &columns).checked(known);
    match (segments, lists) {
        (Err(of_segments), Err(of_lists)) => {
            Err(EngineError::new(of_segments.kind(), format!("{of_segments}\n{of_lists}")))
        }
        (segments, lists) => segments.map(drop).and(lists.map(drop)),
    }
}

/// The purposes of consent that the configuration names or somebody told.
async fn purposes(session: &SessionContext) -> Result<BTreeSet<String>> {
    let told = "select purpose from config.consents union select purpose from profile.consents";
    let mut purposes = BTreeSet::new();
    for batch in session.sql(told).await?.collect().await? {
        purposes.extend(text(batch.column(0))?.iter().flatten().map(str::to_owned));
    }
    Ok(purposes)
}

/// Runs every check on what a refresh is about to publish. After an incremental refresh a check looks at what that
/// touched: the rest was checked before.
///
/// # Errors
/// As [`run_checks`].
pub(crate) async fn check_workspace(workspace: &Workspace) -> Result<(Vec<StepReport>, Result<()>)> {
    for (file, text) in built_in::CHECKS {
        let references = references_in(&counting_lines(text, workspace.incremental))?;
        workspace.register_slices(&references).map_err(|error| error.context(format!("sql/checks/{file}")))?;
    }
    run_checks(&workspace.session, workspace.incremental).await
}

/// Runs every check of `sql/checks/`, a query that must give no row. Returns what each found, and whether all is well.
///
/// # Errors
/// What a query reports. The inner result: FailedPrecondition naming the checks that found rows.
async fn run_checks(session: &SessionContext, incremental: bool) -> Result<(Vec<StepReport>, Result<()>)> {
    let checks =
        built_in::CHECKS.iter().map(|(file, text)| run_check(session, file, counting_lines(text, incremental)));
    let steps = futures::future::try_join_all(checks).await?;
    let mut failed = Vec::new();
    for (step, (_, text)) in steps.iter().zip(built_in::CHECKS).filter(|(step, _)| step.rows > 0) {
        let meaning: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("-- ")).collect();
        failed.push(format!("check `{}` found {} rows ({})", step.name, step.rows, meaning.join(" ")));
    }
    if failed.is_empty() {
        return Ok((steps, Ok(())));
    }
    let failure = EngineError::failed_precondition(format!(
        "{}; what was published before is still served; run `tessera refresh --full`, and if the check fails again, report it",
        failed.join("; ")
    ));
    Ok((steps, Err(failure)))
}

async fn run_check(session: &SessionContext, file: &str, sql: String) -> Result<StepReport> {
    let started = Instant::now();
    let located = |error: DataFusionError| EngineError::from(error).context(format!("check `sql/checks/{file}`"));
    let rows = session.sql(&sql).await.map_err(located)?.count().await.map_err(located)?;
    let name = file.trim_end_matches(".sql").to_owned();
    Ok(StepReport { name, rows: rows as u64, bytes: 0, seconds: started.elapsed().as_secs_f64(), ran: true })
}

/// Runs the checks on what `session` reads.
///
/// # Errors
/// FailedPrecondition naming the checks that found rows.
pub(crate) async fn check_invariants(session: &SessionContext) -> Result<()> {
    run_checks(session, false).await?.1
}

/// `new.` and `previous.` name tables, not views; and only a model with a column contract can be read as it was.
fn check_references(catalog: &Catalog, model: &Model) -> Result<()> {
    for reference in model.references()? {
        let Some(read) = catalog.get(&reference.name) else { continue };
        match reference.slice {
            slice if slice != Slice::Current && read.strategy == Strategy::View => {
                return Err(model.error(
                    1,
                    format!("`{}` is a view: it has no new or previous rows; read the tables under it", read.name),
                ));
            }
            slice if slice.is_earlier() && read.columns.is_empty() => {
                return Err(model
                    .error(1, format!("`{}` of the last generation needs `-- columns:` in {}", read.name, read.file)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The planner names columns, not lines: find the line that has the name.
fn located(model: &Model, error: EngineError) -> EngineError {
    let message = error.to_string();
    let name = message
        .split_once("No field named ")
        .map(|(_, rest)| rest.split([' ', '.', ',']).next().unwrap_or(rest).trim_matches('"').to_owned());
    let line = name.and_then(|name| model.sql(true).lines().position(|line| line.contains(&name)));
    let place = line.map_or_else(|| model.file.clone(), |index| format!("{}:{}", model.file, index + 1));
    EngineError::new(error.kind(), message).context(place)
}
