//! How some profiles divide by the values of a column.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Float64Type};

use crate::error::Result;

/// How many profiles have each value of a column, the most frequent first and equally frequent ones in the order of
/// texts; `None` is no value. `rows` are places in `values`. A list counts for each of its entries, one without entries is no
/// value.
pub(super) fn counts(values: &ArrayRef, rows: Vec<u32>) -> Result<Vec<(Option<String>, u64)>> {
    let values = take(values, &UInt32Array::from(rows), None)?;
    let mut counts: HashMap<Option<String>, u64> = HashMap::new();
    let mut count = |value: Option<&str>| *counts.entry(value.map(str::to_owned)).or_default() += 1;
    match values.as_list_opt::<i32>() {
        Some(lists) => {
            for list in lists.iter() {
                match list.filter(|list| !list.is_empty()) {
                    Some(list) => cast(&list, &DataType::Utf8View)?.as_string_view().iter().for_each(&mut count),
                    None => count(None),
                }
            }
        }
        None => cast(&values, &DataType::Utf8View)?.as_string_view().iter().for_each(&mut count),
    }
    let mut counts: Vec<(Option<String>, u64)> = counts.into_iter().collect();
    counts.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    Ok(counts)
}

/// The mean of numbers; `None` if there is none. `rows` are places in `values`.
pub(super) fn mean(values: &ArrayRef, rows: Vec<u32>) -> Result<Option<f64>> {
    let values = cast(&take(values, &UInt32Array::from(rows), None)?, &DataType::Float64)?;
    let numbers = values.as_primitive::<Float64Type>();
    let count = numbers.len() - numbers.null_count();
    Ok((count > 0).then(|| numbers.iter().flatten().sum::<f64>() / count as f64))
}

/// Numbers, or what counts as one: 1 and 0 for yes and no, days before `today` for times; `None` for anything else. `rows`
/// are places in `values`.
pub(super) fn numbers(values: &ArrayRef, rows: Vec<u32>, today: i32) -> Result<Option<Vec<Option<f64>>>> {
    let values = take(values, &UInt32Array::from(rows), None)?;
    let is_time = values.data_type().is_temporal();
    let numbers = match values.data_type() {
        DataType::Boolean => cast(&cast(&values, &DataType::Int32)?, &DataType::Float64)?,
        _ if is_time => cast(&cast(&cast(&values, &DataType::Date32)?, &DataType::Int32)?, &DataType::Float64)?,
        data_type if data_type.is_numeric() => cast(&values, &DataType::Float64)?,
        _ => return Ok(None),
    };
    let number = |value: f64| if is_time { f64::from(today) - value } else { value };
    Ok(Some(numbers.as_primitive::<Float64Type>().iter().map(|value| value.map(number)).collect()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Date32Array, ListArray, StringArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn test_counts_values_of_some_rows() {
        let countries: ArrayRef =
            Arc::new(StringArray::from(vec![Some("FR"), None, Some("DE"), Some("FR"), Some("IT")]));
        let expected = [(Some("FR".to_owned()), 2), (None, 1), (Some("DE".to_owned()), 1)];
        assert_eq!(counts(&countries, vec![0, 1, 2, 3]).unwrap(), expected);
        assert_eq!(counts(&countries, Vec::new()).unwrap(), []);
    }

    #[test]
    fn test_yes_and_times_are_numbers_too() {
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(100), None, Some(90)]));
        assert_eq!(numbers(&days, vec![2, 0, 1], 100).unwrap().unwrap(), [Some(10.0), Some(0.0), None]);
        let answers: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]));
        assert_eq!(numbers(&answers, vec![0, 1, 2], 0).unwrap().unwrap(), [Some(1.0), Some(0.0), None]);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
        assert_eq!(numbers(&texts, vec![0], 0).unwrap(), None);
    }

    #[test]
    fn test_a_list_counts_for_each_entry() {
        let lists = vec![Some(vec![Some(1), Some(2)]), None, Some(vec![]), Some(vec![Some(2)])];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
        let [one, two] = [1, 2].map(|value: i32| Some(value.to_string()));
        assert_eq!(counts(&lists, vec![0, 1, 2, 3]).unwrap(), [(None, 2), (two, 2), (one, 1)]);
    }
}
