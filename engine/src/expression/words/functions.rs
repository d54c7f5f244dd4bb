//! Functions of single values, in plain English.

use super::super::{ColumnType, Expr, Literal, ScalarFunction};
use super::{in_words, part};

/// A function with its arguments.
pub(super) fn function(function: ScalarFunction, arguments: &[Expr]) -> String {
    // Each once: what is deeply nested would take for ever.
    let all: Vec<String> = arguments.iter().map(inner).collect();
    let argument = |index: usize| all.get(index).map_or("", String::as_str);
    let (first, second) = (argument(0), argument(1));
    match function {
        ScalarFunction::Plain(plain) => plain.in_words(&all),
        ScalarFunction::ListLength => format!("the number of entries of {first}"),
        ScalarFunction::Abs => format!("{first} without its sign"),
        ScalarFunction::Round if arguments.len() > 1 => format!("{first} rounded to {second} decimal places"),
        ScalarFunction::Round => format!("{first} rounded"),
        ScalarFunction::Floor => format!("{first} rounded down"),
        ScalarFunction::Ceil => format!("{first} rounded up"),
        ScalarFunction::Coalesce => all.join(", or if unknown "),
        ScalarFunction::NullIf => format!("{first} unless it is {second}"),
        ScalarFunction::Concat => all.join(" followed by "),
        ScalarFunction::ConcatWith => {
            format!("{} with {first} between them", all.get(1..).unwrap_or_default().join(" and "))
        }
        ScalarFunction::Greatest => format!("the greatest of ({})", all.join(", ")),
        ScalarFunction::Least => format!("the least of ({})", all.join(", ")),
        ScalarFunction::DateTrunc => format!("the start of the {} of {second}", unit(arguments)),
        ScalarFunction::DatePart => format!("the {} of {second}", unit(arguments)),
        ScalarFunction::TimeZone => format!("{second} by the clocks of {first}"),
        ScalarFunction::Now => "now".to_owned(),
        ScalarFunction::CurrentDate => "today".to_owned(),
    }
}

/// An argument: in brackets also if it is another function, whose words could be read as belonging to this one's.
fn inner(argument: &Expr) -> String {
    match argument {
        Expr::Function { arguments, .. } if arguments.is_empty() => in_words(argument),
        Expr::Function { .. } | Expr::DaysSince(_) => format!("({})", in_words(argument)),
        _ => part(argument),
    }
}

/// Whether nothing that follows the words could be read as belonging to them.
pub(super) fn is_one_phrase(function: ScalarFunction) -> bool {
    use ScalarFunction::{Coalesce, Concat, ConcatWith, NullIf};
    match function {
        ScalarFunction::Plain(plain) => plain.gives != ColumnType::Boolean && plain.takes.len() == 1,
        function => !matches!(function, Coalesce | Concat | ConcatWith | NullIf),
    }
}

fn unit(arguments: &[Expr]) -> &str {
    match arguments.first() {
        Some(Expr::Literal(Literal::Text(unit))) => match unit.as_str() {
            "dow" => "day of the week (Sunday is 0)",
            "doy" => "day of the year",
            other => other,
        },
        _ => "",
    }
}
