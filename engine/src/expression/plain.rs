//! Functions that take values of fixed types: one row says all that is to know of a function. What decides its types by its
//! arguments is in [`scalars`](super::scalars).

use super::ColumnType::{self, Boolean, Decimal, Integer};
use super::plain::Takes::{Number, Short, Text, Whole};

/// A function of values. Null of null.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Plain {
    /// What it is called here.
    pub(super) name: &'static str,
    /// What SQL calls it.
    pub(crate) sql: &'static str,
    /// Its arguments.
    pub(super) takes: &'static [Takes],
    /// What its value is. A decimal is computed by floating point from numbers of any kind, and is null where there is no
    /// such number: a square root of -1.
    pub(crate) gives: ColumnType,
    /// What it is in plain English; `{0}` is its first argument.
    pub(super) words: &'static str,
}

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Takes {
    /// A text.
    Text,
    /// A whole number or a decimal.
    Number,
    /// A constant, from 1.
    Whole,
    /// A text constant of at most [`SHORT_BYTES_MAX`] bytes: with a longer one, little text would become very much.
    Short,
}

/// The longest constant of `replace`.
pub(super) const SHORT_BYTES_MAX: usize = 100;
const TEXT: ColumnType = ColumnType::Text;

/// The functions: here, in SQL, from what to what, in words. Those of one name differ in how much they take.
static PLAIN: [Plain; 25] = [
    Plain::of("lower", "lower", &[Text], TEXT, "{0} in lower case"),
    Plain::of("upper", "upper", &[Text], TEXT, "{0} in upper case"),
    Plain::of("initcap", "initcap", &[Text], TEXT, "{0} with capital initials"),
    Plain::of("reverse", "reverse", &[Text], TEXT, "{0} backwards"),
    Plain::of("trim", "btrim", &[Text], TEXT, "{0} without blanks around it"),
    Plain::of("trim", "btrim", &[Text, Text], TEXT, "{0} without any of {1} around it"),
    Plain::of("ltrim", "ltrim", &[Text], TEXT, "{0} without blanks before it"),
    Plain::of("ltrim", "ltrim", &[Text, Text], TEXT, "{0} without any of {1} before it"),
    Plain::of("rtrim", "rtrim", &[Text], TEXT, "{0} without blanks after it"),
    Plain::of("rtrim", "rtrim", &[Text, Text], TEXT, "{0} without any of {1} after it"),
    Plain::of("left", "left", &[Text, Whole], TEXT, "the start of {0}, {1} long"),
    Plain::of("right", "right", &[Text, Whole], TEXT, "the end of {0}, {1} long"),
    Plain::of("substr", "substr", &[Text, Whole], TEXT, "{0} from its character {1} on"),
    Plain::of("substr", "substr", &[Text, Whole, Whole], TEXT, "{0} from its character {1} on, {2} long"),
    Plain::of("split_part", "split_part", &[Text, Text, Whole], TEXT, "piece {2} of {0} cut at {1}"),
    Plain::of("replace", "replace", &[Text, Short, Short], TEXT, "{0} with {2} in place of {1}"),
    Plain::of("length", "character_length", &[Text], Integer, "the length of {0}"),
    Plain::of("strpos", "strpos", &[Text, Text], Integer, "the place of {1} in {0}"),
    Plain::of("starts_with", "starts_with", &[Text, Text], Boolean, "{0} starts with {1}"),
    Plain::of("ends_with", "ends_with", &[Text, Text], Boolean, "{0} ends with {1}"),
    Plain::of("sqrt", "sqrt", &[Number], Decimal, "the square root of {0}"),
    Plain::of("exp", "exp", &[Number], Decimal, "e to the power of {0}"),
    Plain::of("ln", "ln", &[Number], Decimal, "the natural logarithm of {0}"),
    Plain::of("log10", "log10", &[Number], Decimal, "the decimal logarithm of {0}"),
    Plain::of("power", "power", &[Number, Number], Decimal, "{0} to the power of {1}"),
];

/// Other words for the same.
const ALIASES: [(&str, &str); 5] = [
    ("btrim", "trim"),
    ("char_length", "length"),
    ("character_length", "length"),
    ("pow", "power"),
    ("substring", "substr"),
];

impl Plain {
    const fn of(
        name: &'static str,
        sql: &'static str,
        takes: &'static [Takes],
        gives: ColumnType,
        words: &'static str,
    ) -> Self {
        Self { name, sql, takes, gives, words }
    }

    /// How it is called, for messages.
    pub(super) fn usage(&self) -> String {
        let argument = |(index, takes): (usize, &Takes)| match takes {
            Text if index == 0 => "text",
            Text | Short => "'...'",
            Number if index == 0 => "number",
            Number | Whole => "2",
        };
        let arguments: Vec<&str> = self.takes.iter().enumerate().map(argument).collect();
        format!("{}({})", self.name, arguments.join(", "))
    }

    /// What it is of some arguments, in plain English.
    pub(super) fn in_words(&self, arguments: &[String]) -> String {
        let mut pieces = self.words.split('{');
        let mut words = pieces.next().unwrap_or_default().to_owned();
        for (index, rest) in pieces.filter_map(|piece| piece.split_once('}')) {
            words += index.parse().ok().and_then(|index: usize| arguments.get(index)).map_or("", String::as_str);
            words += rest;
        }
        words
    }
}

/// The functions of a name, or of another word for it.
pub(super) fn named(name: &str) -> impl Iterator<Item = &'static Plain> {
    let known = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, known)| known);
    PLAIN.iter().filter(move |plain| plain.name == known)
}

/// The names, each once.
pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
    let is_first = |index: usize| index == 0 || PLAIN[index - 1].name != PLAIN[index].name;
    (0..PLAIN.len()).filter(move |&index| is_first(index)).map(|index| PLAIN[index].name)
}

#[cfg(test)]
pub(super) fn all() -> &'static [Plain] {
    &PLAIN
}
