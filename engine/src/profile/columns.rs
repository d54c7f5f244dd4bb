//! Attributes as columns. `profile.attributes` has rows for each attribute; `profile.persons` has a column for each, and
//! which there are is known from the data alone. Two marks in the model say where they go.

use std::collections::{BTreeSet, HashSet};

use arrow::array::AsArray;
use datafusion::prelude::SessionContext;

use super::pivot::{self, PivotColumn};
use crate::error::Result;
use crate::evaluation::attribute_beside;
use crate::limits;
use crate::model::definition::Model;
use crate::model::workspace::Workspace;
use crate::query::functions::text;

const VALUES_MARK: &str = "-- {attributes}";
const NAMES_MARK: &str = "-- {attribute_names}";

/// An attribute that has a column.
pub(crate) struct AttributeColumn {
    /// The attribute.
    attribute: String,
    /// The column's name.
    name: String,
    /// The value of a profile's column, in SQL over what is `told` of it.
    value: String,
    /// True if a profile may have several rows of the attribute.
    has_entries: bool,
}

/// True if `model` has a column for each attribute.
pub(crate) fn is_wide(model: &Model) -> bool {
    model.sql(true).contains(VALUES_MARK)
}

/// The attributes that get a column: all, or if there are very many, the most frequent and those that traits and segments
/// name; and those of `config.known_names`; sorted. Names of `traits` are taken, as those of the model's own columns are.
pub(crate) async fn attribute_columns(
    session: &SessionContext,
    model: &Model,
    traits: &BTreeSet<String>,
) -> Result<Vec<AttributeColumn>> {
    let sql = format!(
        "select name, attribute_type(name) as type, attribute_rule(name) = 'all' as has_entries
         from (
             select told.name
             from (
                 select name, row_number() over (order by count(*) desc, name) as place
                 from profile.attributes
                 where is_current
                 group by name
             ) told
             left join config.known_names words on words.kind = 'word' and words.name = told.name
             where told.place <= {} or words.name is not null
             union
             select name from config.known_names where kind = 'attribute'
         )",
        limits::ATTRIBUTE_COLUMNS_MAX
    );
    let mut taken: HashSet<String> = model.columns.iter().map(|column| column.name.clone()).collect();
    taken.extend(traits.iter().cloned());
    let mut columns = Vec::new();
    for batch in session.sql(&sql).await?.collect().await? {
        let (names, types) = (text(batch.column(0))?, text(batch.column(1))?);
        let of_batch = names.iter().flatten().zip(types.iter().flatten()).zip(batch.column(2).as_boolean());
        columns.extend(of_batch.map(|((name, of_type), has_entries)| {
            AttributeColumn::new(&taken, name, of_type, has_entries.unwrap_or_default())
        }));
    }
    columns.sort_by(|left, right| left.attribute.cmp(&right.attribute));
    columns.retain(|column| taken.insert(column.name.clone()));
    Ok(columns)
}

/// True if the last generation has no such table, or one with other columns, so that all its rows must be written anew.
pub(crate) fn columns_differ(workspace: &Workspace, model: &Model, attributes: &[AttributeColumn]) -> bool {
    let Some((version, _)) = workspace.previous.get(&model.name) else { return true };
    let columns = version.schema.fields().iter().map(|field| field.name().as_str());
    let wanted = model.columns.iter().map(|column| column.name.as_str());
    !wanted.chain(attributes.iter().map(|column| column.name.as_str())).eq(columns)
}

/// Registers the functions by which the query of [`with_attributes`] finds the values.
pub(crate) fn register_columns(session: &SessionContext, attributes: &[AttributeColumn]) {
    let pivoted =
        |column: &AttributeColumn| PivotColumn { attribute: column.attribute.clone(), is_list: column.has_entries };
    for function in pivot::functions(attributes.iter().map(pivoted).collect()) {
        session.register_udf(function.as_ref().clone());
    }
}

/// The model's query with a column for each attribute.
pub(crate) fn with_attributes(sql: &str, attributes: &[AttributeColumn]) -> String {
    let (mut values, mut selected) = (String::new(), String::new());
    for AttributeColumn { name, value, .. } in attributes {
        values.push_str(&format!(", {value} as \"{name}\""));
        selected.push_str(&format!(", attributes.\"{name}\""));
    }
    sql.replace(VALUES_MARK, &values).replace(NAMES_MARK, &selected)
}

impl AttributeColumn {
    /// `has_entries` if a list's values have a row each.
    fn new(taken: &HashSet<String>, attribute: &str, column_type: &str, has_entries: bool) -> Self {
        let is_taken = taken.contains(attribute);
        let name = if is_taken { attribute_beside(attribute) } else { attribute.to_owned() };
        // Names are in snake case: no quote can be in them.
        let told = format!("attribute_text(told, '{attribute}')");
        let value = match (column_type, has_entries) {
            ("texts", true) => format!("attribute_texts(told, '{attribute}')"),
            ("text", _) => told,
            ("texts", false) => format!("attribute_entries('{attribute}', {told})"),
            // What has not that form is shown by `profile.attributes` only.
            ("date", _) => {
                let day = format!("try_cast({told} as date)");
                // A cast takes years with a sign, too: `-1980-03-05`.
                format!("case when {day} between date '0001-01-01' and date '9999-12-31' then {day} end")
            }
            (other, _) => format!("try_cast({told} as {other})"),
        };
        Self { attribute: attribute.to_owned(), name, value, has_entries: has_entries && column_type == "texts" }
    }
}

/// `firstName`, `First Name` and `first-name` are one attribute: `first_name`.
pub(super) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    let mut before = ' ';
    for letter in name.trim().chars() {
        if letter.is_alphanumeric() {
            let starts_word = letter.is_uppercase() && (before.is_lowercase() || before.is_numeric());
            if starts_word && !snake.ends_with('_') {
                snake.push('_');
            }
            snake.extend(letter.to_lowercase());
        } else if !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        before = letter;
    }
    snake.truncate(snake.trim_end_matches('_').len());
    if snake.is_empty() { "unnamed".to_owned() } else { snake }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn test_dates_have_years_of_four_digits_and_no_sign() {
        let column = AttributeColumn::new(&HashSet::new(), "born_on", "date", false);
        for (told, expected) in [
            ("1980-03-05", Some("1980-03-05")),
            ("0001-01-01", Some("0001-01-01")),
            ("-1980-03-05", None),
            ("0000-01-01", None),
            ("+12000-01-01", None),
            ("yesterday", None),
        ] {
            let rows = format!("(select named_struct('born_on', '{told}') as told)");
            let sql = format!("select cast({} as varchar) from {rows}", column.value);
            let session = SessionContext::new();
            register_columns(&session, &[]);
            let batches = session.sql(&sql).await.unwrap().collect().await.unwrap();
            let days = text(batches[0].column(0)).unwrap();
            assert_eq!(days.iter().collect::<Vec<_>>(), [expected], "{told}");
        }
    }

    #[test]
    fn test_snake_case_joins_spellings() {
        for name in ["firstName", "First Name", "first-name", "first_name", " FirstName "] {
            assert_eq!(snake_case(name), "first_name");
        }
        assert_eq!(snake_case("MailingCountry"), "mailing_country");
        assert_eq!(snake_case("ID"), "id");
        assert_eq!(snake_case("o'clock\""), "o_clock");
        assert_eq!(snake_case("!!"), "unnamed");
    }
}
