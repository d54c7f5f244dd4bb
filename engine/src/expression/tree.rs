//! An expression over one profile, or over one event in the condition of a figure.

use chrono::{DateTime, NaiveDate, Utc};

use super::behavior::{Measure, Property, Sequence};
use super::plain::Plain;
use super::span::Span;

/// The types that columns and expressions have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ColumnType {
    /// UTF-8 text.
    Text,
    /// 64-bit whole number.
    Integer,
    /// Exact number with a fraction.
    Decimal,
    /// True or false.
    Boolean,
    /// A day.
    Date,
    /// An instant in UTC.
    Timestamp,
    /// A list of texts.
    Texts,
}

/// A checked expression. Types fit as each variant says; null counts as SQL has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    /// A column of the profile, spelt as the table spells it; inside the condition of a figure, a column of events.
    Column {
        /// Name in the table.
        name: String,
        /// Type in the table.
        column_type: ColumnType,
    },
    /// A constant.
    Literal(Literal),
    /// All of two or more conditions.
    And(Vec<Expr>),
    /// Any of two or more conditions.
    Or(Vec<Expr>),
    /// The opposite of a condition.
    Not(Box<Expr>),
    /// A number with the other sign.
    Negate(Box<Expr>),
    /// Two values compared or computed with.
    Binary {
        /// What is done.
        op: BinaryOp,
        /// The value before the operator.
        left: Box<Expr>,
        /// The value after it.
        right: Box<Expr>,
    },
    /// `is null`, or `is not null` when negated.
    IsNull {
        /// A value of any type.
        expr: Box<Expr>,
        /// Whether `not` was written.
        negated: bool,
    },
    /// `is true`, `is not false` and so on: never null.
    IsBoolean {
        /// A condition.
        expr: Box<Expr>,
        /// What it is compared with.
        value: bool,
        /// Whether `not` was written.
        negated: bool,
    },
    /// Whether a value is one of some others, which fit its type.
    IsOneOf {
        /// The value.
        expr: Box<Expr>,
        /// At least one.
        list: Vec<Expr>,
        /// Whether `not` was written.
        negated: bool,
    },
    /// Whether a value lies between two others, both included.
    Between {
        /// The value.
        expr: Box<Expr>,
        /// The least.
        low: Box<Expr>,
        /// The most.
        high: Box<Expr>,
        /// Whether `not` was written.
        negated: bool,
    },
    /// Whether text matches a pattern with `%` and `_`, and `\` before one that is meant literally.
    Like {
        /// The text.
        expr: Box<Expr>,
        /// The pattern.
        pattern: String,
        /// Whether `not` was written.
        negated: bool,
        /// Whether it was `ilike`.
        case_insensitive: bool,
    },
    /// Whether a part of a text matches a regular expression of the `regex` crate.
    Matches {
        /// The text.
        expr: Box<Expr>,
        /// The regular expression, which is one.
        pattern: String,
        /// Whether the operator had an exclamation mark.
        negated: bool,
        /// Whether it had a star.
        case_insensitive: bool,
    },
    /// A value in another type; null if the value has no such form (`try_cast`).
    Cast {
        /// The value.
        expr: Box<Expr>,
        /// The type wanted.
        to: ColumnType,
    },
    /// The first value whose condition is true, else the other one, else null. All values are of one type, but that
    /// integers may stand among decimals and dates among timestamps.
    Case {
        /// Conditions with their values, `None` for null; at least one, and one with a value.
        branches: Vec<(Expr, Option<Expr>)>,
        /// The value if no condition is true.
        otherwise: Option<Box<Expr>>,
    },
    /// Whole UTC days from a date or a timestamp to the day for which it is computed; an integer, null for null.
    DaysSince(Box<Expr>),
    /// Whether a list has a value; null for null.
    Contains {
        /// A list of texts.
        list: Box<Expr>,
        /// A text.
        value: Box<Expr>,
    },
    /// Which of `groups` equally large groups of all profiles a value falls into: 1 is the lowest, and equal values
    /// share a group; an integer, null for null. Only in traits, and never inside another.
    Score {
        /// A number, a date or a timestamp.
        of: Box<Expr>,
        /// How many groups; at least 2.
        groups: u32,
        /// Whether 1 is the highest instead.
        descending: bool,
    },
    /// A figure of what the profile did, of the figure's type.
    Measure(Measure),
    /// Whether the profile did something at least once; never null. The figure is a count.
    Did(Measure),
    /// Whether the profile did one thing after another; never null.
    Sequence(Sequence),
    /// Whether the profile's person consented to a purpose; never null.
    Consented(String),
    /// Whether the profile is a member of another segment of the same refresh; never null. Only in segments.
    InSegment(String),
    /// Whether an identifier of the profile is on a list; never null. Only in segments.
    InList(String),
    /// Whether the profile is one of a number of profiles with the greatest values; never null. Equal values are decided
    /// by who was known first, and who has no value is not among them. Only in segments.
    Top {
        /// How many; at least 1.
        count: u32,
        /// A number, a date or a timestamp.
        of: Box<Expr>,
        /// A condition: who competes. Without it, everybody.
        among: Option<Box<Expr>>,
    },
    /// Where the profile falls when all are spread evenly between 0 and 1 by a split of this name: a decimal, the same
    /// for the same profile for good.
    Split(String),
    /// What an event says under a name; null if nothing, or nothing of that type. Only in conditions of figures.
    Property {
        /// Where: a path, since a column is an [`Expr::Column`].
        property: Property,
        /// The type that it is read as: text, decimal, boolean, date or timestamp.
        as_type: ColumnType,
    },
    /// A function of the profile's own values.
    Function {
        /// Which one.
        function: ScalarFunction,
        /// As many as the function takes, of the types it takes.
        arguments: Vec<Expr>,
    },
}

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    /// Text, without its quotes.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction, or too large for an integer: digits with an optional sign and point.
    Decimal(String),
    /// True or false.
    Boolean(bool),
    /// A day.
    Date(NaiveDate),
    /// An instant.
    Timestamp(DateTime<Utc>),
    /// A length of time, not nothing: only as the right side of adding to, or subtracting from, a date or a timestamp. A
    /// date is moved by no minutes.
    Interval(Span),
}

/// What can stand between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BinaryOp {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `is distinct from`: not equal, where null equals null; never null.
    Distinct,
    /// `is not distinct from`
    NotDistinct,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`: a decimal even of two integers, and null when the divisor is zero.
    Divide,
    /// `%`: what a division leaves, with the sign of the number divided, and null when the divisor is zero.
    Modulo,
    /// `||`: one text after another, null if either is.
    Concatenate,
}

/// The functions of single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ScalarFunction {
    /// One of those that take values of fixed types.
    Plain(&'static Plain),
    /// A number without its sign.
    Abs,
    /// A number rounded; a second argument, an integer literal, gives the decimal places.
    Round,
    /// The first argument that is not null; two or more arguments.
    Coalesce,
    /// The start of a `day`, `week`, `month`, `quarter` or `year` (a text literal) of a date or timestamp, as a
    /// timestamp.
    DateTrunc,
    /// A part of a date or timestamp, as an integer: a `year`, `quarter`, `month`, `week`, `day`, `dow` (Sunday is 0),
    /// `doy`, `hour` or `minute` (a text literal).
    DatePart,
    /// What the clocks of a time zone (a text literal, which is the name of one) show at a timestamp: as a timestamp that
    /// shows the same in UTC.
    TimeZone,
    /// Texts one after another, leaving out those that are null; two or more arguments.
    Concat,
    /// The same with the first argument between them; null if that is null. Two or more arguments.
    ConcatWith,
    /// The greatest whole number not above a number, in the number's type.
    Floor,
    /// The least whole number not below a number, in the number's type.
    Ceil,
    /// The first of two arguments, but null if they are equal.
    NullIf,
    /// The greatest argument that is not null; two or more arguments.
    Greatest,
    /// The least argument that is not null; two or more arguments.
    Least,
    /// Number of entries of a list.
    ListLength,
    /// The instant for which it is computed, as a timestamp; no argument.
    Now,
    /// The UTC day of that instant; no argument.
    CurrentDate,
}

impl Expr {
    /// Returns the expressions directly inside this one. Conditions over events are not among them.
    pub(crate) fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Column { .. }
            | Expr::Literal(_)
            | Expr::Measure(_)
            | Expr::Did(_)
            | Expr::Sequence(_)
            | Expr::Consented(_)
            | Expr::InSegment(_)
            | Expr::InList(_)
            | Expr::Split(_)
            | Expr::Property { .. } => Vec::new(),
            Expr::And(conditions) | Expr::Or(conditions) => conditions.iter().collect(),
            Expr::Function { arguments, .. } => arguments.iter().collect(),
            Expr::Binary { left, right, .. } => vec![left, right],
            Expr::Contains { list, value } => vec![list, value],
            Expr::IsOneOf { expr, list, .. } => std::iter::once(&**expr).chain(list).collect(),
            Expr::Between { expr, low, high, .. } => vec![expr, low, high],
            Expr::Top { of, among, .. } => std::iter::once(&**of).chain(among.as_deref()).collect(),
            Expr::Case { branches, otherwise } => {
                let branches = branches.iter().flat_map(|(condition, value)| std::iter::once(condition).chain(value));
                branches.chain(otherwise.as_deref()).collect()
            }
            Expr::Not(expr)
            | Expr::Negate(expr)
            | Expr::DaysSince(expr)
            | Expr::Score { of: expr, .. }
            | Expr::IsNull { expr, .. }
            | Expr::IsBoolean { expr, .. }
            | Expr::Like { expr, .. }
            | Expr::Matches { expr, .. }
            | Expr::Cast { expr, .. } => vec![expr],
        }
    }

    /// Calls `visit` for this expression and every one inside it, outermost first.
    pub(super) fn for_each<'e>(&'e self, visit: &mut impl FnMut(&'e Expr)) {
        visit(self);
        for child in self.children() {
            child.for_each(visit);
        }
    }
}
