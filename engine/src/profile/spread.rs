//! `spread_attributes(list)`: of the attributes of one profile, a list of structs of name and value, one struct with a field
//! for each attribute that has a column. One pass over all values, where an aggregate with a filter for each column looks at
//! every value once for each of them, and keeps something for each profile and column.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringViewArray, StringViewBuilder, StructArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use crate::query::functions::{of_column_once, text};

/// A field of the struct.
pub(super) struct Spread {
    /// The attribute: the field's name.
    pub(super) attribute: String,
    /// True if a profile may have several values of it: the field is then the list of the different ones, in order, and
    /// else the only value, a text.
    pub(super) is_list: bool,
}

/// The function, for these attributes. What is told of others is left out; nothing told is null.
pub(super) fn function(spreads: Vec<Spread>) -> Arc<ScalarUDF> {
    let field = |spread: &Spread| Field::new(&spread.attribute, data_type(spread), true);
    let fields: Fields = spreads.iter().map(field).collect();
    let places = spreads.iter().enumerate().map(|(place, spread)| (spread.attribute.clone(), place));
    let places: HashMap<String, usize> = places.collect();
    let return_type = DataType::Struct(fields.clone());
    of_column_once("spread_attributes", return_type, move |told| {
        let rows = told.len();
        let told = told.as_list_opt::<i32>().ok_or_else(wrong)?;
        let pairs = told.values().as_struct_opt().filter(|pairs| pairs.num_columns() == 2).ok_or_else(wrong)?;
        let (names, values) = (text(pairs.column(0))?, text(pairs.column(1))?);
        let mut cells: Vec<Vec<(u32, u32)>> = spreads.iter().map(|_| Vec::new()).collect();
        for (row, range) in told.offsets().windows(2).enumerate() {
            for pair in range[0]..range[1] {
                if let Some(&place) = places.get(names.value(pair as usize)) {
                    cells[place].push((row as u32, pair as u32));
                }
            }
        }
        let columns = spreads.iter().zip(cells).map(|(spread, cells)| match spread.is_list {
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
    DataFusionError::Plan("spread_attributes takes a list of structs of name and value".to_owned())
}

fn data_type(spread: &Spread) -> DataType {
    if spread.is_list { DataType::new_list(DataType::Utf8View, true) } else { DataType::Utf8View }
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
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn test_each_profile_has_its_own_values() {
        let session = SessionContext::new();
        let spreads = [("city", false), ("likes", true), ("shoe", false)];
        let spreads = spreads.map(|(attribute, is_list)| Spread { attribute: attribute.to_owned(), is_list });
        session.register_udf(function(spreads.into()).as_ref().clone());
        let rows = session
            .sql(
                "select profile, told['city'] as city, cast(told['likes'] as varchar) as likes, told['shoe'] as shoe
                 from (
                     select profile, spread_attributes(array_agg(named_struct('name', name, 'value', value))) as told
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
        let batches = rows.collect().await.unwrap();
        let column = |column| text(batches[0].column(column)).unwrap();
        assert_eq!(column(1).iter().collect::<Vec<_>>(), [Some("Rome"), None, Some("Oslo")]);
        assert_eq!(column(2).iter().collect::<Vec<_>>(), [Some("[figs, tea]"), None, None]);
        assert_eq!(column(3).iter().collect::<Vec<_>>(), [None, None, Some("42")]);
    }
}
