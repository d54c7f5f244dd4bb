//! From a segment's expression to DataFusion's. Values stay values: no text of a user becomes part of a query.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, NaiveDate};
use datafusion::common::ScalarValue;
use datafusion::functions::expr_fn as functions;
use datafusion::functions_aggregate::expr_fn::{max, min, sum};
use datafusion::functions_nested::expr_fn as nested;
use datafusion::logical_expr::expr::{Between, InList, Like};
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{Case, Expr, ExprFunctionExt, Operator, binary_expr, cast, col, ident, lit, try_cast};

use crate::clock::Micros;
use crate::error::{EngineError, Result};
use crate::expression::{self, BinaryOp, ColumnType, Figure, Literal, ScalarFunction, SegmentDefinition, Window};

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// Digits of a division's result: enough for money by money.
const QUOTIENT: DataType = DataType::Decimal128(38, 10);

/// What some segment needs of events, as a column of the relation that segments are evaluated on.
#[derive(Debug, Clone)]
pub(super) struct Measure {
    /// What.
    pub(super) measure: expression::Measure,
    /// The column.
    pub(super) column: String,
}

impl Measure {
    /// The figure over the daily figures of one profile.
    pub(super) fn folded(&self, as_of: Micros) -> Result<Expr> {
        let folded = match (&self.measure.figure, &self.measure.events.condition) {
            (Figure::Count, None) => sum(col("event_count")),
            (Figure::FirstTime, None) => min(col("first_at")),
            (Figure::LastTime, None) => max(col("last_at")),
            _ => return Err(not_measured(&self.measure)),
        };
        Ok(folded.filter(self.applies(as_of)).build()?.alias(&self.column))
    }

    /// True for the daily figures that count.
    fn applies(&self, as_of: Micros) -> Expr {
        let is_event = col("event_name").eq(lit(self.measure.events.event.clone()));
        let day = |day| lit(ScalarValue::Date32(Some(day)));
        let is_late = self.first_day(as_of).map(|first| col("date").gt_eq(day(first)));
        let last_day = match self.measure.window {
            Window::Between(_, last) => Some(days_since_epoch(last)),
            Window::Within { ago, .. } if ago > 0 => Some(day_of(as_of) - ago.cast_signed() - 1),
            _ => None,
        };
        let is_early = last_day.map(|last| col("date").lt_eq(day(last)));
        is_late.into_iter().chain(is_early).fold(is_event, Expr::and)
    }

    /// The first day that counts, counted from 1970; `None` if every day does. A window of n days is the day of `as_of`
    /// and the n before it.
    pub(super) fn first_day(&self, as_of: Micros) -> Option<i32> {
        match self.measure.window {
            Window::Ever => None,
            Window::Within { days, ago } => Some(day_of(as_of) - ago.cast_signed() - days.cast_signed()),
            Window::Since(first) | Window::Between(first, _) => Some(days_since_epoch(first)),
        }
    }
}

/// All segments, ready to be evaluated on profiles joined with measures.
pub(super) struct Compiled {
    /// What has to be counted.
    pub(super) measures: Vec<Measure>,
    /// Each segment's name with its condition.
    pub(super) segments: Vec<(String, Expr)>,
}

/// Compiles `definitions`, of which each comes after those that it names. `as_of` is what `now()` means.
pub(super) fn compile(definitions: &[SegmentDefinition], as_of: Micros) -> Result<Compiled> {
    let used: BTreeSet<expression::Measure> =
        definitions.iter().flat_map(|definition| expression::measures_used(&definition.expression)).collect();
    let columns =
        used.into_iter().enumerate().map(|(number, measure)| (measure, format!("measure_{number}"))).collect();
    let mut compiler = Compiler { columns, segments: BTreeMap::new(), as_of };
    let mut segments = Vec::new();
    for definition in definitions {
        let condition = compiler.expr(&definition.expression).map_err(|error| error.context(&definition.file))?;
        compiler.segments.insert(definition.name.clone(), condition.clone());
        segments.push((definition.name.clone(), condition));
    }
    let measures = compiler.columns.into_iter().map(|(measure, column)| Measure { measure, column }).collect();
    Ok(Compiled { measures, segments })
}

/// The type that a profile's column has in an expression; `None` for columns that expressions cannot use.
pub(super) fn column_type(data_type: &DataType) -> Option<ColumnType> {
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

struct Compiler {
    columns: BTreeMap<expression::Measure, String>,
    /// Conditions of the segments before: `in_segment` is their condition.
    segments: BTreeMap<String, Expr>,
    as_of: Micros,
}

impl Compiler {
    fn expr(&self, expr: &expression::Expr) -> Result<Expr> {
        use expression::Expr as Source;
        let negate = |expr: Expr, negated: bool| if negated { !expr } else { expr };
        Ok(match expr {
            Source::Column { name, .. } => ident(name),
            Source::Literal(literal) => self.literal(literal)?,
            Source::And(conditions) => conjunction(self.all(conditions)?).unwrap_or_else(|| lit(true)),
            Source::Or(conditions) => disjunction(self.all(conditions)?).unwrap_or_else(|| lit(false)),
            Source::Not(condition) => !self.expr(condition)?,
            Source::Negate(number) => Expr::Negative(Box::new(self.expr(number)?)),
            Source::Binary { op, left, right } => binary(*op, self.expr(left)?, self.expr(right)?),
            Source::IsNull { expr, negated } => negate(self.expr(expr)?.is_null(), *negated),
            Source::IsBoolean { expr, value, negated } => {
                let condition = self.expr(expr)?;
                negate(if *value { condition.is_true() } else { condition.is_false() }, *negated)
            }
            Source::InList { expr, list, negated } => {
                let list = list.iter().map(|literal| self.literal(literal)).collect::<Result<Vec<_>>>()?;
                Expr::InList(InList::new(Box::new(self.expr(expr)?), list, *negated))
            }
            Source::Between { expr, low, high, negated } => Expr::Between(Between::new(
                Box::new(self.expr(expr)?),
                *negated,
                Box::new(self.expr(low)?),
                Box::new(self.expr(high)?),
            )),
            Source::Like { expr, pattern, negated, case_insensitive } => Expr::Like(Like::new(
                *negated,
                Box::new(self.expr(expr)?),
                Box::new(lit(pattern.clone())),
                None,
                *case_insensitive,
            )),
            Source::Cast { expr, to } => try_cast(self.expr(expr)?, arrow_type(*to)),
            Source::Case { branches, otherwise } => {
                let branch =
                    |(condition, value): &(_, _)| Ok((Box::new(self.expr(condition)?), Box::new(self.expr(value)?)));
                let branches = branches.iter().map(branch).collect::<Result<Vec<_>>>()?;
                let otherwise = otherwise.as_deref().map(|value| self.expr(value)).transpose()?;
                Expr::Case(Case::new(None, branches, otherwise.map(Box::new)))
            }
            Source::DaysSince(time) => {
                let day = |time| cast(cast(cast(time, DataType::Date32), DataType::Int32), DataType::Int64);
                lit(i64::from(day_of(self.as_of))) - day(self.expr(time)?)
            }
            Source::Contains { list, value } => nested::array_has(self.expr(list)?, self.expr(value)?),
            // Who never did it has no row among the measures.
            Source::Measure(measure) if measure.figure == Figure::Count => {
                functions::coalesce(vec![self.measured(measure)?, lit(0_i64)])
            }
            Source::Did(measure) => functions::coalesce(vec![self.measured(measure)?, lit(0_i64)]).gt(lit(0_i64)),
            Source::Measure(measure) => self.measured(measure)?,
            Source::Sequence(_) | Source::Consented(_) | Source::Score { .. } | Source::Property { .. } => {
                return Err(EngineError::internal("this is not measured"));
            }
            Source::InSegment(name) => {
                let condition = self
                    .segments
                    .get(name)
                    .ok_or_else(|| EngineError::internal(format!("segment `{name}` is not compiled yet")))?;
                condition.clone().is_true()
            }
            Source::Function { function, arguments } => self.function(*function, arguments)?,
        })
    }

    fn all(&self, exprs: &[expression::Expr]) -> Result<Vec<Expr>> {
        exprs.iter().map(|expr| self.expr(expr)).collect()
    }

    fn measured(&self, measure: &expression::Measure) -> Result<Expr> {
        self.columns.get(measure).map(col).ok_or_else(|| not_measured(measure))
    }

    fn literal(&self, literal: &Literal) -> Result<Expr> {
        Ok(match literal {
            Literal::Text(text) => lit(text.clone()),
            Literal::Integer(number) => lit(*number),
            Literal::Decimal(digits) => lit(decimal(digits)?),
            Literal::Boolean(value) => lit(*value),
            Literal::Date(date) => lit(ScalarValue::Date32(Some(days_since_epoch(*date)))),
            Literal::Timestamp(instant) => lit(timestamp(instant.timestamp_micros())),
            Literal::Days(days) => lit(ScalarValue::new_interval_dt(days.cast_signed(), 0)),
        })
    }

    fn function(&self, function: ScalarFunction, arguments: &[expression::Expr]) -> Result<Expr> {
        let mut arguments = self.all(arguments)?;
        match function {
            ScalarFunction::Round => return Ok(functions::round(arguments)),
            ScalarFunction::Coalesce => return Ok(functions::coalesce(arguments)),
            ScalarFunction::Concat => return Ok(functions::concat(arguments)),
            ScalarFunction::Greatest => return Ok(functions::greatest(arguments)),
            ScalarFunction::Least => return Ok(functions::least(arguments)),
            ScalarFunction::Trim => return Ok(functions::btrim(arguments)),
            _ => {}
        }
        let mut next = || if arguments.is_empty() { lit(ScalarValue::Null) } else { arguments.remove(0) };
        Ok(match function {
            ScalarFunction::Lower => functions::lower(next()),
            ScalarFunction::Upper => functions::upper(next()),
            ScalarFunction::Length => cast(functions::character_length(next()), DataType::Int64),
            ScalarFunction::Abs => functions::abs(next()),
            ScalarFunction::StartsWith => functions::starts_with(next(), next()),
            ScalarFunction::DateTrunc => {
                let (first, second) = (next(), next());
                functions::date_trunc(first, cast(second, timestamp_type()))
            }
            ScalarFunction::DatePart => {
                let (part, time) = (next(), next());
                cast(functions::date_part(part, cast(time, timestamp_type())), DataType::Int64)
            }
            ScalarFunction::Floor => functions::floor(next()),
            ScalarFunction::Ceil => functions::ceil(next()),
            ScalarFunction::NullIf => functions::nullif(next(), next()),
            ScalarFunction::ListLength => cast(nested::array_length(next()), DataType::Int64),
            ScalarFunction::Now
            | ScalarFunction::Round
            | ScalarFunction::Coalesce
            | ScalarFunction::Concat
            | ScalarFunction::Greatest
            | ScalarFunction::Least
            | ScalarFunction::Trim => lit(timestamp(self.as_of)),
            ScalarFunction::CurrentDate => lit(ScalarValue::Date32(Some(day_of(self.as_of)))),
        })
    }
}

fn not_measured(measure: &expression::Measure) -> EngineError {
    EngineError::internal(format!("`{}` is not measured", measure.events.event))
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    let operator = match op {
        BinaryOp::Equal => Operator::Eq,
        BinaryOp::NotEqual => Operator::NotEq,
        BinaryOp::Less => Operator::Lt,
        BinaryOp::LessOrEqual => Operator::LtEq,
        BinaryOp::Greater => Operator::Gt,
        BinaryOp::GreaterOrEqual => Operator::GtEq,
        BinaryOp::Add => Operator::Plus,
        BinaryOp::Subtract => Operator::Minus,
        BinaryOp::Multiply => Operator::Multiply,
        BinaryOp::Concatenate => Operator::StringConcat,
        // A quotient by zero is null, and whole numbers do not lose their fraction.
        BinaryOp::Divide => {
            return cast(left, QUOTIENT)
                / functions::nullif(cast(right, QUOTIENT), lit(ScalarValue::Decimal128(Some(0), 38, 10)));
        }
    };
    binary_expr(left, operator, right)
}

fn arrow_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Text => DataType::Utf8View,
        ColumnType::Integer => DataType::Int64,
        ColumnType::Decimal => DataType::Decimal128(38, 10),
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => timestamp_type(),
        ColumnType::Texts => DataType::new_list(DataType::Utf8View, true),
    }
}

fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn timestamp(micros: Micros) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
}

fn decimal(digits: &str) -> Result<ScalarValue> {
    let scale = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let (scale, unscaled) = (i8::try_from(scale).ok(), digits.replace('.', "").parse::<i128>().ok());
    match (scale, unscaled) {
        (Some(scale), Some(unscaled)) if scale <= 38 && unscaled.unsigned_abs() < 10_u128.pow(38) => {
            Ok(ScalarValue::Decimal128(Some(unscaled), 38, scale))
        }
        _ => Err(EngineError::invalid(format!("the number {digits} has too many digits: 38 are kept"))),
    }
}

fn day_of(micros: Micros) -> i32 {
    i32::try_from(micros.div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX)
}

fn days_since_epoch(date: NaiveDate) -> i32 {
    i32::try_from((date - DateTime::UNIX_EPOCH.date_naive()).num_days()).unwrap_or(i32::MAX)
}
