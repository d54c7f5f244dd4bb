//! `sessionize((select ... from fragments))`: a relation in SQL that joins fragments of visits into visits.
//!
//! A fragment is an interval of one profile's activity on one touchpoint, with what happened in it; an event is a
//! fragment of one instant. Two fragments belong to one visit if the pause between them is shorter than the timeout, and
//! every column is folded by a rule that does not depend on order (sums, and the smallest or largest of a tuple). So
//! visits are fragments again, they can be joined in any order, and visits of visits are the visits of all events. That
//! is what makes the sessions table incremental.
//!
//! The operator joins each fragment with its neighbours as it comes. It needs no sort, and holds visits, not events.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int64Array, StringViewArray, StringViewBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;

use crate::clock::Micros;
use crate::decimal;
use crate::query::interner::Interner;
use crate::query::relation::{Operator, Output, Relation};

const OUTPUT_ROWS: usize = 8192;
/// Precision and scale of money, as in the column contracts.
const MONEY: DataType = DataType::Decimal128(18, 4);
/// A text that is null.
const NULL: u32 = u32::MAX;

/// The columns of a fragment, in this order.
const COLUMNS: [&str; 17] = [
    "profile_id",
    "touchpoint",
    "first_event",
    "entry_page",
    "referrer",
    "exit_page",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "started_at",
    "ended_at",
    "entered_at",
    "exited_at",
    "campaign_at",
    "event_count",
    "page_views",
    "order_count",
];
/// How many of them are texts, and after these, instants.
const TEXTS: usize = 9;
const INSTANTS: usize = 5;

/// The relation, with the pause that ends a visit.
#[derive(Debug)]
pub(crate) struct Sessionize {
    /// A pause of so many microseconds starts a new visit.
    pub(crate) timeout: Micros,
}

impl Relation for Sessionize {
    fn name(&self) -> &'static str {
        "sessionize"
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        for name in COLUMNS.iter().chain(&["revenue"]) {
            input
                .field_with_name(name)
                .map_err(|_| DataFusionError::Plan(format!("sessionize needs a column `{name}`")))?;
        }
        Ok(schema())
    }

    fn partition_by(&self) -> &'static [&'static str] {
        &["profile_id", "touchpoint"]
    }

    fn operator(&self, reservation: MemoryReservation) -> Box<dyn Operator> {
        Box::new(Visits {
            timeout: self.timeout,
            texts: Interner::default(),
            groups: Interner::default(),
            visits: Vec::new(),
            count: 0,
            reservation,
        })
    }
}

fn schema() -> SchemaRef {
    let field = |(place, name): (usize, &&str)| {
        let data_type = match place {
            place if place < TEXTS => DataType::Utf8View,
            place if place < TEXTS + INSTANTS => instant(),
            _ => DataType::Int64,
        };
        Field::new(*name, data_type, true)
    };
    let mut fields: Vec<Field> = COLUMNS.iter().enumerate().map(field).collect();
    fields.push(Field::new("revenue", MONEY, true));
    Arc::new(Schema::new(fields))
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// One fragment or visit. Tuples are compared as wholes, so that ties are settled by what is in them.
#[derive(Debug, Clone)]
struct Visit {
    started_at: Micros,
    ended_at: Micros,
    first_event: Box<str>,
    /// The smallest of (time, page, referrer).
    entry: Option<(Micros, u32, u32)>,
    /// The largest of (time, page).
    exit: Option<(Micros, u32)>,
    /// The smallest of (time, source, medium, name).
    campaign: Option<(Micros, [u32; 3])>,
    event_count: i64,
    page_views: i64,
    order_count: i64,
    revenue: Option<i128>,
}

/// All visits so far.
struct Visits {
    timeout: Micros,
    /// Pages, referrers and campaigns: few different ones.
    texts: Interner,
    /// Touchpoint and profile, joined by a line feed.
    groups: Interner,
    /// Each group's visits: apart from each other, in the order of time.
    visits: Vec<Vec<Visit>>,
    count: usize,
    reservation: MemoryReservation,
}

impl Operator for Visits {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = Rows::new(batch)?;
        let mut group = String::new();
        for row in 0..batch.num_rows() {
            group.clear();
            group.push_str(rows.texts[1].value(row));
            group.push('\n');
            group.push_str(rows.texts[0].value(row));
            let number = self.groups.number(&group)? as usize;
            if number == self.visits.len() {
                self.visits.push(Vec::new());
            }
            let fragment = rows.fragment(row, &mut self.texts)?;
            self.add(number, fragment);
        }
        let held = self.count * (size_of::<Visit>() + 48) + self.visits.capacity() * size_of::<Vec<Visit>>();
        self.reservation.try_resize(held + self.texts.allocated_bytes() + self.groups.allocated_bytes())
    }

    fn finish(self: Box<Self>, _: usize) -> Vec<Output> {
        let Self { texts, groups, visits, .. } = *self;
        let mut flat = visits
            .into_iter()
            .enumerate()
            .flat_map(|(group, visits)| visits.into_iter().map(move |visit| (group as u32, visit)));
        vec![Box::new(std::iter::from_fn(move || {
            let chunk: Vec<(u32, Visit)> = flat.by_ref().take(OUTPUT_ROWS).collect();
            (!chunk.is_empty()).then(|| batch(&chunk, &texts, &groups))
        }))]
    }
}

impl Visits {
    /// Joins `fragment` with all visits of its group that are near enough.
    fn add(&mut self, group: usize, mut fragment: Visit) {
        let (timeout, texts) = (self.timeout, &self.texts);
        let visits = &mut self.visits[group];
        let first = visits.partition_point(|visit| visit.ended_at.saturating_add(timeout) <= fragment.started_at);
        let mut end = first;
        while end < visits.len() && visits[end].started_at < fragment.ended_at.saturating_add(timeout) {
            fragment.join(&visits[end], texts);
            end += 1;
        }
        self.count += 1;
        self.count -= end - first;
        if end == first + 1 {
            visits[first] = fragment;
        } else {
            visits.splice(first..end, [fragment]);
        }
    }
}

impl Visit {
    fn join(&mut self, other: &Self, texts: &Interner) {
        if (other.started_at, &other.first_event) < (self.started_at, &self.first_event) {
            self.first_event.clone_from(&other.first_event);
        }
        self.started_at = self.started_at.min(other.started_at);
        self.ended_at = self.ended_at.max(other.ended_at);
        let entry = |(at, page, referrer): (Micros, u32, u32)| (at, text_of(texts, page), text_of(texts, referrer));
        if other.entry.is_some() && (self.entry.is_none() || other.entry.map(entry) < self.entry.map(entry)) {
            self.entry = other.entry;
        }
        let exit = |(at, page): (Micros, u32)| (at, text_of(texts, page));
        if other.exit.map(exit) > self.exit.map(exit) {
            self.exit = other.exit;
        }
        let campaign = |(at, names): (Micros, [u32; 3])| (at, names.map(|name| text_of(texts, name)));
        if other.campaign.is_some()
            && (self.campaign.is_none() || other.campaign.map(campaign) < self.campaign.map(campaign))
        {
            self.campaign = other.campaign;
        }
        self.event_count += other.event_count;
        self.page_views += other.page_views;
        self.order_count += other.order_count;
        self.revenue = match (self.revenue, other.revenue) {
            (Some(left), Some(right)) => Some(left + right),
            (left, right) => left.or(right),
        };
    }
}

fn text_of(texts: &Interner, number: u32) -> Option<&str> {
    (number != NULL).then(|| texts.text(number))
}

/// A batch's columns in the order of [`COLUMNS`].
struct Rows {
    texts: Vec<StringViewArray>,
    instants: Vec<TimestampMicrosecondArray>,
    counts: Vec<Int64Array>,
    revenue: Decimal128Array,
}

impl Rows {
    fn new(batch: &RecordBatch) -> Result<Self> {
        let column = |name: &str, data_type: &DataType| -> Result<ArrayRef> {
            let column =
                batch.column_by_name(name).ok_or_else(|| DataFusionError::Internal(format!("no column `{name}`")))?;
            Ok(if column.data_type() == data_type {
                Arc::clone(column)
            } else {
                arrow::compute::cast(column, data_type)?
            })
        };
        let of = |names: &[&str], data_type: DataType| {
            names.iter().map(|name| column(name, &data_type)).collect::<Result<Vec<_>>>()
        };
        let (texts, rest) = COLUMNS.split_at(TEXTS);
        let (instants, counts) = rest.split_at(INSTANTS);
        Ok(Self {
            texts: of(texts, DataType::Utf8View)?.iter().map(|column| column.as_string_view().clone()).collect(),
            instants: of(instants, instant())?
                .iter()
                .map(|column| column.as_primitive::<TimestampMicrosecondType>().clone())
                .collect(),
            counts: of(counts, DataType::Int64)?
                .iter()
                .map(|column| column.as_primitive::<Int64Type>().clone())
                .collect(),
            revenue: column("revenue", &MONEY)?.as_primitive::<Decimal128Type>().clone(),
        })
    }

    fn fragment(&self, row: usize, texts: &mut Interner) -> Result<Visit> {
        let mut text = |place: usize| -> Result<u32> {
            let column: &StringViewArray = &self.texts[place];
            if column.is_null(row) { Ok(NULL) } else { texts.number(column.value(row)) }
        };
        let at = |place: usize| self.instants[place].is_valid(row).then(|| self.instants[place].value(row));
        Ok(Visit {
            started_at: self.instants[0].value(row),
            ended_at: self.instants[1].value(row),
            first_event: self.texts[2].value(row).into(),
            entry: match at(2) {
                Some(at) => Some((at, text(3)?, text(4)?)),
                None => None,
            },
            exit: match at(3) {
                Some(at) => Some((at, text(5)?)),
                None => None,
            },
            campaign: match at(4) {
                Some(at) => Some((at, [text(6)?, text(7)?, text(8)?])),
                None => None,
            },
            event_count: self.counts[0].value(row),
            page_views: self.counts[1].value(row),
            order_count: self.counts[2].value(row),
            revenue: self.revenue.is_valid(row).then(|| self.revenue.value(row)),
        })
    }
}

fn batch(visits: &[(u32, Visit)], texts: &Interner, groups: &Interner) -> Result<RecordBatch> {
    let group = |number: u32| groups.text(number).split_once('\n').unwrap_or_default();
    let text = |value: &dyn Fn(&(u32, Visit)) -> Option<String>| -> ArrayRef {
        let mut builder = StringViewBuilder::with_capacity(visits.len());
        visits.iter().for_each(|visit| builder.append_option(value(visit)));
        Arc::new(builder.finish())
    };
    let named = |value: &dyn Fn(&Visit) -> Option<u32>| {
        text(&|(_, visit)| value(visit).and_then(|number| text_of(texts, number)).map(str::to_owned))
    };
    let instants = |value: &dyn Fn(&Visit) -> Option<Micros>| -> ArrayRef {
        Arc::new(
            visits.iter().map(|(_, visit)| value(visit)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"),
        )
    };
    let counts = |value: &dyn Fn(&Visit) -> i64| -> ArrayRef {
        Arc::new(visits.iter().map(|(_, visit)| Some(value(visit))).collect::<Int64Array>())
    };
    // A sum is exact until it is told: then it is the largest that there is, or the smallest, if it has more digits.
    let told = |units: i128| units.clamp(-decimal::UNITS_MAX, decimal::UNITS_MAX);
    let revenue = visits.iter().map(|(_, visit)| visit.revenue.map(told)).collect::<Decimal128Array>();
    let columns: Vec<ArrayRef> = vec![
        text(&|(number, _)| Some(group(*number).1.to_owned())),
        text(&|(number, _)| Some(group(*number).0.to_owned())),
        text(&|(_, visit)| Some(visit.first_event.to_string())),
        named(&|visit| visit.entry.map(|entry| entry.1)),
        named(&|visit| visit.entry.map(|entry| entry.2)),
        named(&|visit| visit.exit.map(|exit| exit.1)),
        named(&|visit| visit.campaign.map(|campaign| campaign.1[0])),
        named(&|visit| visit.campaign.map(|campaign| campaign.1[1])),
        named(&|visit| visit.campaign.map(|campaign| campaign.1[2])),
        instants(&|visit| Some(visit.started_at)),
        instants(&|visit| Some(visit.ended_at)),
        instants(&|visit| visit.entry.map(|entry| entry.0)),
        instants(&|visit| visit.exit.map(|exit| exit.0)),
        instants(&|visit| visit.campaign.map(|campaign| campaign.0)),
        counts(&|visit| visit.event_count),
        counts(&|visit| visit.page_views),
        counts(&|visit| visit.order_count),
        Arc::new(revenue.with_precision_and_scale(18, 4)?),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_revenue_beyond_its_digits_is_the_largest_or_the_smallest() {
        let texts = Interner::default();
        let mut groups = Interner::default();
        let group = groups.number("web\nada").unwrap();
        let visit = |units: i128| Visit {
            started_at: 0,
            ended_at: 0,
            first_event: "web 1".into(),
            entry: None,
            exit: None,
            campaign: None,
            event_count: 1,
            page_views: 0,
            order_count: 1,
            revenue: Some(units),
        };
        let ninety_trillions = 900_000_000_000_000_000;
        for (units, expected) in [(ninety_trillions, decimal::UNITS_MAX), (-ninety_trillions, -decimal::UNITS_MAX)] {
            let mut joined = visit(units);
            joined.join(&visit(units), &texts);
            let told = |visit: Visit| {
                let batch = batch(&[(group, visit)], &texts, &groups).unwrap();
                batch.column_by_name("revenue").unwrap().as_primitive::<Decimal128Type>().value(0)
            };
            assert_eq!(told(joined.clone()), expected);
            joined.join(&visit(-units), &texts);
            assert_eq!(told(joined), units, "in the same refresh nothing is lost");
        }
    }
}
