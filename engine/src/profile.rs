//! Stage 3: attributes as columns. `profile.attributes` has a row for each attribute; `profile.profiles` has a column for
//! each, and which there are is known from the data alone. Two marks in the model say where they go.

use std::collections::HashSet;

use arrow::array::AsArray;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

use crate::error::Result;
use crate::limits;
use crate::model::definition::Model;
use crate::model::workspace::Workspace;
use crate::query::functions::of_text;

const VALUES_MARK: &str = "-- {attributes}";
const NAMES_MARK: &str = "-- {attribute_names}";

/// Functions of attributes in SQL: `snake_case(text)`.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![of_text("snake_case", snake_case)]
}

/// True if `model` has a column for each attribute.
pub(crate) fn is_wide(model: &Model) -> bool {
    model.sql(true).contains(VALUES_MARK)
}

/// The attributes that get a column: all, or the most frequent if there are very many; sorted.
pub(crate) async fn attribute_names(workspace: &Workspace, model: &Model) -> Result<Vec<String>> {
    let sql = format!(
        "select name from profile.attributes where is_current group by name order by count(*) desc, name limit {}",
        limits::ATTRIBUTE_COLUMNS_MAX
    );
    let batches = workspace.session.sql(&sql).await?.collect().await?;
    let mut names = Vec::new();
    for batch in &batches {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)?;
        names.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    names.sort();
    let mut taken: HashSet<String> = model.columns.iter().map(|column| column.name.clone()).collect();
    names.retain(|name| taken.insert(column_name(model, name)));
    Ok(names)
}

/// True if the last generation's table has other columns, so that all its rows must be written anew.
pub(crate) fn columns_differ(workspace: &Workspace, model: &Model, names: &[String]) -> bool {
    let Some((version, _)) = workspace.previous.get(&model.name) else { return false };
    let columns: Vec<&str> = version.schema.fields().iter().map(|field| field.name().as_str()).collect();
    let wanted =
        model.columns.iter().map(|column| column.name.clone()).chain(names.iter().map(|name| column_name(model, name)));
    !wanted.eq(columns.iter().map(|column| (*column).to_owned()))
}

/// The model's query with a column for each attribute.
pub(crate) fn with_attributes(sql: &str, model: &Model, names: &[String]) -> String {
    let columns = names.iter().map(|name| (name, column_name(model, name)));
    let (mut values, mut selected) = (String::new(), String::new());
    for (name, column) in columns {
        // Names are in snake case: no quote can be in them.
        values.push_str(&format!(", first_value(attribute) filter (where name = '{name}') as \"{column}\""));
        selected.push_str(&format!(", attributes.\"{column}\""));
    }
    sql.replace(VALUES_MARK, &values).replace(NAMES_MARK, &selected)
}

fn column_name(model: &Model, name: &str) -> String {
    let is_taken = model.columns.iter().any(|column| column.name == name);
    if is_taken { format!("{name}_attribute") } else { name.to_owned() }
}

/// `firstName`, `First Name` and `first-name` are one attribute: `first_name`.
fn snake_case(name: &str) -> String {
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
    use super::snake_case;

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
