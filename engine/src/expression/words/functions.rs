//! Functions of single values, in plain English.

use super::super::{Expr, Literal, ScalarFunction};
use super::part;

/// A function with its arguments.
pub(super) fn function(function: ScalarFunction, arguments: &[Expr]) -> String {
    let argument = |index: usize| arguments.get(index).map(part).unwrap_or_default();
    let all = || arguments.iter().map(part).collect::<Vec<_>>();
    let (first, second) = (argument(0), argument(1));
    match function {
        ScalarFunction::Lower => format!("{first} in lower case"),
        ScalarFunction::Upper => format!("{first} in upper case"),
        ScalarFunction::Trim => format!("{first} without blanks around it"),
        ScalarFunction::Length => format!("the length of {first}"),
        ScalarFunction::ListLength => format!("the number of entries of {first}"),
        ScalarFunction::Abs => format!("{first} without its sign"),
        ScalarFunction::Round if arguments.len() > 1 => format!("{first} rounded to {second} decimal places"),
        ScalarFunction::Round => format!("{first} rounded"),
        ScalarFunction::Floor => format!("{first} rounded down"),
        ScalarFunction::Ceil => format!("{first} rounded up"),
        ScalarFunction::Coalesce => all().join(", or if unknown "),
        ScalarFunction::NullIf => format!("{first} unless it is {second}"),
        ScalarFunction::Concat => all().join(" followed by "),
        ScalarFunction::Greatest => format!("the greatest of ({})", all().join(", ")),
        ScalarFunction::Least => format!("the least of ({})", all().join(", ")),
        ScalarFunction::StartsWith => format!("{first} starts with {second}"),
        ScalarFunction::DateTrunc => format!("the start of the {} of {second}", unit(arguments)),
        ScalarFunction::DatePart => format!("the {} of {second}", unit(arguments)),
        ScalarFunction::Now => "now".to_owned(),
        ScalarFunction::CurrentDate => "today".to_owned(),
    }
}

/// Whether nothing that follows the words could be read as belonging to them.
pub(super) fn is_one_phrase(function: ScalarFunction) -> bool {
    use ScalarFunction::{Coalesce, Concat, NullIf, StartsWith};
    !matches!(function, Coalesce | Concat | NullIf | StartsWith)
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
