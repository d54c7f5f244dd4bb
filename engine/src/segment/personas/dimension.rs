//! One trait by which people are near each other or not.

use crate::expression::{ColumnType, Expr, Literal, ScalarFunction};

/// Of members, as many lie below the least value that counts, and above the greatest: a few who are far out would be
/// clusters of their own.
const OUTLIERS: f64 = 0.05;
/// Digits after the point of values of columns with fractions.
const DECIMALS: usize = 4;

/// A column of numbers, of yes and no, or of times, which count by days.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dimension {
    column: String,
    column_type: ColumnType,
    /// Stands for no value: the median of those who have one, and no for yes and no.
    unknown: f64,
    low: f64,
    high: f64,
    mean: f64,
    deviation: f64,
}

impl Dimension {
    /// The dimension of a column of which these are the members' values; `None` if they do not differ.
    pub(super) fn of(column: &str, column_type: ColumnType, values: &[Option<f64>]) -> Option<Self> {
        let mut known: Vec<f64> = values.iter().flatten().copied().filter(|value| value.is_finite()).collect();
        known.sort_by(f64::total_cmp);
        let at = |share: f64| known.get(((known.len().saturating_sub(1)) as f64 * share).round() as usize).copied();
        let (mut low, mut high) = (at(OUTLIERS)?, at(1.0 - OUTLIERS)?);
        if low >= high {
            (low, high) = (at(0.0)?, at(1.0)?);
        }
        let unknown = if column_type == ColumnType::Boolean { 0.0 } else { rounded(column_type, at(0.5)?) };
        let mut dimension = Self {
            column: column.to_owned(),
            column_type,
            unknown,
            low: rounded(column_type, low),
            high: rounded(column_type, high),
            mean: 0.0,
            deviation: 1.0,
        };
        let held: Vec<f64> = values.iter().map(|value| dimension.held(*value)).collect();
        let count = held.len() as f64;
        dimension.mean = held.iter().sum::<f64>() / count;
        let variance = held.iter().map(|value| (value - dimension.mean).powi(2)).sum::<f64>() / count;
        dimension.deviation = variance.sqrt();
        (dimension.deviation > 0.0).then_some(dimension)
    }

    /// Where a value lies, in standard deviations from the mean of members.
    pub(super) fn position(&self, value: Option<f64>) -> f64 {
        (self.held(value) - self.mean) / self.deviation
    }

    /// The factors `(a, b)` of `a * value + b`, which is the position of a value.
    pub(super) fn factors(&self) -> (f64, f64) {
        (1.0 / self.deviation, -self.mean / self.deviation)
    }

    /// From the least value that counts to the greatest.
    pub(super) fn range(&self) -> f64 {
        self.high - self.low
    }

    fn held(&self, value: Option<f64>) -> f64 {
        value.filter(|value| value.is_finite()).unwrap_or(self.unknown).clamp(self.low, self.high)
    }

    /// The value in the language of segments: never null, and not beyond the bounds.
    pub(super) fn value(&self) -> Expr {
        let column = Expr::Column { name: self.column.clone(), column_type: self.column_type };
        let number = |value: f64| Expr::Literal(literal(self.column_type, value));
        let call = |function, arguments| Expr::Function { function, arguments };
        let known = match self.column_type {
            ColumnType::Boolean => {
                return Expr::Case {
                    branches: vec![(column, Some(Expr::Literal(Literal::Integer(1))))],
                    otherwise: Some(Box::new(Expr::Literal(Literal::Integer(0)))),
                };
            }
            ColumnType::Date | ColumnType::Timestamp => Expr::DaysSince(Box::new(column)),
            _ => column,
        };
        let known = call(ScalarFunction::Coalesce, vec![known, number(self.unknown)]);
        let above = call(ScalarFunction::Greatest, vec![known, number(self.low)]);
        call(ScalarFunction::Least, vec![above, number(self.high)])
    }
}

/// A value that a literal holds exactly.
fn rounded(column_type: ColumnType, value: f64) -> f64 {
    if column_type != ColumnType::Decimal {
        return value.round();
    }
    let scale = 10_f64.powi(DECIMALS as i32);
    (value * scale).round() / scale
}

fn literal(column_type: ColumnType, value: f64) -> Literal {
    match column_type {
        ColumnType::Decimal => Literal::Decimal(format!("{value:.DECIMALS$}")),
        _ => Literal::Integer(value as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::text_of;

    #[test]
    fn test_values_far_out_and_unknown_ones_are_held_within_bounds() {
        let mut values: Vec<Option<f64>> = (0..=100).map(|value| Some(f64::from(value))).collect();
        values.extend([None, Some(1e9), Some(f64::NAN)]);
        let dimension = Dimension::of("orders", ColumnType::Integer, &values).unwrap();
        assert_eq!(text_of(&dimension.value()), "least(greatest(coalesce(orders, 51), 5), 96)");
        assert_eq!(dimension.position(Some(1e9)), dimension.position(Some(96.0)));
        assert_eq!(dimension.position(None), dimension.position(Some(51.0)));
        let (factor, start) = dimension.factors();
        assert!((dimension.position(Some(7.0)) - (factor * 7.0 + start)).abs() < 1e-12);
    }

    #[test]
    fn test_who_does_not_differ_has_no_dimension() {
        assert_eq!(Dimension::of("a", ColumnType::Integer, &[Some(3.0), Some(3.0), None]), None);
        assert_eq!(Dimension::of("a", ColumnType::Integer, &[None, None]), None);
        assert_eq!(Dimension::of("a", ColumnType::Integer, &[]), None);
        // Nearly all have the same value: the bounds are those of all.
        let mut values = vec![Some(0.0); 100];
        values.push(Some(2.5));
        let dimension = Dimension::of("a", ColumnType::Decimal, &values).unwrap();
        assert_eq!(text_of(&dimension.value()), "least(greatest(coalesce(a, 0.0000), 0.0000), 2.5000)");
    }
}
