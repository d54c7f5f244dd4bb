//! The types of columns and values, and days.

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, NaiveDate};

use crate::clock::Micros;
use crate::decimal;
use crate::expression::ColumnType;

/// Digits of a mean: as many as those of a quotient.
pub(super) const QUOTIENT: DataType = DataType::Decimal128(38, 10);
/// Microseconds.
pub(super) const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The type that a profile's column has in an expression; `None` for columns that expressions cannot use.
pub(crate) fn column_type(data_type: &DataType) -> Option<ColumnType> {
    Some(match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => ColumnType::Text,
        data_type if data_type.is_integer() => ColumnType::Integer,
        DataType::Decimal128(..) | DataType::Float64 => ColumnType::Decimal,
        DataType::Boolean => ColumnType::Boolean,
        DataType::Date32 => ColumnType::Date,
        DataType::Timestamp(..) => ColumnType::Timestamp,
        DataType::List(item) | DataType::LargeList(item) if item.data_type().is_string() => ColumnType::Texts,
        _ => return None,
    })
}

/// The type of an expression's values.
pub(crate) fn arrow_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Text => DataType::Utf8View,
        ColumnType::Integer => DataType::Int64,
        ColumnType::Decimal => QUOTIENT,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => timestamp_type(),
        ColumnType::Texts => DataType::new_list(DataType::Utf8View, true),
    }
}

/// The type that a column of events of this type is stored as.
pub(super) fn stored_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Decimal => DataType::Decimal128(decimal::PRECISION, decimal::SCALE),
        other => arrow_type(other),
    }
}

/// An instant.
pub(super) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The UTC day of an instant, counted from 1970.
pub(crate) fn day_of(micros: Micros) -> i32 {
    i32::try_from(micros.div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX)
}

/// A day, counted from 1970.
pub(super) fn days_since_epoch(date: NaiveDate) -> i32 {
    i32::try_from((date - DateTime::UNIX_EPOCH.date_naive()).num_days()).unwrap_or(i32::MAX)
}

/// The day of a number of days since 1970.
pub(super) fn date_of(day: i32) -> NaiveDate {
    NaiveDate::from_epoch_days(day).unwrap_or(NaiveDate::MAX)
}
