//! One JSON object a line, with the same mapping as a table: its top-level keys are the columns.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::landing::json::{Object, parse_object, value_text};
use crate::landing::quarantine::{QuarantineBuilder, Rejection};
use crate::landing::tabular::{Cell, TabularBuilder};

/// Keys of a row that are compared one by one; more of them are looked up.
const FEW_KEYS: usize = 32;

/// Parses one line.
pub(crate) fn parse_line(
    line_number: u64,
    line: &str,
    row_bytes_max: usize,
    rows: &mut TabularBuilder<'_>,
    quarantine: &mut QuarantineBuilder,
) {
    let pushed = cells(line, row_bytes_max).and_then(|cells| rows.push(&cells));
    if let Err(rejection) = pushed {
        quarantine.push(line_number, &rejection, line.as_bytes());
    }
}

fn cells(line: &str, row_bytes_max: usize) -> Result<Vec<Cell<'_>>, Rejection> {
    if line.len() > row_bytes_max {
        return Err(Rejection::too_large(line.len(), row_bytes_max));
    }
    let Object(fields) = parse_object(line)?;
    let fields = last_of_each_key(fields);
    let cell = |(name, raw)| Some(Cell { name, text: value_text(raw)?, json: Some(raw) });
    Ok(fields.into_iter().filter_map(cell).collect())
}

/// Of several equal keys the last wins, as in most JSON readers.
fn last_of_each_key<'a>(fields: Vec<(Cow<'a, str>, &'a str)>) -> Vec<(Cow<'a, str>, &'a str)> {
    let is_equal_to_later = |(index, (key, _)): (usize, &(Cow<'a, str>, &'a str))| {
        fields[index + 1..].iter().any(|(later, _)| later == key)
    };
    if fields.len() <= FEW_KEYS && !fields.iter().enumerate().any(is_equal_to_later) {
        return fields;
    }
    let last: HashMap<Cow<'a, str>, usize> =
        fields.iter().enumerate().map(|(index, (key, _))| (key.clone(), index)).collect();
    fields
        .into_iter()
        .enumerate()
        .filter(|(index, (key, _))| last.get(key) == Some(index))
        .map(|(_, field)| field)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_cells_skip_null_and_blank_and_keep_nested_values_as_json() {
        let cells = cells(r#"{"id":"007","n":1.50,"x":null,"y":"  ","list":[1, 2],"id":"008"}"#, 100).unwrap();
        let seen: Vec<_> =
            cells.iter().map(|cell| (cell.name.as_ref(), cell.text.as_ref(), cell.json.unwrap())).collect();
        assert_eq!(seen, [("n", "1.50", "1.50"), ("list", "[1, 2]", "[1, 2]"), ("id", "008", "\"008\"")]);
    }
}
