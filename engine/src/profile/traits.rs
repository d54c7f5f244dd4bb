//! Traits: a column of every profile, computed from what it did and is. `profile.traits` holds them, and
//! `profile.profiles` has them beside attributes.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::prelude::SessionContext;

use crate::error::Result;
use crate::evaluation::{Census, column_type};
use crate::expression::{ColumnType, SourceFile, TraitDefinition, is_of_everybody, parse_traits};
use crate::model::definition::Model;
use crate::model::materialize::Outcome;
use crate::model::workspace::{TableState, Workspace};
use crate::store::TableName;

/// Rows of a batch of the table.
const BATCH_ROWS: usize = 64 * 1024;
/// Digits of a decimal trait: sums of money, and what is left of it when it is divided.
const DECIMAL_PRECISION: u8 = 28;
/// Of them after the point.
const DECIMAL_SCALE: i8 = 6;
/// Traits that are new, gone, or computed in another way than by the last generation.
const CHANGED: &str = "
    select coalesce(now.trait, before.trait) as trait
    from profile.trait_definitions now
    full join last.profile.trait_definitions before on before.trait = now.trait
    where (now.expression is distinct from before.expression) -- the parser takes what follows for its right side
        or (now.\"window\" is distinct from before.\"window\")";
const TRAITS_MARK: &str = "-- {traits}";
/// The column by which only states and segments know a profile.
const ORDINAL: &str = "ordinal";

/// `profile.traits`.
pub(crate) fn table() -> TableName {
    TableName::new("profile", "traits")
}

/// `profile.persons`.
pub(crate) fn persons() -> TableName {
    TableName::new("profile", "persons")
}

/// `profile.profiles`.
pub(crate) fn profiles() -> TableName {
    TableName::new("profile", "profiles")
}

/// Reads the files of traits against the columns that profiles have.
///
/// # Errors
/// InvalidInput with file, line and column, for all files that are wrong.
pub(crate) async fn parse(session: &SessionContext, files: &[SourceFile]) -> Result<Vec<TraitDefinition>> {
    let persons = session.table("profile.persons").await?;
    let columns: Vec<(String, ColumnType)> = persons
        .schema()
        .fields()
        .iter()
        .filter(|field| field.name() != ORDINAL)
        .filter_map(|field| Some((field.name().clone(), column_type(field.data_type())?)))
        .collect();
    parse_traits(files, &columns)
}

/// Computes all traits, and lets the census know them: of all profiles, or of those that are `touched` if of all others
/// nothing can be new.
///
/// # Errors
/// InvalidInput for a trait that is wrong, saying file, line and column; what computing them reports.
pub(crate) async fn compute(
    workspace: &Workspace,
    model: &Model,
    files: &[SourceFile],
    census: &Census,
    touched: Option<&Census>,
) -> Result<Outcome> {
    let session = &workspace.session;
    let definitions = parse(session, files).await?;
    if definitions.is_empty() {
        let none = session.sql("select profile_id, ordinal from profile.persons where false").await?;
        return workspace.store(model, none, Vec::new()).await;
    }
    workspace.register_slices(&model.references()?)?;
    let is_of_one = |definition: &TraitDefinition| !is_of_everybody(&definition.expression);
    let known = workspace.previous.get(&table());
    if let (Some(touched), Some((version, base_rows)), true) = (touched, known, definitions.iter().all(is_of_one))
        && session.sql(CHANGED).await?.count().await? == 0
    {
        workspace.register_slices(&touched.scope().references())?;
        if touched.people().await?.are_none() {
            // What the model replaces is told by tables that are still those of the refresh before.
            workspace.keep(&table(), TableState::unchanged(version, *base_rows))?;
            return Ok(Outcome::default());
        }
        let batches = values(&definitions, touched).await?;
        let kept = workspace.kept_files(model, version, &[]).await?;
        return workspace.store(model, session.read_batches(batches)?, kept).await;
    }
    let batches = values(&definitions, census).await?;
    workspace.store(model, session.read_batches(batches)?, Vec::new()).await
}

async fn values(definitions: &[TraitDefinition], census: &Census) -> Result<Vec<RecordBatch>> {
    let ordinals = census.people().await?.ordinals().iter().map(|&ordinal| i64::from(ordinal));
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("profile_id".to_owned(), census.column("profile_id").await?),
        (ORDINAL.to_owned(), Arc::new(Int64Array::from_iter_values(ordinals))),
    ];
    for definition in definitions {
        let population = census.population(&[&definition.expression]).await?;
        let values = population.values(&definition.expression).await;
        let values = stored(values.map_err(|error| error.context(&definition.file))?, definition.column_type)?;
        census.keep(&definition.name, Arc::clone(&values))?;
        columns.push((definition.name.clone(), values));
    }
    let fields: Vec<Field> =
        columns.iter().map(|(name, values)| Field::new(name, values.data_type().clone(), true)).collect();
    let columns = columns.into_iter().map(|(_, values)| values).collect();
    let whole = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let rows = whole.num_rows();
    // One batch at least: it has the columns.
    let starts = (0..rows.max(1)).step_by(BATCH_ROWS);
    Ok(starts.map(|start| whole.slice(start, BATCH_ROWS.min(rows - start))).collect())
}

/// The values as the table has them: decimals of all traits have as many digits.
fn stored(values: ArrayRef, column_type: ColumnType) -> Result<ArrayRef> {
    Ok(match column_type {
        ColumnType::Decimal => arrow::compute::cast(&values, &DataType::Decimal128(DECIMAL_PRECISION, DECIMAL_SCALE))?,
        _ => values,
    })
}

/// The query of `profile.profiles` with a column for each trait.
///
/// # Errors
/// What the catalog reports.
pub(crate) async fn with_traits(session: &SessionContext, sql: &str) -> Result<String> {
    let traits = session.table("profile.traits").await?;
    let names = traits.schema().fields().iter().map(|field| field.name().as_str());
    let columns = names.filter(|name| !["profile_id", ORDINAL].contains(name)).map(|name| format!(", traits.{name}"));
    Ok(sql.replace(TRAITS_MARK, &columns.collect::<String>()))
}
