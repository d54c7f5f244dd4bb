//! The one form of an expression in its own language: reading it gives the same expression again.

mod behavior;
mod names;

use chrono::SecondsFormat;

pub(super) use self::behavior::{counted, minutes_words, span_words};
use self::behavior::{measure, sequence};
pub(super) use self::names::{name, needs_quotes, quoted};
use super::behavior::Property;
use super::types::keyword;
use super::{BinaryOp, Expr, Literal, ScalarFunction};

/// How tightly an expression binds; brackets stand around one that binds less than its place needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Not,
    Compare,
    Concatenate,
    Add,
    Multiply,
    Negate,
    Atom,
}

/// Returns the canonical text of an expression.
pub(crate) fn text_of(expression: &Expr) -> String {
    match expression {
        Expr::Column { name: column, .. } => name(column),
        Expr::Literal(literal) => literal_text(literal),
        Expr::And(conditions) => joined(conditions, " and ", Level::Not),
        Expr::Or(conditions) => joined(conditions, " or ", Level::And),
        Expr::Not(condition) => format!("not {}", at(condition, Level::Not)),
        Expr::Negate(number) => format!("-{}", at(number, Level::Atom)),
        Expr::Binary { op, left, right } => {
            let level = level(expression);
            // `a - b - c` is `(a - b) - c`; comparisons, which are less than what they compare, do not chain.
            match level {
                Level::Or | Level::Compare => format!("{} {} {}", operand(left), operator(*op), operand(right)),
                _ => format!("{} {} {}", at(left, level), operator(*op), at(right, above(level))),
            }
        }
        Expr::IsNull { expr, negated } => format!("{} is {}null", operand(expr), not(*negated)),
        Expr::IsBoolean { expr, value, negated } => format!("{} is {}{value}", operand(expr), not(*negated)),
        Expr::IsOneOf { expr, list, negated } => {
            let list: Vec<String> = list.iter().map(text_of).collect();
            format!("{} {}in ({})", operand(expr), not(*negated), list.join(", "))
        }
        Expr::Between { expr, low, high, negated } => {
            format!("{} {}between {} and {}", operand(expr), not(*negated), operand(low), operand(high))
        }
        Expr::Like { expr, pattern, negated, case_insensitive } => {
            let like = if *case_insensitive { "ilike" } else { "like" };
            format!("{} {}{like} {}", operand(expr), not(*negated), quoted(pattern))
        }
        Expr::Matches { expr, pattern, negated, case_insensitive } => {
            format!("{} {} {}", operand(expr), matching(*negated, *case_insensitive), quoted(pattern))
        }
        Expr::Cast { expr, to } => format!("cast({} as {})", text_of(expr), keyword(*to)),
        Expr::Case { branches, otherwise } => case(branches, otherwise.as_deref()),
        Expr::DaysSince(time) => format!("days_since({})", text_of(time)),
        Expr::Contains { list, value } => format!("contains({}, {})", text_of(list), text_of(value)),
        Expr::Score { of, groups, descending } => {
            let direction = if *descending { ", 'descending'" } else { "" };
            format!("score({}, {groups}{direction})", text_of(of))
        }
        Expr::Measure(it) => measure(it, false),
        Expr::Did(it) => measure(it, true),
        Expr::Sequence(it) => sequence(it),
        Expr::Consented(purpose) => format!("consented({})", quoted(purpose)),
        Expr::InSegment(segment) => format!("in_segment({})", quoted(segment)),
        Expr::InList(list) => format!("in_list({})", quoted(list)),
        Expr::Split(name) => format!("split({})", quoted(name)),
        Expr::Top { count, of, among } => {
            let among = among.as_deref().map(|among| format!(" filter (where {})", text_of(among)));
            format!("top({count}, {}){}", text_of(of), among.unwrap_or_default())
        }
        Expr::Property { property: Property::Path(path), .. } => format!("property({})", quoted(&path.join("."))),
        Expr::Property { property: Property::Column(column), .. } => name(column),
        Expr::Function { function: ScalarFunction::CurrentDate, .. } => "current_date".to_owned(),
        Expr::Function { function, arguments } => {
            let arguments: Vec<String> = arguments.iter().map(text_of).collect();
            format!("{}({})", function_name(*function), arguments.join(", "))
        }
    }
}

fn joined(conditions: &[Expr], word: &str, least: Level) -> String {
    conditions.iter().map(|condition| at(condition, least)).collect::<Vec<_>>().join(word)
}

/// The text at a place that needs a level.
fn at(expression: &Expr, least: Level) -> String {
    let text = text_of(expression);
    if level(expression) < least { format!("({text})") } else { text }
}

/// The text of what is compared.
fn operand(expression: &Expr) -> String {
    at(expression, Level::Concatenate)
}

fn level(expression: &Expr) -> Level {
    match expression {
        Expr::Or(_) => Level::Or,
        Expr::And(_) => Level::And,
        Expr::Not(_) => Level::Not,
        Expr::IsNull { .. }
        | Expr::IsBoolean { .. }
        | Expr::IsOneOf { .. }
        | Expr::Between { .. }
        | Expr::Like { .. }
        | Expr::Matches { .. } => Level::Compare,
        Expr::Binary { op, .. } => match op {
            // To the parser all that follows is its right side.
            BinaryOp::Distinct | BinaryOp::NotDistinct => Level::Or,
            BinaryOp::Concatenate => Level::Concatenate,
            BinaryOp::Add | BinaryOp::Subtract => Level::Add,
            BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Modulo => Level::Multiply,
            _ => Level::Compare,
        },
        Expr::Negate(_) => Level::Negate,
        Expr::Literal(Literal::Integer(number)) if *number < 0 => Level::Negate,
        Expr::Literal(Literal::Decimal(digits)) if digits.starts_with('-') => Level::Negate,
        _ => Level::Atom,
    }
}

fn above(level: Level) -> Level {
    match level {
        Level::Or => Level::And,
        Level::And => Level::Not,
        Level::Not => Level::Compare,
        Level::Compare => Level::Concatenate,
        Level::Concatenate => Level::Add,
        Level::Add => Level::Multiply,
        Level::Multiply => Level::Negate,
        Level::Negate | Level::Atom => Level::Atom,
    }
}

pub(super) fn operator(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Equal => "=",
        BinaryOp::NotEqual => "<>",
        BinaryOp::Less => "<",
        BinaryOp::LessOrEqual => "<=",
        BinaryOp::Greater => ">",
        BinaryOp::GreaterOrEqual => ">=",
        BinaryOp::Distinct => "is distinct from",
        BinaryOp::NotDistinct => "is not distinct from",
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::Modulo => "%",
        BinaryOp::Concatenate => "||",
    }
}

pub(super) fn not(negated: bool) -> &'static str {
    if negated { "not " } else { "" }
}

/// The operator of a regular expression.
pub(super) fn matching(negated: bool, case_insensitive: bool) -> &'static str {
    match (negated, case_insensitive) {
        (false, false) => "~",
        (false, true) => "~*",
        (true, false) => "!~",
        (true, true) => "!~*",
    }
}

fn case(branches: &[(Expr, Option<Expr>)], otherwise: Option<&Expr>) -> String {
    let mut text = "case".to_owned();
    for (condition, value) in branches {
        let value = value.as_ref().map_or_else(|| "null".to_owned(), text_of);
        text += &format!(" when {} then {value}", text_of(condition));
    }
    if let Some(value) = otherwise {
        text += &format!(" else {}", text_of(value));
    }
    text + " end"
}

pub(super) fn literal_text(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => quoted(text),
        Literal::Integer(number) => number.to_string(),
        Literal::Decimal(digits) => digits.clone(),
        Literal::Boolean(value) => value.to_string(),
        Literal::Date(day) => format!("date '{day}'"),
        Literal::Timestamp(instant) => {
            format!("timestamp '{}'", instant.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        }
        Literal::Interval(span) => behavior::interval(*span),
    }
}

fn function_name(function: ScalarFunction) -> &'static str {
    match function {
        ScalarFunction::Plain(plain) => plain.name,
        ScalarFunction::ListLength => "length",
        ScalarFunction::Abs => "abs",
        ScalarFunction::Round => "round",
        ScalarFunction::Coalesce => "coalesce",
        ScalarFunction::DateTrunc => "date_trunc",
        ScalarFunction::DatePart => "date_part",
        ScalarFunction::TimeZone => "timezone",
        ScalarFunction::Concat => "concat",
        ScalarFunction::ConcatWith => "concat_ws",
        ScalarFunction::Floor => "floor",
        ScalarFunction::Ceil => "ceil",
        ScalarFunction::NullIf => "nullif",
        ScalarFunction::Greatest => "greatest",
        ScalarFunction::Least => "least",
        ScalarFunction::Now => "now",
        ScalarFunction::CurrentDate => "current_date",
    }
}

#[cfg(test)]
mod tests;
