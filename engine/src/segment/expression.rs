//! What a segment is once it is checked: a closed tree of our own. Whoever compiles it need not fear SQL text, and
//! whoever adds a variant sees every place that must know it.

mod check;
mod functions;
mod literals;
mod operators;
mod order;
mod parse;
mod types;

pub(crate) use self::order::{needed, order};
pub(crate) use self::parse::parse_segment;

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};

/// A segment as its file defines it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SegmentDefinition {
    /// How other segments and people call it: lower-case letters, digits, `_` and `-`.
    pub(crate) name: String,
    /// The file as messages call it.
    pub(crate) file: String,
    /// A short name for people.
    pub(crate) title: Option<String>,
    /// What its members may be used for; decides which consent counts.
    pub(crate) purpose: Option<String>,
    /// Longer words for people.
    pub(crate) description: Option<String>,
    /// The expression as written, without the header. For people to read: never to run.
    pub(crate) sql: String,
    /// The expression. It is a condition: its type is boolean, and a profile for which it is null is no member.
    pub(crate) expression: Expr,
}

/// The types that columns and expressions have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
}

/// A checked expression over one profile. Types fit as each variant says; null counts as SQL has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    /// A column of the profile, spelt as the table spells it.
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
    /// Whether a value is one of a list; the constants fit its type.
    InList {
        /// The value.
        expr: Box<Expr>,
        /// At least one constant.
        list: Vec<Literal>,
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
    /// A value in another type; null if the value has no such form (`try_cast`).
    Cast {
        /// The value.
        expr: Box<Expr>,
        /// The type wanted.
        to: ColumnType,
    },
    /// How often the profile did something; an integer, 0 if never.
    EventCount(EventMeasure),
    /// Whether the profile did something at least once; never null.
    Did(EventMeasure),
    /// When the profile did something for the first or the last time; a timestamp, null if never.
    EventTime(EventMeasure),
    /// Whether the profile is a member of another segment of the same refresh; never null.
    InSegment(String),
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
    /// A number of days, at least 1: only as the right side of adding to, or subtracting from, a date or a timestamp.
    Days(u32),
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
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`: a decimal even of two integers, and null when the divisor is zero.
    Divide,
}

/// The functions of a profile's own values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ScalarFunction {
    /// Text in lower case.
    Lower,
    /// Text in upper case.
    Upper,
    /// Number of characters of a text.
    Length,
    /// A number without its sign.
    Abs,
    /// A number rounded; a second argument, an integer literal, gives the decimal places.
    Round,
    /// The first argument that is not null; two or more arguments.
    Coalesce,
    /// Whether a text begins with another.
    StartsWith,
    /// The start of a `day`, `week`, `month`, `quarter` or `year` (a text literal) of a date or timestamp, as a
    /// timestamp.
    DateTrunc,
    /// The instant for which the segment is computed, as a timestamp; no argument.
    Now,
    /// The UTC day of that instant; no argument.
    CurrentDate,
}

/// A figure of what profiles do, over a window. Ordered so that sets of measures have one order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EventMeasure {
    /// The event's name, as events carry it.
    pub(crate) event: String,
    /// What of it.
    pub(crate) figure: Figure,
    /// Which days count.
    pub(crate) window: Window,
}

/// What is told of the events of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Figure {
    /// How many there are.
    Count,
    /// When the first of them was.
    FirstTime,
    /// When the last of them was.
    LastTime,
}

/// Which days a measure counts, by UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Window {
    /// All.
    Ever,
    /// The day for which the segment is computed, and so many before it; at least 1.
    Within(u32),
    /// This day, and all after it.
    Since(NaiveDate),
    /// From one day to another, both included; the second is no earlier.
    Between(NaiveDate, NaiveDate),
}

impl Expr {
    /// Returns the expressions directly inside this one.
    pub(crate) fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Column { .. }
            | Expr::Literal(_)
            | Expr::EventCount(_)
            | Expr::Did(_)
            | Expr::EventTime(_)
            | Expr::InSegment(_) => Vec::new(),
            Expr::And(conditions) | Expr::Or(conditions) => conditions.iter().collect(),
            Expr::Function { arguments, .. } => arguments.iter().collect(),
            Expr::Binary { left, right, .. } => vec![left, right],
            Expr::Between { expr, low, high, .. } => vec![expr, low, high],
            Expr::Not(expr)
            | Expr::Negate(expr)
            | Expr::IsNull { expr, .. }
            | Expr::IsBoolean { expr, .. }
            | Expr::InList { expr, .. }
            | Expr::Like { expr, .. }
            | Expr::Cast { expr, .. } => vec![expr],
        }
    }

    /// Calls `visit` for this expression and every one inside it, outermost first.
    fn for_each<'e>(&'e self, visit: &mut impl FnMut(&'e Expr)) {
        visit(self);
        for child in self.children() {
            child.for_each(visit);
        }
    }
}

/// Returns the event measures that an expression needs, each once, ordered.
pub(crate) fn events_used(expression: &Expr) -> Vec<EventMeasure> {
    let mut measures = BTreeSet::new();
    expression.for_each(&mut |expr| {
        if let Expr::EventCount(measure) | Expr::Did(measure) | Expr::EventTime(measure) = expr {
            measures.insert(measure.clone());
        }
    });
    measures.into_iter().collect()
}

/// Returns the names of the segments that an expression refers to, each once, ordered.
pub(crate) fn segments_used(expression: &Expr) -> Vec<String> {
    let mut segments = BTreeSet::new();
    expression.for_each(&mut |expr| {
        if let Expr::InSegment(segment) = expr {
            segments.insert(segment.clone());
        }
    });
    segments.into_iter().collect()
}
