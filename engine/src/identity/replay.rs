//! `replay_links((select cluster, kind, identifiers, last_seen_at from ...))`: a relation in SQL that takes clusters apart
//! that cannot be one person: in which a person would have more values of a namespace than its limit, or two identifiers
//! that a correction keeps apart, or that an identifier connects which is linked to so many others that it is nobody's.
//!
//! Its rows are identifier sets, each with the cluster that all links connect: what was `seen` together, what is `always`
//! one person by a correction, and pairs that are `never` one person. Per cluster the links are laid again, one after the
//! other, from rules that everybody can follow: what somebody decided counts first, then what was said last, then what is
//! trusted most.
//!
//! 1. The links of corrections.
//! 2. Those that were seen when anything of the cluster was last seen together. All of that time are equals here, for one
//!    that came first by its text alone would come last once something else is seen.
//! 3. The others by the sum of the ranks of their namespaces, the most trusted first; then by when they were last seen,
//!    the newest first; then by their identifiers. So the order is total, and is a function of the data alone.
//! 4. In the same order those that lead from an identifier that a correction keeps off a more trusted one, its owner, back to
//!    that one's person, as the person is without all that was taken off it: what was taken off takes nothing of the person's
//!    along. Whose person that is may depend on what was taken off others, so this is repeated until it stays the same, at most
//!    once for each owner.
//!
//! All links of an identifier that was seen with more than `links_max` others are dropped. So is a link that would break a
//! limit or bring together what is kept apart; persons only grow, so nothing that follows can make it fit. The idea is that of
//! [Adobe's identity graph linking rules][rules]; the effect on a shared device is that its cookie belongs to who logged in last.
//!
//! The answer has each link of the clusters once: `a` and `b`, the more trusted one first, the persons that they belong
//! to (`a_component`, `b_component`: the smallest identifier of each), when the link was last seen, and for a dropped link
//! the `reason` in words (else null) and the limit that it would have broken (`exceeded`: the namespace, or `links_max`; null for corrections).
//!
//! [rules]: https://experienceleague.adobe.com/en/docs/experience-platform/identity/features/identity-graph-linking-rules/identity-optimization-algorithm

mod lay;
mod persons;

use std::cmp::Reverse;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;

use self::lay::{Cluster, Conflict, IDENTIFIER_BYTES, LAYING_BYTES, Laid, Link, Rules, lay};
use super::functions::namespace;
use super::sets::SEPARATOR;
use crate::clock::Micros;
use crate::config::IdentityConfig;
use crate::query::functions::text;
use crate::query::interner::Interner;
use crate::query::relation::{Operator, Output, Relation};

const NAME: &str = "replay_links";
const OUTPUT_ROWS: usize = 8192;
/// Links whose texts are fetched before they are laid.
const FETCHED_LINKS: usize = 256;

/// The relation, with the namespaces' ranks and limits.
#[derive(Debug)]
pub(crate) struct ReplayLinks {
    pub(crate) config: Arc<IdentityConfig>,
}

impl Relation for ReplayLinks {
    fn name(&self) -> &'static str {
        NAME
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        let names: Vec<&str> = input.fields().iter().map(|field| field.name().as_str()).collect();
        if names != ["cluster", "kind", "identifiers", "last_seen_at"] {
            return Err(DataFusionError::Plan(format!(
                "{NAME} takes the columns cluster, kind, identifiers, last_seen_at; the query has {}",
                names.join(", ")
            )));
        }
        Ok(schema())
    }

    fn partition_by(&self) -> &'static [&'static str] {
        &["cluster"]
    }

    fn operator(&self, reservation: MemoryReservation) -> Box<dyn Operator> {
        Box::new(Replay {
            config: Arc::clone(&self.config),
            clusters: Interner::default(),
            identifiers: Interner::default(),
            links: Vec::new(),
            apart: Vec::new(),
            reservation,
        })
    }
}

fn schema() -> SchemaRef {
    let text = |name: &str, is_nullable| Field::new(name, DataType::Utf8View, is_nullable);
    Arc::new(Schema::new(vec![
        text("a", false),
        text("b", false),
        text("a_component", false),
        text("b_component", false),
        Field::new("last_seen_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        text("reason", true),
        text("exceeded", true),
    ]))
}

/// All sets so far, as links.
struct Replay {
    config: Arc<IdentityConfig>,
    clusters: Interner,
    identifiers: Interner,
    links: Vec<Link>,
    /// Cluster and ends of what is never one person.
    apart: Vec<(u32, u32, u32)>,
    reservation: MemoryReservation,
}

impl Operator for Replay {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let (clusters, kinds, sets) = (text(batch.column(0))?, text(batch.column(1))?, text(batch.column(2))?);
        let times = batch.column(3).as_primitive_opt::<TimestampMicrosecondType>();
        let times =
            times.ok_or_else(|| DataFusionError::Plan(format!("{NAME}: last_seen_at is not in microseconds")))?;
        if [&clusters, &kinds, &sets].iter().any(|column| column.null_count() > 0) {
            return Err(DataFusionError::Execution(format!("{NAME}: a value is null")));
        }
        // All texts at once: their numbers are found in parallel.
        let (mut members, mut ends) = (Vec::with_capacity(2 * sets.len()), Vec::with_capacity(sets.len()));
        for set in sets.iter().flatten() {
            members.extend(set.split(SEPARATOR));
            ends.push(members.len());
        }
        let (mut of_rows, mut numbers) = (Vec::with_capacity(sets.len()), Vec::with_capacity(members.len()));
        self.clusters.numbers(batch.num_rows(), |row| clusters.value(row), &mut of_rows)?;
        self.identifiers.numbers(members.len(), |place| members[place], &mut numbers)?;
        let mut start = 0;
        for (row, (cluster, end)) in of_rows.into_iter().zip(ends).enumerate() {
            // A correction was seen at no time.
            let time = if times.is_null(row) { Micros::MIN } else { times.value(row) };
            let members = &numbers[std::mem::replace(&mut start, end)..end];
            if kinds.value(row) == "never" {
                self.apart.extend(members.get(..2).map(|pair| (cluster, pair[0], pair[1])));
                continue;
            }
            let is_seen = kinds.value(row) == "seen";
            for (place, &a) in members.iter().enumerate() {
                let link = |&b: &u32| Link { cluster, a, b, is_seen, last_seen_at: Reverse(time), was_seen: is_seen };
                self.links.extend(members[place + 1..].iter().map(link));
            }
        }
        // What the sets take, and what laying their links will.
        let of_identifier = IDENTIFIER_BYTES + self.config.namespaces.len() * size_of::<u32>();
        let of_identifiers = self.identifiers.len() as usize * of_identifier;
        let of_links = self.links.capacity() * size_of::<Link>() + self.links.len() * LAYING_BYTES;
        self.reservation.try_resize(
            self.clusters.allocated_bytes() + self.identifiers.allocated_bytes() + of_identifiers + of_links,
        )
    }

    fn finish(self: Box<Self>, _: usize) -> Vec<Output> {
        let Self { config, clusters: _, identifiers, mut links, mut apart, reservation } = *self;
        links.sort_unstable();
        links.dedup_by(|link, first| {
            let is_same = (link.cluster, link.a, link.b) == (first.cluster, first.a, first.b);
            if is_same {
                // Of a correction before seen, the newest before others.
                first.last_seen_at = first.last_seen_at.min(link.last_seen_at);
                first.was_seen |= link.was_seen;
            }
            is_same
        });
        // By their texts, not by numbers, which depend on who came first: of two corrections that stand against a link, the
        // same is always named.
        let texts = |(a, b): (u32, u32)| (identifiers.text(a), identifiers.text(b));
        apart.sort_unstable_by(|left, right| {
            left.0.cmp(&right.0).then_with(|| texts((left.1, left.2)).cmp(&texts((right.1, right.2))))
        });
        let rules = Rules::new(&config, &identifiers);
        let mut laid = Vec::with_capacity(links.len());
        let mut places = vec![0; identifiers.len() as usize];
        let mut fetched = 0;
        for of_cluster in links.chunk_by(|left, right| left.cluster == right.cluster) {
            let cluster = of_cluster[0].cluster;
            if laid.len() + of_cluster.len() > fetched {
                let next = &links[fetched..links.len().min(laid.len() + of_cluster.len() + FETCHED_LINKS)];
                identifiers.fetch(next.iter().flat_map(|link| [link.a, link.b]));
                fetched += next.len();
            }
            let first = apart.partition_point(|&(of, ..)| of < cluster);
            let apart: Vec<_> = apart[first..].iter().take_while(|&&(of, ..)| of == cluster).collect();
            let apart: Vec<_> = apart.into_iter().map(|&(_, a, b)| (a, b)).collect();
            lay(&Cluster::new(of_cluster, &apart, &rules, &identifiers, &mut places), &mut laid);
        }
        vec![Box::new((0..laid.len()).step_by(OUTPUT_ROWS).map(move |start| {
            let _held = &reservation;
            batch(&laid[start..laid.len().min(start + OUTPUT_ROWS)], &identifiers, &config)
        }))]
    }
}

fn batch(laid: &[Laid], identifiers: &Interner, config: &IdentityConfig) -> Result<RecordBatch> {
    let texts = |of: fn(&Laid) -> u32| -> ArrayRef {
        let mut texts = StringViewBuilder::with_capacity(laid.len());
        laid.iter().for_each(|link| texts.append_value(identifiers.text(of(link))));
        Arc::new(texts.finish())
    };
    let time = |link: &Laid| (link.last_seen_at != Micros::MIN).then_some(link.last_seen_at);
    let times: TimestampMicrosecondArray = laid.iter().map(time).collect();
    let mut reasons = StringViewBuilder::with_capacity(laid.len());
    let mut exceeded = StringViewBuilder::with_capacity(laid.len());
    for link in laid {
        let limit = match link.conflict {
            Some(Conflict::Limit(rank)) => config.with_rank(rank).map(|namespace| namespace.name.as_str()),
            Some(Conflict::Linked(_)) => Some("links_max"),
            Some(Conflict::Apart(..)) | None => None,
        };
        exceeded.append_option(limit);
        reasons.append_option(link.conflict.map(|conflict| reason(conflict, identifiers, config)));
    }
    let columns: Vec<ArrayRef> = vec![
        texts(|link| link.a),
        texts(|link| link.b),
        texts(|link| link.a_component),
        texts(|link| link.b_component),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(reasons.finish()),
        Arc::new(exceeded.finish()),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn reason(conflict: Conflict, identifiers: &Interner, config: &IdentityConfig) -> String {
    match conflict {
        Conflict::Linked(hub) => {
            let most = config.links_max.unwrap_or(u32::MAX);
            format!("this {} is linked to more than {most} others", namespace(identifiers.text(hub)))
        }
        Conflict::Limit(rank) => {
            let limit = config.with_rank(rank).and_then(|namespace| Some((namespace.values_max()?, &namespace.name)));
            limit.map_or_else(String::new, |(most, name)| format!("a person has at most {most} {name}"))
        }
        Conflict::Apart(a, b) => {
            format!("a correction keeps {} and {} apart", identifiers.text(a), identifiers.text(b))
        }
    }
}
