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
use crate::evaluation::{Keeping, attribute_of, column_type};
use crate::expression::{self, ColumnType, KnownNames, SourceFile};
use crate::identity::corrections::Corrections;
use crate::model::built_in;
use crate::model::catalog::Catalog;
use crate::model::definition::{Model, Slice, Strategy, counting_lines, references_in};
use crate::model::materialize::contracted;
use crate::model::workspace::Workspace;
use crate::project::{Project, register_known_names};
use crate::query::catalog::register;
use crate::query::functions::text;
use crate::query::session::CATALOG;
use crate::refresh::definitions::{register_keeping, register_lists, register_segments, register_traits, words};
use crate::refresh::history;
use crate::refresh::lists::{self, List};
use crate::refresh::report::StepReport;
use crate::segment::saved::with_saved;
use crate::store::TableName;
use crate::{landing, profile};

/// Plans all models, each as a full and as an incremental refresh would run it. Which attributes and traits profiles have is
/// known of what is `published`, if anything is. If nothing is, traits, segments and lists are checked here, as far as that takes
/// no data. Returns the session, which has all tables, without rows.
///
/// # Errors
/// InvalidInput naming the file, and the line where the planner knows it.
pub(crate) async fn check(
    project: &Project,
    catalog: &Catalog,
    published: Option<&SessionContext>,
) -> Result<SessionContext> {
    let session = project.session()?;
    history::register_generation(&session, 1, 0)?;
    let corrections = Corrections::load(project).await?;
    register(&session, CATALOG, &TableName::new("config", "corrections"), corrections.relation()?)?;
    register_keeping(&session, &Keeping::default())?;
    register_segments(&session, &[])?;
    register_lists(&session, &[])?;
    register_traits(&session, &[])?;
    let (traits, settled) = match published {
        Some(published) => {
            let traits = expression::load(&project.folder, "traits")?;
            let segments = with_saved(project, expression::load(&project.folder, "segments")?).await?;
            let settled = settled_traits(&traits, published).await?;
            let mut told = told_attributes(catalog, &settled, published).await?;
            // One that has no column gets one once it is named.
            let all = texts(published, "select distinct name from profile.attributes where is_current").await?;
            told.extend(&all & &words(traits.iter().chain(&segments)));
            let told: Vec<_> = told.into_iter().map(|name| ("attribute", name)).collect();
            register_known_names(&session, &told)?;
            (traits, settled)
        }
        None => {
            check_without_data(project, catalog).await?;
            (Vec::new(), BTreeSet::new())
        }
    };
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
        let mut attributes = Vec::new();
        if profile::is_wide(model) {
            attributes = profile::attribute_columns(&session, model, &settled).await?;
            profile::register_columns(&session, &attributes);
        }
        for incremental in [true, false] {
            let mut sql = profile::with_attributes(&model.sql(incremental), &attributes);
            if model.name == profile::traits::profiles() {
                sql = profile::traits::with_traits(&session, &sql).await?;
            }
            let frame = session
                .sql(&sql)
                .await
                .map_err(|error| located(model, EngineError::from(error), published.is_some()))?;
            planned = Some(contracted(model, frame)?);
        }
        if let Some(replaces) = &model.replaces {
            session
                .sql(replaces)
                .await
                .map_err(|error| located(model, EngineError::from(error), published.is_some()))?;
        }
        if model.strategy == Strategy::Fold {
            let table: Arc<dyn TableProvider> =
                Arc::new(EmptyTable::new(Arc::new(model.schema().unwrap_or_else(arrow::datatypes::Schema::empty))));
            register(&session, CATALOG, &model.name, table)?;
            session
                .sql(&model.fold_sql())
                .await
                .map_err(|error| located(model, EngineError::from(error), published.is_some()))?;
        }
        if let Some(frame) = planned {
            let mut schema = frame.schema().as_arrow().clone();
            if model.name == profile::traits::table() {
                let definitions = profile::traits::parse(&session, &traits).await?;
                schema = profile::traits::with_columns(&schema, &definitions);
            }
            let table: Arc<dyn TableProvider> = Arc::new(EmptyTable::new(Arc::new(schema)));
            register(&session, CATALOG, &model.name, Arc::clone(&table))?;
            register(&session, "new", &model.name, table)?;
        }
    }
    Ok(session)
}

/// Checks traits, segments and lists as far as no attribute is needed to: which there are is known once data is.
///
/// # Errors
/// As [`check_definitions`].
async fn check_without_data(project: &Project, catalog: &Catalog) -> Result<()> {
    let own = catalog.get(&profile::traits::persons()).map(|persons| persons.columns.as_slice()).unwrap_or_default();
    let own = own.iter().filter_map(|column| Some((column.name.clone(), column_type(&column.data_type)?)));
    let mut columns: Vec<(String, ColumnType)> = own.collect();
    let traits = SourceFile::check_traits(&expression::load(&project.folder, "traits")?, &columns)?;
    let files = with_saved(project, expression::load(&project.folder, "segments")?).await?;
    columns.extend(traits.into_iter().map(|definition| (definition.name, definition.column_type)));
    let lists = lists::load(project).await;
    // To which purposes somebody consents is in the data.
    let known = KnownNames { segments: None, lists: names_of(&lists), purposes: None };
    both(SourceFile::check_segments(&files, &columns, known), lists)
}

/// The names of lists, if all could be read.
fn names_of(lists: &Result<Vec<List>>) -> Option<BTreeSet<String>> {
    lists.as_ref().ok().map(|lists| lists.iter().map(|list| list.name.clone()).collect())
}

/// What is wrong with segments, and with lists.
fn both<S, L>(segments: Result<S>, lists: Result<L>) -> Result<()> {
    match (segments, lists) {
        (Err(of_segments), Err(of_lists)) => {
            Err(EngineError::new(of_segments.kind(), format!("{of_segments}\n{of_lists}")))
        }
        (segments, lists) => segments.map(drop).and(lists.map(drop)),
    }
}

/// Those of the project's traits that the published generation has, too.
async fn settled_traits(traits: &[SourceFile], published: &SessionContext) -> Result<BTreeSet<String>> {
    let names: BTreeSet<String> = traits.iter().map(|file| file.name.clone()).collect();
    let before = texts(published, "select trait from profile.trait_definitions").await?;
    Ok(&names & &before)
}

/// Attributes that have a column in the published generation.
async fn told_attributes(
    catalog: &Catalog,
    traits: &BTreeSet<String>,
    published: &SessionContext,
) -> Result<BTreeSet<String>> {
    let models = [profile::traits::persons(), profile::traits::profiles()];
    let models = models.iter().filter_map(|name| catalog.get(name));
    let own: BTreeSet<&str> = models.flat_map(|model| &model.columns).map(|column| column.name.as_str()).collect();
    let is_taken = |name: &str| own.contains(name) || traits.contains(name);
    let persons = published.table("profile.persons").await?;
    let names = persons.schema().fields().iter().map(|field| field.name()).filter(|name| !own.contains(name.as_str()));
    // What stood beside a trait that is gone has its name now.
    let told = names.map(|name| match attribute_of(name) {
        Some(attribute) if !is_taken(attribute) => attribute.to_owned(),
        _ => name.clone(),
    });
    Ok(told.collect())
}

/// Checks traits, segments and lists as the next refresh will read them, over the columns that `session` knows by [`check`].
///
/// # Errors
/// InvalidInput with a line for each mistake, saying file, line and column: of traits, and once those are right, of segments and lists.
pub(crate) async fn check_definitions(
    project: &Project,
    session: &SessionContext,
    published: &SessionContext,
) -> Result<()> {
    let traits = profile::traits::parse(session, &expression::load(&project.folder, "traits")?).await?;
    let files = with_saved(project, expression::load(&project.folder, "segments")?).await?;
    let persons = session.table("profile.persons").await?;
    let known = persons.schema().fields().iter();
    let mut columns: Vec<(String, ColumnType)> =
        known.filter_map(|field| Some((field.name().clone(), column_type(field.data_type())?))).collect();
    columns.extend(traits.iter().map(|definition| (definition.name.clone(), definition.column_type)));
    let lists = lists::load(project).await;
    let known = KnownNames { segments: None, lists: names_of(&lists), purposes: Some(purposes(published).await?) };
    expression::check_trait_names(&traits, &known)?;
    both(expression::read_segments(&files, &columns).checked(known), lists)
}

/// The purposes of consent that the configuration names or somebody told.
async fn purposes(session: &SessionContext) -> Result<BTreeSet<String>> {
    texts(session, "select purpose from config.consents union select purpose from profile.consents").await
}

/// The texts in the one column of an answer.
async fn texts(session: &SessionContext, query: &str) -> Result<BTreeSet<String>> {
    let mut texts = BTreeSet::new();
    for batch in session.sql(query).await?.collect().await? {
        texts.extend(text(batch.column(0))?.iter().flatten().map(str::to_owned));
    }
    Ok(texts)
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
fn located(model: &Model, error: EngineError, is_published: bool) -> EngineError {
    let message = error.to_string();
    let name = message
        .split_once("No field named ")
        .map(|(_, rest)| rest.split([' ', '.', ',']).next().unwrap_or(rest).trim_matches('"').to_owned());
    let sql = model.sql(true);
    let names = |line: &str, name: &str| !line.trim_start().starts_with("--") && line.contains(name);
    let line = name.as_ref().and_then(|name| sql.lines().position(|line| names(line, name)));
    let place = line.map_or_else(|| model.file.clone(), |index| format!("{}:{}", model.file, index + 1));
    let is_unknown = name.is_some() && !is_published;
    let hint =
        if is_unknown { ". Attributes and traits of profiles are known after the first `tessera refresh`" } else { "" };
    EngineError::new(error.kind(), format!("{message}{hint}")).context(place)
}
