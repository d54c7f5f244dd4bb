//! What is kept of events so that figures need not read them again: a state by day and identifier.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;

use super::sequence;
use crate::error::Result;
use crate::expression::{EventSelector, Figure, Measure, Property, Sequence};
use crate::query::functions::text;

/// The table of what is kept.
const DEFINITIONS: &str = "behavior.measure_definitions";

/// Something that is kept of events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Kept {
    /// Of which.
    pub(crate) events: EventSelector,
    /// What.
    pub(crate) what: What,
}

/// What is kept of an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum What {
    /// That it happened.
    Event,
    /// A number that it says.
    Number(Property),
    /// A value that it says, whatever it is.
    Value(Property),
    /// When it happened.
    Instant,
}

impl Kept {
    /// What a measure is computed from.
    pub(crate) fn of(measure: &Measure) -> Self {
        let events = measure.events.clone();
        let what = match measure.figure.plain() {
            Figure::Count | Figure::Days | Figure::FirstTime | Figure::LastTime | Figure::EachWeek { .. } => {
                What::Event
            }
            // Sums of revenue are kept of all events.
            Figure::Sum(Property::Column(name)) if name == "revenue" && events.condition.is_none() => What::Event,
            Figure::Sum(property) | Figure::Average(property) | Figure::Least(property) | Figure::Most(property) => {
                What::Number(property.clone())
            }
            Figure::Percentile(property, _)
            | Figure::FirstValue(property)
            | Figure::LastValue(property)
            | Figure::MostFrequent(property)
            | Figure::DistinctCount(property)
            | Figure::Values(property) => What::Value(property.clone()),
        };
        Self { events, what }
    }

    /// What tells when each of some events was.
    pub(crate) fn instants(events: &EventSelector) -> Self {
        Self { events: events.clone(), what: What::Instant }
    }

    /// What is kept for an expression's figures.
    pub(crate) fn wanted(measures: &[Measure], sequences: &[Sequence]) -> BTreeSet<Self> {
        let instants = sequences.iter().flat_map(sequence::selectors).map(Self::instants);
        measures.iter().map(Self::of).chain(instants).filter(|kept| !kept.is_of_all_events()).collect()
    }

    /// True for what `behavior.measures` has of every event.
    pub(crate) fn is_of_all_events(&self) -> bool {
        self.what == What::Event && self.events.condition.is_none()
    }

    /// What to say of it if nothing was found: a name or a value in it may be misspelled. `None` if it has neither beside the
    /// event's name.
    pub(super) fn absence(&self) -> Option<String> {
        let property = |property: &Property| match property {
            Property::Column(name) => name.clone(),
            Property::Path(keys) => keys.join("."),
        };
        let condition = self.events.condition.as_ref().map(|condition| condition.text.as_str());
        let says = match &self.what {
            What::Event | What::Instant if condition.is_none() => return None,
            What::Event | What::Instant => String::new(),
            What::Number(of) => format!(" says a number as `{}`", property(of)),
            What::Value(of) => format!(" says anything as `{}`", property(of)),
        };
        let such = condition.map(|condition| format!(" where `{condition}`")).unwrap_or_default();
        Some(format!("no `{}`{such}{says} on the days that count", self.events.event))
    }

    /// It in words: what is the same has the same.
    pub(crate) fn definition(&self) -> String {
        let property = |property: &Property| match property {
            Property::Column(name) => name.clone(),
            Property::Path(keys) => format!("property {keys:?}"),
        };
        let what = match &self.what {
            What::Event => "times".to_owned(),
            What::Number(of) => format!("number: {}", property(of)),
            What::Value(of) => format!("value: {}", property(of)),
            What::Instant => "instants".to_owned(),
        };
        let condition = self.events.condition.as_ref().map_or("", |condition| condition.text.as_str());
        let joined = if condition.is_empty() { "" } else { " where " };
        format!("{:?}, {what}{joined}{condition}", self.events.event)
    }
}

/// What the state holds, by the number under which it does. Numbers are never given again while the state lives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keeping {
    numbered: BTreeMap<Kept, i64>,
    /// Those that the last generation's state does not hold.
    pub(crate) new: BTreeSet<i64>,
    /// Number, event and definition of everything that the state ever held, and whether it still does.
    pub(crate) listed: Vec<Listed>,
}

/// A line of `behavior.measure_definitions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) measure_id: i64,
    pub(crate) event_name: String,
    pub(crate) definition: String,
    /// Whether it is in `behavior.instants` and not in `behavior.defined_measures`.
    pub(crate) is_instant: bool,
    /// False if nobody asks for it any more. Its rows have stopped to grow, so it is not taken up again.
    pub(crate) is_kept: bool,
}

impl Keeping {
    /// Numbers what is `wanted`, as the last generation did where it held it.
    pub(crate) fn settle(wanted: BTreeSet<Kept>, last: Vec<Listed>) -> Self {
        let mut next = last.iter().map(|listed| listed.measure_id).max().unwrap_or(0);
        let kept = last.iter().filter(|listed| listed.is_kept);
        let known: HashMap<String, i64> = kept.map(|listed| (listed.definition.clone(), listed.measure_id)).collect();
        let mut keeping = Self { listed: last, ..Self::default() };
        let mut found = BTreeSet::new();
        for kept in wanted {
            let definition = kept.definition();
            let number = known.get(&definition).copied().unwrap_or_else(|| {
                next += 1;
                keeping.new.insert(next);
                let (event_name, is_instant) = (kept.events.event.clone(), kept.what == What::Instant);
                keeping.listed.push(Listed { measure_id: next, event_name, definition, is_instant, is_kept: true });
                next
            });
            found.insert(number);
            keeping.numbered.insert(kept, number);
        }
        for listed in &mut keeping.listed {
            listed.is_kept &= found.contains(&listed.measure_id);
        }
        keeping
    }

    /// What is kept, with its numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Kept, i64)> {
        self.numbered.iter().map(|(kept, number)| (kept, *number))
    }
}

/// Numbers of what the state of a generation holds, by definition.
pub(super) async fn listed(session: &SessionContext) -> Result<BTreeMap<String, i64>> {
    let listed = all_listed(session, DEFINITIONS).await?;
    Ok(listed
        .into_iter()
        .filter(|listed| listed.is_kept)
        .map(|listed| (listed.definition, listed.measure_id))
        .collect())
}

/// The rows of `table`, which is `behavior.measure_definitions` or an earlier version of it.
///
/// # Errors
/// What the query reports.
pub(crate) async fn all_listed(session: &SessionContext, table: &str) -> Result<Vec<Listed>> {
    let query =
        format!("select measure_id, event_name, definition, is_instant, is_kept from {table} order by measure_id");
    let mut listed = Vec::new();
    for batch in session.sql(&query).await?.collect().await? {
        let numbers = batch.column(0).as_primitive::<Int64Type>();
        let (events, definitions) = (text(batch.column(1))?, text(batch.column(2))?);
        let (is_instant, is_kept) = (batch.column(3).as_boolean(), batch.column(4).as_boolean());
        listed.extend((0..batch.num_rows()).map(|row| Listed {
            measure_id: numbers.value(row),
            event_name: events.value(row).to_owned(),
            definition: definitions.value(row).to_owned(),
            is_instant: is_instant.is_valid(row) && is_instant.value(row),
            is_kept: is_kept.is_valid(row) && is_kept.value(row),
        }));
    }
    Ok(listed)
}
