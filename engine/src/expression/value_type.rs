//! The type of an expression's values, as checking it found them to fit.

use super::types::{is_number, is_time};
use super::{BinaryOp, ColumnType, Expr, Literal, ScalarFunction};

impl Expr {
    /// The type; `None` for an interval.
    pub(crate) fn value_type(&self) -> Option<ColumnType> {
        use ColumnType::{Boolean, Decimal, Integer};
        Some(match self {
            Expr::Column { column_type, .. } => *column_type,
            Expr::Literal(literal) => return literal.value_type(),
            Expr::Property { as_type, .. } => *as_type,
            Expr::Cast { to, .. } => *to,
            Expr::Measure(measure) => measure.figure.column_type(),
            Expr::DaysSince(_) | Expr::Score { .. } => Integer,
            Expr::Split(_) => Decimal,
            Expr::Negate(number) => return number.value_type(),
            Expr::Case { branches, otherwise } => {
                let values = branches.iter().filter_map(|(_, value)| value.as_ref()).chain(otherwise.as_deref());
                return common(values);
            }
            Expr::Binary { op, left, right } => match op {
                BinaryOp::Divide => Decimal,
                BinaryOp::Concatenate => ColumnType::Text,
                BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Modulo => {
                    // Each once: what is deeply nested would take for ever.
                    let (left, right) = (left.value_type()?, right.value_type());
                    right.map_or(left, |right| wider(left, right))
                }
                _ => Boolean,
            },
            Expr::Function { function, arguments } => match function {
                ScalarFunction::Plain(plain) => plain.gives,
                ScalarFunction::Concat | ScalarFunction::ConcatWith => ColumnType::Text,
                ScalarFunction::DateTrunc | ScalarFunction::TimeZone | ScalarFunction::Now => ColumnType::Timestamp,
                ScalarFunction::DatePart | ScalarFunction::ListLength => Integer,
                ScalarFunction::CurrentDate => ColumnType::Date,
                ScalarFunction::Coalesce | ScalarFunction::Greatest | ScalarFunction::Least => {
                    return common(arguments);
                }
                ScalarFunction::Abs
                | ScalarFunction::Round
                | ScalarFunction::Floor
                | ScalarFunction::Ceil
                | ScalarFunction::NullIf => return arguments.first()?.value_type(),
            },
            _ => Boolean,
        })
    }
}

impl Literal {
    /// The type; `None` for an interval, which is not a value of its own.
    pub(super) fn value_type(&self) -> Option<ColumnType> {
        match self {
            Literal::Text(_) => Some(ColumnType::Text),
            Literal::Integer(_) => Some(ColumnType::Integer),
            Literal::Decimal(_) => Some(ColumnType::Decimal),
            Literal::Boolean(_) => Some(ColumnType::Boolean),
            Literal::Date(_) => Some(ColumnType::Date),
            Literal::Timestamp(_) => Some(ColumnType::Timestamp),
            Literal::Interval(_) => None,
        }
    }
}

/// The type of values that stand for each other: among wider ones all are wider.
fn common<'e>(values: impl IntoIterator<Item = &'e Expr>) -> Option<ColumnType> {
    values.into_iter().map(Expr::value_type).reduce(|left, right| Some(wider(left?, right?)))?
}

fn wider(left: ColumnType, right: ColumnType) -> ColumnType {
    match (left, right) {
        (left, right) if left == right => left,
        (left, right) if is_number(left) && is_number(right) => ColumnType::Decimal,
        (left, right) if is_time(left) && is_time(right) => ColumnType::Timestamp,
        (left, _) => left,
    }
}

#[cfg(test)]
mod tests {
    use crate::expression::testing::{parse_trait, segment};

    #[test]
    fn test_is_the_type_that_checking_found() {
        for text in [
            "country",
            "-age",
            "age + 1",
            "age * 2.5",
            "age / 2",
            "age % 3",
            "birthday - interval '1 day'",
            "last_seen_at + interval '2 hours'",
            "current_date - birthday",
            "case when is_customer then birthday else last_seen_at end",
            "case when is_customer then age else lifetime_value end",
            "coalesce(birthday, current_date)",
            "greatest(age, lifetime_value)",
            "nullif(country, '')",
            "floor(age)",
            "sqrt(age)",
            "length(tags)",
            "strpos(country, 'a')",
            "tags",
            "cast(country as date)",
            "event_avg('x', revenue)",
            "event_values('x', 'coupon')",
            "did('x')",
            "age in (1, 2)",
            "split('x')",
            "score(age, 5)",
            "date_trunc('day', birthday)",
            "last_seen_at at time zone 'Europe/Paris'",
            "concat_ws(', ', country, 'x')",
            "now()",
        ] {
            let checked = parse_trait("rank", text).expect(text);
            assert_eq!(checked.expression.value_type(), Some(checked.column_type), "{text}");
        }
        assert_eq!(segment("in_list('x')").value_type(), Some(crate::expression::ColumnType::Boolean));
    }
}
