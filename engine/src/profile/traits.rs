//! Traits: a column of every profile, computed from what it did and is. `profile.traits` holds them, and
//! `profile.profiles` has them beside attributes.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, new_empty_array};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::prelude::SessionContext;

use crate::error::{EngineError, Result};
use crate::evaluation::{Census, arrow_type, column_type, renamed_columns};
use crate::expression::{
    ColumnType, SourceFile, TraitDefinition, check_trait_names, columns_used, is_of_everybody, parse_traits,
};
use crate::model::definition::Model;
use crate::model::materialize::Outcome;
use crate::model::workspace::{TableState, Workspace};
use crate::query::functions::text;
use crate::store::TableName;
use crate::store::delta::Version;

/// Rows of a batch of the table.
const BATCH_ROWS: usize = 64 * 1024;
/// Digits of a decimal trait: sums of money, and what is left of it when it is divided.
const DECIMAL_PRECISION: u8 = 28;
/// Of them after the point.
const DECIMAL_SCALE: i8 = 6;
/// What [`changed`] asks.
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
    if let Some(SourceFile { file, .. }) = files.iter().find(|file| file.name == ORDINAL) {
        return Err(EngineError::invalid(format!(
            "{file}: profiles have a column `{ORDINAL}` already; rename the file"
        )));
    }
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

/// Computes all traits, and lets the census know them. Traits that are as they were are computed of those that are
/// `touched` only, if of all others nothing can be new.
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
    let told = touched.unwrap_or(census);
    workspace.register_slices(&told.scope().references())?;
    let expressions: Vec<_> = definitions.iter().map(|definition| &definition.expression).collect();
    check_trait_names(&definitions, &told.known_names(&expressions).await?)?;
    if let (Some(touched), Some((version, base_rows))) = (touched, workspace.previous.get(&table())) {
        workspace.register_slices(&touched.scope().references())?;
        let mut changed = changed(session).await?;
        changed.extend(renamed_columns(workspace).await?);
        changed.extend(of_other_types(&definitions, version));
        let (settled, others): (Vec<_>, Vec<_>) = divided(&definitions, &changed);
        let is_as_it_was = || workspace.keep(&table(), TableState::unchanged(version, *base_rows));
        if changed.is_empty() && !workspace.has_changed_inputs(model)? {
            // Traits of everybody, too. Nobody is touched, so that of these all are known.
            for name in definitions.iter().map(|definition| &definition.name) {
                touched.keep(name, new_empty_array(version.schema.field_with_name(name)?.data_type()))?;
            }
            is_as_it_was()?;
            return Ok(Outcome::default());
        }
        if changed.is_empty() && others.is_empty() {
            evaluate(&settled, touched).await?;
            let kept = workspace.kept_files(model, version, &[]).await?;
            if touched.people().await?.are_none() && kept == version.files {
                is_as_it_was()?;
                return Ok(Outcome::default());
            }
            let batches = batches(&definitions, touched).await?;
            return workspace.store(model, session.read_batches(batches)?, kept).await;
        }
        evaluate(&settled, touched).await?;
        let names: Vec<String> = settled.iter().map(|definition| definition.name.clone()).collect();
        census.keep_last("last.profile.traits", &names, touched).await?;
        evaluate(&others, census).await?;
    } else {
        evaluate(&definitions.iter().collect::<Vec<_>>(), census).await?;
    }
    let batches = batches(&definitions, census).await?;
    workspace.store(model, session.read_batches(batches)?, Vec::new()).await
}

/// Traits whose columns had another type in the last generation: a header may say another one of the same expression.
fn of_other_types(definitions: &[TraitDefinition], last: &Version) -> Vec<String> {
    let had = |name: &str| column_type(last.schema.field_with_name(name).ok()?.data_type());
    let others = definitions.iter().filter(|definition| had(&definition.name) != Some(definition.column_type));
    others.map(|definition| definition.name.clone()).collect()
}

/// Traits that are new, gone, or computed in another way than by the last generation.
async fn changed(session: &SessionContext) -> Result<BTreeSet<String>> {
    let mut changed = BTreeSet::new();
    for batch in session.sql(CHANGED).await?.collect().await? {
        changed.extend(text(batch.column(0))?.iter().flatten().map(str::to_owned));
    }
    Ok(changed)
}

/// Those traits whose value of a profile that is not touched is still the last generation's, and the others: that are
/// `changed`, or of everybody, or name such a trait.
fn divided<'d>(
    definitions: &'d [TraitDefinition],
    changed: &BTreeSet<String>,
) -> (Vec<&'d TraitDefinition>, Vec<&'d TraitDefinition>) {
    let mut unsettled: BTreeSet<String> = changed.clone();
    definitions.iter().partition(|TraitDefinition { name, expression, .. }| {
        // A trait comes after those that it names.
        let names_one = columns_used(expression).iter().any(|column| unsettled.contains(column));
        let is_settled = !unsettled.contains(name) && !names_one && !is_of_everybody(expression);
        if !is_settled {
            unsettled.insert(name.clone());
        }
        is_settled
    })
}

/// Computes some traits of the people of a census, which keeps them.
async fn evaluate(definitions: &[&TraitDefinition], census: &Census) -> Result<()> {
    for definition in definitions {
        let population = census.population(&[&definition.expression]).await?;
        let values = population.values(&definition.expression).await;
        let values = stored(values.map_err(|error| error.context(&definition.file))?, definition.column_type)?;
        census.keep(&definition.name, values)?;
    }
    Ok(())
}

/// The rows of the people of a census, which knows their traits.
async fn batches(definitions: &[TraitDefinition], census: &Census) -> Result<Vec<RecordBatch>> {
    let ordinals = census.people().await?.ordinals().iter().map(|&ordinal| i64::from(ordinal));
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("profile_id", census.column("profile_id").await?),
        (ORDINAL, Arc::new(Int64Array::from_iter_values(ordinals))),
    ];
    for definition in definitions {
        columns.push((&definition.name, census.column(&definition.name).await?));
    }
    let fields: Vec<Field> =
        columns.iter().map(|(name, values)| Field::new(*name, values.data_type().clone(), true)).collect();
    let columns = columns.into_iter().map(|(_, values)| values).collect();
    let whole = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let rows = whole.num_rows();
    // One batch at least: it has the columns.
    let starts = (0..rows.max(1)).step_by(BATCH_ROWS);
    Ok(starts.map(|start| whole.slice(start, BATCH_ROWS.min(rows - start))).collect())
}

/// The table's columns: those of `schema`, and one for each trait.
pub(crate) fn with_columns(schema: &Schema, definitions: &[TraitDefinition]) -> Schema {
    let field = |definition: &TraitDefinition| {
        let data_type = match definition.column_type {
            ColumnType::Decimal => DataType::Decimal128(DECIMAL_PRECISION, DECIMAL_SCALE),
            other => arrow_type(other),
        };
        Arc::new(Field::new(&definition.name, data_type, true))
    };
    let fields: Vec<_> = schema.fields().iter().cloned().chain(definitions.iter().map(field)).collect();
    Schema::new(fields)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_a_changed_trait_unsettles_those_that_name_it_and_no_others() {
        let file = |(name, text): (&str, &str)| SourceFile {
            name: name.to_owned(),
            file: format!("traits/{name}.sql"),
            text: text.to_owned(),
        };
        let files = [
            ("orders", "event_count('Order Completed')"),
            ("spent", "event_sum('Order Completed', revenue)"),
            ("mean", "spent / orders"),
            ("is_generous", "mean > 100"),
            ("views", "event_count('Product Viewed')"),
            ("rank", "score(views, 5)"),
            ("is_first", "rank = 5"),
        ];
        let definitions = parse_traits(&files.map(file), &[]).unwrap();
        let settled = |changed: &[&str]| {
            let changed = changed.iter().map(|&name| name.to_owned()).collect();
            let mut names: Vec<&str> =
                divided(&definitions, &changed).0.iter().map(|definition| definition.name.as_str()).collect();
            names.sort_unstable();
            names.join(" ")
        };
        assert_eq!(settled(&[]), "is_generous mean orders spent views");
        assert_eq!(settled(&["orders"]), "spent views");
        assert_eq!(settled(&["views", "gone"]), "is_generous mean orders spent");
    }
}
