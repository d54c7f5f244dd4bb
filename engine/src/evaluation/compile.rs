//! From an expression of ours to DataFusion's. Values stay values: no text of a user becomes part of a query.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::functions::expr_fn as functions;
use datafusion::functions_nested::expr_fn as nested;
use datafusion::logical_expr::expr::{Between, InList, Like};
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{Case, Expr, Operator, ScalarUDF, binary_expr, cast, ident, lit, try_cast};

use super::castable;
use super::figures::{Figures, consent_column, list_column, segment_column, top_column};
use super::first_known::first_known;
use super::fold;
use super::property::{PROPERTIES, event_property};
use super::reals::{in_nanoseconds, real};
use super::split::place_in_split;
use super::types::{QUOTIENT, arrow_type, day_of, days_since_epoch, timestamp_type};
use super::utc_day::utc_day;
use crate::clock::Micros;
use crate::error::{EngineError, Result};
use crate::expression::{
    self, BinaryOp, ColumnType, Figure, Literal, Plain, Property, SPLIT_COLUMN, ScalarFunction, Span,
};

const NANOS_PER_MINUTE: i64 = 60_000_000_000;
/// DataFusion's functions.
static FUNCTIONS: LazyLock<HashMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let all = datafusion::functions::all_default_functions().into_iter();
    all.map(|function| (function.name().to_owned(), function)).collect()
});

/// What a condition over one event is to DataFusion.
pub(super) fn event_condition(condition: &expression::Expr) -> Result<Expr> {
    // Neither the time nor any other segment can be named in it.
    Compiler { figures: &Figures::default(), as_of: 0 }.expr(condition)
}

/// Compiles expressions over profiles.
#[derive(Clone, Copy)]
pub(super) struct Compiler<'a> {
    /// The columns of what profiles do.
    pub(super) figures: &'a Figures,
    /// What `now()` means.
    pub(super) as_of: Micros,
}

impl Compiler<'_> {
    pub(super) fn expr(&self, expr: &expression::Expr) -> Result<Expr> {
        use expression::Expr as Source;
        let negate = |expr: Expr, negated: bool| if negated { !expr } else { expr };
        Ok(match expr {
            Source::Column { name, .. } => ident(name),
            Source::Literal(literal) => self.literal(literal)?,
            Source::And(conditions) => conjunction(self.all(conditions)?).unwrap_or_else(|| lit(true)),
            Source::Or(conditions) => disjunction(self.all(conditions)?).unwrap_or_else(|| lit(false)),
            Source::Not(condition) => !self.expr(condition)?,
            Source::Negate(number) => Expr::Negative(Box::new(self.expr(number)?)),
            Source::Binary { op: op @ (BinaryOp::Add | BinaryOp::Subtract), left, right } => {
                binary(*op, self.expr(left)?, self.expr(right)?)
            }
            // Places would add up, and leave none for whole numbers.
            Source::Binary { op: op @ BinaryOp::Multiply, left, right } if is_decimal(left) && is_decimal(right) => {
                cast(binary(*op, self.expr(left)?, self.expr(right)?), QUOTIENT)
            }
            Source::Binary { op, left, right } => {
                let [left, right] = self.alike_of([left, right])?;
                binary(*op, left, right)
            }
            Source::IsNull { expr, negated } => negate(self.expr(expr)?.is_null(), *negated),
            Source::IsBoolean { expr, value, negated } => {
                let condition = self.expr(expr)?;
                negate(if *value { condition.is_true() } else { condition.is_false() }, *negated)
            }
            Source::IsOneOf { expr, list, negated } => {
                let mut list = self.alike(&std::iter::once(&**expr).chain(list).collect::<Vec<_>>())?;
                let expr = Box::new(list.remove(0));
                Expr::InList(InList::new(expr, list, *negated))
            }
            Source::Between { expr, low, high, negated } => {
                let [expr, low, high] = self.alike_of([expr, low, high])?.map(Box::new);
                Expr::Between(Between::new(expr, *negated, low, high))
            }
            Source::Like { expr, pattern, negated, case_insensitive } => Expr::Like(Like::new(
                *negated,
                Box::new(self.expr(expr)?),
                Box::new(lit(pattern.clone())),
                None,
                *case_insensitive,
            )),
            Source::Matches { expr, pattern, negated, case_insensitive } => {
                let operator = match (negated, case_insensitive) {
                    (false, false) => Operator::RegexMatch,
                    (false, true) => Operator::RegexIMatch,
                    (true, false) => Operator::RegexNotMatch,
                    (true, true) => Operator::RegexNotIMatch,
                };
                binary_expr(self.expr(expr)?, operator, lit(pattern.clone()))
            }
            Source::Cast { expr, to } => match expr.value_type() {
                Some(ColumnType::Text) => read_as(self.expr(expr)?, *to),
                _ => try_cast(self.expr(expr)?, arrow_type(*to)),
            },
            Source::Case { branches, otherwise } => {
                let conditions =
                    branches.iter().map(|(condition, _)| self.expr(condition)).collect::<Result<Vec<_>>>()?;
                let values = branches.iter().filter_map(|(_, value)| value.as_ref()).chain(otherwise.as_deref());
                let mut values = self.alike(&values.collect::<Vec<_>>())?;
                let otherwise = if otherwise.is_some() { values.pop() } else { None };
                let mut values = values.into_iter();
                let mut value = |known: &Option<_>| known.as_ref().and_then(|_| values.next());
                let values = branches.iter().map(|(_, known)| value(known).unwrap_or_else(|| lit(ScalarValue::Null)));
                let branches = conditions.into_iter().map(Box::new).zip(values.map(Box::new));
                Expr::Case(Case::new(None, branches.collect(), otherwise.map(Box::new)))
            }
            Source::DaysSince(time) => lit(i64::from(day_of(self.as_of))) - utc_day().call(vec![self.expr(time)?]),
            Source::Contains { list, value } => nested::array_has(self.expr(list)?, self.expr(value)?),
            Source::Measure(measure) => {
                let (column, wanted) = (ident(self.figures.measure(measure)?), measure.figure.column_type());
                // Values are kept as text, whatever they are.
                if fold::data_type(&measure.figure).is_string() { read_as(column, wanted) } else { column }
            }
            Source::Did(measure) => match measure.figure {
                Figure::Count => ident(self.figures.measure(measure)?).gt(lit(0_i64)),
                _ => return Err(EngineError::internal("who did something is known by a count")),
            },
            Source::Sequence(sequence) => ident(self.figures.sequence(sequence)?),
            Source::Score { .. } => ident(self.figures.score(expr)?),
            Source::Consented(purpose) => ident(consent_column(purpose)),
            Source::Property { property, as_type } => self.property(property, *as_type),
            Source::InSegment(name) => ident(segment_column(name)),
            Source::InList(name) => ident(list_column(name)),
            Source::Top { .. } => ident(top_column(expr)),
            Source::Split(name) => place_in_split(ident(SPLIT_COLUMN), name),
            Source::Function { function, arguments } => self.function(*function, arguments)?,
        })
    }

    fn all(&self, exprs: &[expression::Expr]) -> Result<Vec<Expr>> {
        exprs.iter().map(|expr| self.expr(expr)).collect()
    }

    /// Values that are compared or stand for each other: a day among instants is its start. DataFusion would make
    /// nanoseconds of both, which end in 2262.
    pub(super) fn alike(&self, exprs: &[&expression::Expr]) -> Result<Vec<Expr>> {
        let is_date = |expr: &expression::Expr| expr.value_type() == Some(ColumnType::Date);
        let has_instant = exprs.iter().any(|expr| !is_date(expr));
        let one = |expr: &&expression::Expr| {
            let value = self.expr(expr)?;
            Ok(if has_instant && is_date(expr) { try_cast(value, timestamp_type()) } else { value })
        };
        exprs.iter().map(one).collect()
    }

    /// The same of a number of them that is known.
    pub(super) fn alike_of<const N: usize>(&self, exprs: [&expression::Expr; N]) -> Result<[Expr; N]> {
        let alike = self.alike(&exprs)?;
        alike.try_into().map_err(|_| EngineError::internal("values were lost"))
    }

    fn property(&self, property: &Property, as_type: ColumnType) -> Expr {
        match property {
            Property::Column(name) if as_type == ColumnType::Text => ident(name),
            Property::Column(name) => try_cast(ident(name), arrow_type(as_type)),
            Property::Path(path) => read_as(event_property(ident(PROPERTIES), path), as_type),
        }
    }

    fn literal(&self, literal: &Literal) -> Result<Expr> {
        Ok(match literal {
            Literal::Text(text) => lit(text.clone()),
            Literal::Integer(number) => lit(*number),
            Literal::Decimal(digits) => lit(exact(digits)?),
            Literal::Boolean(value) => lit(*value),
            Literal::Date(date) => lit(ScalarValue::Date32(Some(days_since_epoch(*date)))),
            Literal::Timestamp(instant) => lit(timestamp(instant.timestamp_micros())),
            Literal::Interval(Span { months, days, minutes }) => {
                let nanoseconds = i64::from(*minutes) * NANOS_PER_MINUTE;
                lit(ScalarValue::new_interval_mdn(months.cast_signed(), days.cast_signed(), nanoseconds))
            }
        })
    }

    fn function(&self, function: ScalarFunction, arguments: &[expression::Expr]) -> Result<Expr> {
        use ScalarFunction as Function;
        let arguments = match function {
            // Their arguments are of different types.
            Function::Plain(_) | Function::DateTrunc | Function::DatePart | Function::TimeZone => {
                self.all(arguments)?
            }
            _ => self.alike(&arguments.iter().collect::<Vec<_>>())?,
        };
        Ok(match (function, arguments.as_slice()) {
            (Function::Plain(plain), _) => self::plain(plain, arguments)?,
            (Function::Round, _) => functions::round(arguments),
            (Function::Coalesce, _) => first_known().call(arguments),
            (Function::Concat, _) => functions::concat(arguments),
            (Function::ConcatWith, [between, texts @ ..]) => functions::concat_ws(between.clone(), texts.to_vec()),
            (Function::Greatest, _) => functions::greatest(arguments),
            (Function::Least, _) => functions::least(arguments),
            (Function::Abs, [number]) => functions::abs(number.clone()),
            (Function::Floor, [number]) => functions::floor(roomy(number)),
            (Function::Ceil, [number]) => functions::ceil(roomy(number)),
            (Function::NullIf, [value, other]) => functions::nullif(value.clone(), other.clone()),
            (Function::ListLength, [list]) => cast(nested::array_length(list.clone()), DataType::Int64),
            (Function::DateTrunc, [unit, time]) => {
                let time = cast(time.clone(), timestamp_type());
                functions::date_trunc(unit.clone(), in_nanoseconds().call(vec![time]))
            }
            (Function::DatePart, [part, time]) => {
                let time = cast(time.clone(), timestamp_type());
                cast(functions::date_part(part.clone(), time), DataType::Int64)
            }
            (Function::TimeZone, [Expr::Literal(zone, _), time]) => {
                let there =
                    cast(time.clone(), DataType::Timestamp(TimeUnit::Microsecond, Some(zone.to_string().into())));
                cast(functions::to_local_time(vec![there]), timestamp_type())
            }
            (Function::Now, _) => lit(timestamp(self.as_of)),
            (Function::CurrentDate, _) => lit(ScalarValue::Date32(Some(day_of(self.as_of)))),
            _ => return Err(EngineError::internal("a function has other arguments than it takes")),
        })
    }
}

/// A decimal with room for another digit before the point: the greatest amount that is kept has none, and rounded up it needs
/// one.
fn roomy(number: &Expr) -> Expr {
    cast(number.clone(), QUOTIENT)
}

/// A text as a value of a type; null where it is none.
fn read_as(text: Expr, as_type: ColumnType) -> Expr {
    match as_type {
        ColumnType::Text => text,
        // `35.0` and `35.7` are 35: many write whole numbers with a fraction.
        ColumnType::Integer => try_cast(read_as(text, ColumnType::Decimal), arrow_type(as_type)),
        // A day is that of an instant in UTC. As dates, Arrow reads other texts than as times, and leap seconds otherwise.
        ColumnType::Date => try_cast(read_as(text, ColumnType::Timestamp), arrow_type(as_type)),
        _ => try_cast(castable::function().call(vec![text]), arrow_type(as_type)),
    }
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    let operator = match op {
        BinaryOp::Equal => Operator::Eq,
        BinaryOp::NotEqual => Operator::NotEq,
        BinaryOp::Less => Operator::Lt,
        BinaryOp::LessOrEqual => Operator::LtEq,
        BinaryOp::Greater => Operator::Gt,
        BinaryOp::GreaterOrEqual => Operator::GtEq,
        BinaryOp::Distinct => Operator::IsDistinctFrom,
        BinaryOp::NotDistinct => Operator::IsNotDistinctFrom,
        BinaryOp::Add => Operator::Plus,
        BinaryOp::Subtract => Operator::Minus,
        BinaryOp::Multiply => Operator::Multiply,
        BinaryOp::Concatenate => Operator::StringConcat,
        BinaryOp::Modulo => return left % functions::nullif(right, lit(0_i64)),
        // A quotient by zero is null, and whole numbers do not lose their fraction.
        BinaryOp::Divide => {
            return cast(left, QUOTIENT)
                / functions::nullif(cast(right, QUOTIENT), lit(ScalarValue::Decimal128(Some(0), 38, 10)));
        }
    };
    binary_expr(left, operator, right)
}

fn is_decimal(expr: &expression::Expr) -> bool {
    expr.value_type() == Some(ColumnType::Decimal)
}

/// A function of DataFusion's, known by its name, or one of ours of the same name.
fn plain(plain: &Plain, arguments: Vec<Expr>) -> Result<Expr> {
    if let Some(real) = real(plain.sql) {
        return Ok(real.call(arguments));
    }
    let function = FUNCTIONS.get(plain.sql);
    let function = function.ok_or_else(|| EngineError::internal("a function of the language is not there"))?;
    Ok(cast(function.call(arguments), arrow_type(plain.gives)))
}

fn timestamp(micros: Micros) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
}

fn exact(digits: &str) -> Result<ScalarValue> {
    let scale = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let (scale, unscaled) = (i8::try_from(scale).ok(), digits.replace('.', "").parse::<i128>().ok());
    match (scale, unscaled) {
        (Some(scale), Some(unscaled)) if scale <= 38 && unscaled.unsigned_abs() < 10_u128.pow(38) => {
            Ok(ScalarValue::Decimal128(Some(unscaled), 38, scale))
        }
        _ => Err(EngineError::invalid(format!("the number {digits} has too many digits: 38 are kept"))),
    }
}
