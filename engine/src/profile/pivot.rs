//! Rows of attributes as columns, in one pass over all values: an aggregate with a filter for each column looks at every value
//! once for each of them, and keeps something for each profile and column.
//!
//! | function | gives |
//! |---|---|
//! | `pivot_attributes(list)` | of the attributes of one profile, structs of name and value, one struct with a field for each that has a column |
//! | `attribute_text(struct, name)`, `attribute_texts(struct, name)` | a field of it, a text or a list of texts |
//!
//! Fields are not read as `struct['name']`: the optimizer takes that for so cheap that it wanted once for each field.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListBuilder, StringViewArray, StringViewBuilder, StructArray, UInt32Array,
    new_empty_array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use crate::query::functions::{of_column, of_columns, text};
use crate::query::session::Functions;

/// A field of the struct.
pub(super) struct PivotColumn {
    /// The attribute: the field's name.
    pub(super) attribute: String,
    /// True if a profile may have several values of it: the field is then the list of the different ones, in order, and
    /// else the only value, a text.
    pub(super) is_list: bool,
}

/// The functions, for these attributes. What is told of others is left out; nothing told is null.
pub(super) fn functions(wanted: Vec<PivotColumn>) -> Functions {
    let texts = DataType::new_list(DataType::Utf8View, true);
    vec![
        pivoting(wanted),
        of_columns("attribute_text", DataType::Utf8View, |[told, name]| field(told, name, &DataType::Utf8View)),
        of_columns("attribute_texts", texts.clone(), move |[told, name]| field(told, name, &texts)),
    ]
}

/// A field of a struct, whose name is the same in all rows.
fn field(told: &ArrayRef, name: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if told.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    let name = text(&name.slice(0, 1))?;
    let field = told.as_struct_opt().and_then(|told| told.column_by_name(name.value(0)));
    field.cloned().ok_or_else(|| DataFusionError::Plan(format!("`{}` is no field", name.value(0))))
}

/// `pivot_attributes`: a list of structs of name and value a row becomes one struct.
fn pivoting(wanted: Vec<PivotColumn>) -> Arc<ScalarUDF> {
    let field = |column: &PivotColumn| Field::new(&column.attribute, data_type(column), true);
    let fields: Fields = wanted.iter().map(field).collect();
    let places = wanted.iter().enumerate().map(|(place, column)| (column.attribute.clone(), place));
    let places: HashMap<String, usize> = places.collect();
    let return_type = DataType::Struct(fields.clone());
    of_column("pivot_attributes", return_type, move |told| {
        let rows = told.len();
        let told = told.as_list_opt::<i32>().ok_or_else(wrong)?;
        let pairs = told.values().as_struct_opt().filter(|pairs| pairs.num_columns() == 2).ok_or_else(wrong)?;
        let (names, values) = (text(pairs.column(0))?, text(pairs.column(1))?);
        let mut cells: Vec<Vec<(u32, u32)>> = wanted.iter().map(|_| Vec::new()).collect();
        for (row, range) in told.offsets().windows(2).enumerate() {
            for pair in range[0]..range[1] {
                if let Some(&place) = places.get(names.value(pair as usize)) {
                    cells[place].push((row as u32, pair as u32));
                }
            }
        }
        let columns = wanted.iter().zip(cells).map(|(column, cells)| match column.is_list {
            true => Ok(lists(&values, &cells, rows)),
            false => single(&values, &cells, rows),
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        Ok(match columns.is_empty() {
            true => Arc::new(StructArray::new_empty_fields(rows, None)) as ArrayRef,
            false => Arc::new(StructArray::try_new(fields.clone(), columns, None)?),
        })
    })
}

fn wrong() -> DataFusionError {
    DataFusionError::Plan("pivot_attributes takes a list of structs of name and value".to_owned())
}

fn data_type(column: &PivotColumn) -> DataType {
    if column.is_list { DataType::new_list(DataType::Utf8View, true) } else { DataType::Utf8View }
}

/// The value in each row, where `cells` are rows with their values' places.
fn single(values: &StringViewArray, cells: &[(u32, u32)], rows: usize) -> Result<ArrayRef> {
    let mut places = vec![None; rows];
    for &(row, place) in cells {
        places[row as usize] = Some(place);
    }
    Ok(take(values, &UInt32Array::from(places), None)?)
}

/// The different values in each row, in order.
fn lists(values: &StringViewArray, cells: &[(u32, u32)], rows: usize) -> ArrayRef {
    let mut lists = ListBuilder::new(StringViewBuilder::new());
    let mut cells = cells.iter().peekable();
    for row in 0..rows as u32 {
        let mut of_row = Vec::new();
        while let Some((_, place)) = cells.next_if(|(of, _)| *of == row) {
            of_row.push(values.value(*place as usize));
        }
        of_row.sort_unstable();
        of_row.dedup();
        of_row.iter().for_each(|value| lists.values().append_value(value));
        lists.append(!of_row.is_empty());
    }
    Arc::new(lists.finish())
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn test_each_profile_has_its_own_values() {
        let session = SessionContext::new();
        let wanted = [("city", false), ("likes", true), ("shoe", false)];
        let wanted = wanted.map(|(attribute, is_list)| PivotColumn { attribute: attribute.to_owned(), is_list });
        functions(wanted.into()).iter().for_each(|function| session.register_udf(function.as_ref().clone()));
        let rows = session
            .sql(
                "select
                     profile,
                     attribute_text(told, 'city') as city,
                     cast(attribute_texts(told, 'likes') as varchar) as likes,
                     attribute_text(told, 'shoe') as shoe
                 from (
                     select profile, pivot_attributes(array_agg(named_struct('name', name, 'value', value))) as told
                     from (values
                         (1, 'city', 'Rome'), (1, 'likes', 'tea'), (1, 'likes', 'figs'), (1, 'likes', 'tea'),
                         (2, 'hair', 'red'), (3, 'shoe', '42'), (3, 'city', 'Oslo')
                     ) as said(profile, name, value)
                     group by profile
                 )
                 order by profile",
            )
            .await
            .unwrap();
        let plan = rows.clone().explain(false, false).unwrap().collect().await.unwrap();
        let plan = pretty_format_batches(&plan[..]).unwrap().to_string();
        let (_, physical) = plan.split_once("physical_plan").unwrap();
        assert_eq!(physical.matches("pivot_attributes(").count(), 1, "for all fields together: {physical}");
        let batches = rows.collect().await.unwrap();
        let column = |column| text(batches[0].column(column)).unwrap();
        assert_eq!(column(1).iter().collect::<Vec<_>>(), [Some("Rome"), None, Some("Oslo")]);
        assert_eq!(column(2).iter().collect::<Vec<_>>(), [Some("[figs, tea]"), None, None]);
        assert_eq!(column(3).iter().collect::<Vec<_>>(), [None, None, Some("42")]);
    }
}
