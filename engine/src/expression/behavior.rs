//! Figures of what profiles do: which events count, over which days, and what is told of them.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use chrono::NaiveDate;

use super::span::Span;
use super::tree::{ColumnType, Expr};

/// The columns of events that conditions and figures may name.
pub(crate) const EVENT_COLUMNS: [(&str, ColumnType); 14] = [
    ("source", ColumnType::Text),
    ("touchpoint", ColumnType::Text),
    ("party", ColumnType::Text),
    ("event_type", ColumnType::Text),
    ("page_path", ColumnType::Text),
    ("page_title", ColumnType::Text),
    ("page_section", ColumnType::Text),
    ("referrer", ColumnType::Text),
    ("utm_source", ColumnType::Text),
    ("utm_medium", ColumnType::Text),
    ("utm_campaign", ColumnType::Text),
    ("currency", ColumnType::Text),
    ("revenue", ColumnType::Decimal),
    ("occurred_at", ColumnType::Timestamp),
];

/// A figure of what profiles do, over a window. Ordered so that sets of measures have one order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Measure {
    /// Which events count.
    pub(crate) events: EventSelector,
    /// What is told of them.
    pub(crate) figure: Figure,
    /// Which days count.
    pub(crate) window: Window,
}

/// Which events count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EventSelector {
    /// The event's name, as events carry it.
    pub(crate) event: String,
    /// What must be true of an event; null is not true.
    pub(crate) condition: Option<EventCondition>,
}

/// A condition over one event. Compared, ordered and hashed by its text, so that equal conditions are one measure with
/// whatever blanks and case they were written.
#[derive(Debug, Clone)]
pub(crate) struct EventCondition {
    /// Its type is boolean; its columns are [`EVENT_COLUMNS`].
    pub(crate) expression: Box<Expr>,
    /// The expression in this language's one form.
    pub(crate) text: String,
}

impl PartialEq for EventCondition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for EventCondition {}

impl PartialOrd for EventCondition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EventCondition {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for EventCondition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// What is told of the events of a measure. Events without the property do not count for figures of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Figure {
    /// How many there are: an integer, 0 if none.
    Count,
    /// On how many UTC days there are some: an integer, 0 if none.
    Days,
    /// When the first of them was: a timestamp, null if none.
    FirstTime,
    /// When the last of them was: a timestamp, null if none.
    LastTime,
    /// The sum of a number: a decimal, 0 if none.
    Sum(Property),
    /// The mean of a number: a decimal, null if none.
    Average(Property),
    /// The least number, or the earliest time of a column that is one; null if none.
    Least(Property),
    /// The greatest number, or the latest time of a column that is one; null if none.
    Most(Property),
    /// The smallest number up to which at least this share of the numbers lie: a decimal, null if none.
    Percentile(Property, Share),
    /// The value of the earliest event that has one; null if none.
    FirstValue(Property),
    /// The value of the latest event that has one; null if none.
    LastValue(Property),
    /// The value that most events have; null if none.
    MostFrequent(Property),
    /// How many different values there are: an integer, 0 if none.
    DistinctCount(Property),
    /// The different values, sorted: a list of text, empty if none.
    Values(Property),
    /// Whether there are so many in each of the last weeks: a boolean, never null. Weeks are blocks of seven days that
    /// end with the day for which it is computed; the measure's window covers exactly them.
    EachWeek {
        /// How many weeks, at least 1.
        weeks: u32,
        /// How many events in each, at least 1.
        times: u32,
    },
}

impl Figure {
    /// The same figure under its plainer name: the least `occurred_at` is the first time.
    pub(crate) fn plain(&self) -> &Self {
        let is_time = |property: &Property| property.column_type() == ColumnType::Timestamp;
        match self {
            Figure::Least(property) if is_time(property) => &Figure::FirstTime,
            Figure::Most(property) if is_time(property) => &Figure::LastTime,
            other => other,
        }
    }

    /// The type of the figure's value.
    pub(crate) fn column_type(&self) -> ColumnType {
        match self {
            Figure::Count | Figure::Days | Figure::DistinctCount(_) => ColumnType::Integer,
            Figure::FirstTime | Figure::LastTime => ColumnType::Timestamp,
            Figure::Sum(_) | Figure::Average(_) | Figure::Percentile(..) => ColumnType::Decimal,
            Figure::Least(Property::Path(_)) | Figure::Most(Property::Path(_)) => ColumnType::Decimal,
            Figure::Least(property)
            | Figure::Most(property)
            | Figure::FirstValue(property)
            | Figure::LastValue(property)
            | Figure::MostFrequent(property) => property.column_type(),
            Figure::Values(_) => ColumnType::Texts,
            Figure::EachWeek { .. } => ColumnType::Boolean,
        }
    }
}

/// What an event says under a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Property {
    /// A column of events: one of [`EVENT_COLUMNS`].
    Column(String),
    /// The names that lead to a value in the event's JSON properties: at least one, none empty.
    Path(Vec<String>),
}

impl Property {
    /// The type that the value has by itself: properties are text until something else is asked of them.
    pub(crate) fn column_type(&self) -> ColumnType {
        let known = |name: &String| EVENT_COLUMNS.iter().find(|(column, _)| column == name);
        match self {
            Property::Column(name) => known(name).map_or(ColumnType::Text, |(_, column_type)| *column_type),
            Property::Path(_) => ColumnType::Text,
        }
    }
}

/// A share of all, exact to a thousandth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Share {
    /// From 0 to 1000.
    pub(crate) thousandths: u16,
}

impl Share {
    /// The place, counted from 1, up to which this share of `count` values lies: the nearest rank.
    pub(crate) fn rank(self, count: i64) -> i64 {
        let thousandths = i64::from(self.thousandths) * count;
        (thousandths / 1000 + i64::from(thousandths % 1000 > 0)).max(1)
    }
}

/// Which days a measure counts, by UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Window {
    /// All.
    Ever,
    /// The last days or months before the day for which it is computed, or some before those.
    Within {
        /// How long; no minutes. Without `ago`, the day itself counts beside them, and alone if this is no time at all; with
        /// `ago`, it is some.
        last: Span,
        /// They end just before the day that lies so far back: just before the day itself if that is no time at all.
        ago: Option<Span>,
    },
    /// This day, and all after it.
    Since(NaiveDate),
    /// From one day to another, both included; the second is no earlier.
    Between(NaiveDate, NaiveDate),
}

impl Window {
    /// A window that ends with the day for which it is computed.
    pub(crate) fn last(last: Span) -> Self {
        Self::Within { last, ago: None }
    }

    /// The first and the last day that count, both included, as they are on the day `today`; `None` for no bound.
    pub(crate) fn bounds(self, today: NaiveDate) -> (Option<NaiveDate>, Option<NaiveDate>) {
        match self {
            Self::Ever => (None, None),
            Self::Within { last, ago: None } => (Some(last.before(today)), None),
            Self::Within { last, ago: Some(ago) } => (Some(ago.and(last).before(today)), ago.before(today).pred_opt()),
            Self::Since(first) => (Some(first), None),
            Self::Between(first, last) => (Some(first), Some(last)),
        }
    }
}

/// Events that follow each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sequence {
    /// At least two, each strictly later than the one before it.
    pub(crate) steps: Vec<SequenceStep>,
    /// Which days count: all steps lie in them.
    pub(crate) window: Window,
    /// The most minutes that may lie between the first step and the last; at least 1.
    pub(crate) span_minutes: Option<u32>,
}

/// One step of a sequence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SequenceStep {
    /// What may not happen between the step before and this one; empty for the first step.
    pub(crate) without: Vec<EventSelector>,
    /// What happens.
    pub(crate) events: EventSelector,
}
