//! An expression in plain English, for people who do not read the language. Brackets keep the meaning unambiguous.

mod behavior;
mod functions;

use self::behavior::{count_compared, figure_value, measure, sequence};
use self::functions::function;
use super::behavior::{EVENT_COLUMNS, Figure, Property};
use super::types::is_time;
use super::{BinaryOp, ColumnType, Expr, Literal};

/// Returns an expression in plain English.
pub(crate) fn in_words(expression: &Expr) -> String {
    match expression {
        Expr::Column { name, .. } => name.clone(),
        Expr::Literal(literal) => constant(literal),
        Expr::And(conditions) => joined(conditions, ", and "),
        Expr::Or(conditions) => joined(conditions, ", or "),
        Expr::Not(condition) => opposite(condition),
        Expr::Negate(number) => format!("minus {}", part(number)),
        Expr::Binary { op, left, right } => binary(*op, left, right),
        Expr::IsNull { expr, negated } => format!("{} is {}", part(expr), if *negated { "known" } else { "unknown" }),
        Expr::IsBoolean { expr, value, negated } => truth(expr, *value, *negated),
        Expr::IsOneOf { expr, list, negated } => {
            let list: Vec<String> = list.iter().map(part).collect();
            let is_one = if *negated { "is none of" } else { "is one of" };
            format!("{} {is_one} ({})", part(expr), list.join(", "))
        }
        Expr::Between { expr, low, high, negated } => {
            let is = if *negated { "is not" } else { "is" };
            format!("{} {is} from {} to {}", part(expr), part(low), part(high))
        }
        Expr::Like { expr, pattern, negated, case_insensitive } => {
            let case = if *case_insensitive { ", in upper or lower case" } else { "" };
            format!("{} {}{case}", part(expr), pattern_words(pattern, *negated))
        }
        Expr::Matches { expr, pattern, negated, case_insensitive } => {
            let case = if *case_insensitive { ", in upper or lower case" } else { "" };
            let matches = if *negated { "does not match" } else { "matches" };
            format!("{} {matches} '{pattern}'{case}", part(expr))
        }
        Expr::Cast { expr, to } => format!("{} as {}", part(expr), type_words(*to)),
        Expr::Case { branches, otherwise } => case(branches, otherwise.as_deref()),
        Expr::DaysSince(time) => format!("the days since {}", part(time)),
        Expr::Contains { list, value } => format!("{} has the entry {}", part(list), part(value)),
        Expr::Score { of, groups, descending } => {
            let lowest = if *descending { "highest" } else { "lowest" };
            format!("the score of {} from 1 (the {lowest}) to {groups}", term(of))
        }
        Expr::Measure(it) => figure_value(it),
        Expr::Did(it) => format!("did {}", measure(it)),
        Expr::Sequence(it) => sequence(it),
        Expr::Consented(purpose) => format!("consented to '{purpose}'"),
        Expr::InSegment(segment) => format!("in segment '{segment}'"),
        Expr::InList(list) => format!("on the list '{list}'"),
        Expr::Split(name) => format!("the place in the split '{name}'"),
        Expr::Top { count, of, among } => {
            let among = among.as_deref().map(|among| format!(" among those for whom {}", condition(among)));
            format!("one of the {count} with the highest {}{}", term(of), among.unwrap_or_default())
        }
        Expr::Property { property, .. } => property_words(property),
        Expr::Function { function: it, arguments } => function(*it, arguments),
    }
}

/// What stands inside something else: in brackets if it has parts that could be read as belonging there.
fn part(expression: &Expr) -> String {
    let words = in_words(expression);
    let is_plain = match expression {
        Expr::Column { .. } | Expr::Literal(_) | Expr::Measure(_) | Expr::Property { .. } | Expr::DaysSince(_) => true,
        Expr::Function { function, .. } => functions::is_one_phrase(*function),
        _ => false,
    };
    if is_plain { words } else { format!("({words})") }
}

/// What is computed with: a figure in brackets too, since its window comes last.
fn term(expression: &Expr) -> String {
    match expression {
        Expr::Measure(_) | Expr::DaysSince(_) | Expr::Function { .. } => format!("({})", in_words(expression)),
        _ => part(expression),
    }
}

fn joined(conditions: &[Expr], word: &str) -> String {
    conditions.iter().map(condition).collect::<Vec<_>>().join(word)
}

/// A condition among others.
fn condition(expression: &Expr) -> String {
    match expression {
        Expr::And(_) | Expr::Or(_) => format!("({})", in_words(expression)),
        _ => in_words(expression),
    }
}

fn opposite(condition: &Expr) -> String {
    match condition {
        Expr::Did(it) => format!("did not do {}", measure(it)),
        Expr::Consented(purpose) => format!("did not consent to '{purpose}'"),
        Expr::InSegment(_) | Expr::InList(_) | Expr::Column { .. } => format!("not {}", in_words(condition)),
        _ => format!("not ({})", in_words(condition)),
    }
}

fn truth(condition: &Expr, value: bool, negated: bool) -> String {
    let is = if negated { "is not" } else { "is" };
    // Both are how `did_first_time` is kept: only there a time is compared and what is unknown is false.
    match condition {
        Expr::And(bounds) if value && !negated => match bounds.as_slice() {
            [from @ Expr::Binary { .. }, until @ Expr::Binary { .. }]
                if is_first_time(from) && is_first_time(until) =>
            {
                format!("({})", in_words(condition))
            }
            _ => format!("({}) {is} {value}", in_words(condition)),
        },
        comparison if value && !negated && is_first_time(comparison) => in_words(comparison),
        other => format!("({}) {is} {value}", in_words(other)),
    }
}

fn is_first_time(comparison: &Expr) -> bool {
    match comparison {
        Expr::Binary { op: BinaryOp::GreaterOrEqual | BinaryOp::Less, left, .. } => {
            matches!(left.as_ref(), Expr::Measure(measure) if measure.figure == Figure::FirstTime)
        }
        _ => false,
    }
}

fn binary(op: BinaryOp, left: &Expr, right: &Expr) -> String {
    if let (Expr::Measure(measure), Expr::Literal(Literal::Integer(number))) = (left, right)
        && let Some(words) = count_compared(measure, op, *number)
    {
        return words;
    }
    if let Some(shifted) = shifted(op, left, right) {
        return shifted;
    }
    let symbol = match op {
        BinaryOp::Distinct | BinaryOp::NotDistinct => {
            let is = if op == BinaryOp::Distinct { "is other than" } else { "is the same as" };
            return format!("{} {is} {}, where unknown counts as a value", part(left), part(right));
        }
        BinaryOp::Modulo => return format!("the remainder of {} divided by {}", term(left), term(right)),
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::Concatenate => "followed by",
        _ => {
            return format!(
                "{} {} {}",
                part(left),
                comparison(op, [left, right].iter().any(|side| side.value_type().is_some_and(is_time))),
                part(right)
            );
        }
    };
    format!("{} {symbol} {}", term(left), term(right))
}

fn comparison(op: BinaryOp, is_time: bool) -> &'static str {
    match (op, is_time) {
        (BinaryOp::NotEqual, _) => "is not",
        (BinaryOp::Less, true) => "is before",
        (BinaryOp::Less, false) => "is less than",
        (BinaryOp::LessOrEqual, true) => "is at or before",
        (BinaryOp::LessOrEqual, false) => "is at most",
        (BinaryOp::Greater, true) => "is after",
        (BinaryOp::Greater, false) => "is more than",
        (BinaryOp::GreaterOrEqual, true) => "is at or after",
        (BinaryOp::GreaterOrEqual, false) => "is at least",
        _ => "is",
    }
}

/// A time moved by an interval.
fn shifted(op: BinaryOp, time: &Expr, interval: &Expr) -> Option<String> {
    let Expr::Literal(interval @ Literal::Interval(_)) = interval else { return None };
    let direction = if op == BinaryOp::Add { "after" } else { "before" };
    Some(format!("{} {direction} {}", constant(interval), part(time)))
}

fn case(branches: &[(Expr, Option<Expr>)], otherwise: Option<&Expr>) -> String {
    let value = |value: &Option<Expr>| value.as_ref().map_or_else(|| "unknown".to_owned(), part);
    let branches = branches.iter().map(|(when, then)| format!("{} if {}", value(then), condition(when)));
    let otherwise = otherwise.map(|value| format!("otherwise {}", part(value)));
    branches.chain(otherwise).collect::<Vec<_>>().join("; ")
}

fn constant(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => format!("'{text}'"),
        Literal::Integer(number) => number.to_string(),
        Literal::Decimal(digits) => digits.clone(),
        Literal::Boolean(value) => value.to_string(),
        Literal::Date(day) => day.to_string(),
        Literal::Timestamp(instant) => format!("{} UTC", instant.naive_utc()),
        Literal::Interval(span) => super::text::span_words(*span, " and "),
    }
}

fn pattern_words(pattern: &str, negated: bool) -> String {
    let plain = |text: &str| !text.is_empty() && !text.contains(['%', '_', '\\']);
    let (start, end) = (pattern.strip_suffix('%'), pattern.strip_prefix('%'));
    let inner = end.and_then(|text| text.strip_suffix('%'));
    let (verb, negative, text) = match (inner, start, end) {
        (Some(text), _, _) if plain(text) => ("contains", "does not contain", text),
        (_, Some(text), _) if plain(text) => ("starts with", "does not start with", text),
        (_, _, Some(text)) if plain(text) => ("ends with", "does not end with", text),
        _ => ("looks like", "does not look like", pattern),
    };
    format!("{} '{text}'", if negated { negative } else { verb })
}

fn type_words(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Text => "text",
        ColumnType::Integer => "a whole number",
        ColumnType::Decimal => "a number",
        ColumnType::Boolean => "true or false",
        ColumnType::Date => "a day",
        ColumnType::Timestamp => "a time",
        ColumnType::Texts => "a list",
    }
}

/// A property by itself.
fn property_words(property: &Property) -> String {
    let name = property_name(property);
    if is_called_as_a_column(property) { format!("the {name}") } else { name }
}

/// A property after a word for some of its values, such as `the least`.
fn property_name(property: &Property) -> String {
    match property {
        Property::Column(name) => name.clone(),
        Property::Path(path) if is_called_as_a_column(property) => format!("property {}", path.join(".")),
        Property::Path(path) => path.join("."),
    }
}

/// Whether it is a property beside a column of events that has its name.
fn is_called_as_a_column(property: &Property) -> bool {
    match property {
        Property::Column(_) => false,
        Property::Path(path) => EVENT_COLUMNS.iter().any(|(column, _)| path.as_slice() == [*column]),
    }
}

#[cfg(test)]
mod tests;
