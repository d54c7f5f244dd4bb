//! The arguments of a call, read row by row.

use std::cell::OnceCell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, TimeUnit};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use regex::Regex;

use crate::query::functions::text;

const MICROS_PER_DAY: i128 = 86_400_000_000;
/// What an element of a list takes, but for the letters of a text.
pub(super) const ELEMENT_BYTES: i128 = 16;

/// The arguments of a call; those that are the same for all rows have one.
pub(super) struct Arguments {
    pub(super) columns: Vec<ArrayRef>,
    pub(super) rows: usize,
    /// The second one as a pattern, if it is the same for all rows and is one.
    pattern: OnceCell<Option<Regex>>,
}

impl Arguments {
    pub(super) fn new(arguments: &ScalarFunctionArgs) -> Result<Self> {
        let columns: Vec<ArrayRef> = arguments.args.iter().map(one_row_or_all).collect::<Result<_>>()?;
        let is_column = |argument: &ColumnarValue| matches!(argument, ColumnarValue::Array(_));
        let rows = if arguments.args.iter().any(is_column) { arguments.number_rows } else { 1 };
        Ok(Self { columns, rows, pattern: OnceCell::new() })
    }

    fn place(&self, argument: usize, row: usize) -> Option<(&ArrayRef, usize)> {
        let column = self.columns.get(argument)?;
        let place = if column.len() == 1 { 0 } else { row };
        (place < column.len() && column.is_valid(place)).then_some((column, place))
    }

    /// A number, `None` for null or if there is no such argument.
    pub(super) fn number(&self, argument: usize, row: usize) -> Option<i128> {
        let (column, place) = self.place(argument, row)?;
        Some(column.as_primitive_opt::<Int64Type>()?.value(place).into())
    }

    pub(super) fn interval_micros(&self, argument: usize, row: usize) -> Option<i128> {
        let (column, place) = self.place(argument, row)?;
        let interval = column.as_primitive_opt::<IntervalMonthDayNanoType>()?.value(place);
        let days = i128::from(interval.months) * 28 + i128::from(interval.days);
        Some(days * MICROS_PER_DAY + i128::from(interval.nanoseconds / 1_000))
    }

    /// What an argument takes as an element of a list: it may be a text, or a list itself.
    pub(super) fn element_bytes(&self, argument: usize, row: usize) -> i128 {
        ELEMENT_BYTES * self.elements(argument, row).max(1) + self.text_bytes(argument, row)
    }

    pub(super) fn text(&self, argument: usize, row: usize) -> Option<&str> {
        let (column, place) = self.place(argument, row)?;
        Some(column.as_string_view_opt()?.value(place))
    }

    pub(super) fn text_bytes(&self, argument: usize, row: usize) -> i128 {
        self.text(argument, row).map_or(0, str::len) as i128
    }

    /// How many elements a list has.
    pub(super) fn elements(&self, argument: usize, row: usize) -> i128 {
        let length = |(column, place): (&ArrayRef, usize)| Some(column.as_list_opt::<i32>()?.value_length(place));
        self.place(argument, row).and_then(length).unwrap_or(0).into()
    }

    /// How often the pattern is found in a text, at most.
    pub(super) fn matches(&self, text: &str) -> i128 {
        let pattern = self.pattern.get_or_init(|| {
            let is_one = self.columns.get(1).is_some_and(|column| column.len() == 1);
            self.text(1, 0).filter(|_| is_one).and_then(|pattern| Regex::new(&format!("(?i){pattern}")).ok())
        });
        pattern.as_ref().map_or(text.len() + 1, |pattern| pattern.find_iter(text).count()) as i128
    }
}

/// Texts as views, whole numbers and times as 64 bits; others as they are.
fn one_row_or_all(argument: &ColumnarValue) -> Result<ArrayRef> {
    let column = match argument {
        ColumnarValue::Array(column) => Arc::clone(column),
        ColumnarValue::Scalar(value) => value.to_array_of_size(1)?,
    };
    let as_time = DataType::Timestamp(TimeUnit::Microsecond, None);
    Ok(match column.data_type() {
        of_text if of_text.is_string() => Arc::new(text(&column)?),
        of_number if of_number.is_integer() => cast(&column, &DataType::Int64)?,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
            cast(&cast(&column, &as_time)?, &DataType::Int64)?
        }
        _ => column,
    })
}
