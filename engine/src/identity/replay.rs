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

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;

use super::functions::namespace;
use super::sets::SEPARATOR;
use crate::clock::Micros;
use crate::config::{IdentityConfig, Namespace};
use crate::query::functions::text;
use crate::query::interner::Interner;
use crate::query::relation::{Operator, Output, Relation};

const NAME: &str = "replay_links";
const OUTPUT_ROWS: usize = 8192;
/// Links whose texts are fetched before they are laid.
const FETCHED_LINKS: usize = 256;
/// What laying takes for each link: its places in both orders, whether it goes last, its conflict, and itself as it was laid.
const LAYING_BYTES: usize = size_of::<((bool, bool, usize, Reverse<Micros>), &Link)>()
    + 2 * size_of::<&Link>()
    + 2 * size_of::<(u32, u32)>()
    + size_of::<Option<Conflict>>()
    + size_of::<Laid>();
/// What laying takes for each identifier: its rank, its place among the members, itself there, its degree, its parent, and its
/// foes. Its counts are as many as there are limits.
const IDENTIFIER_BYTES: usize = 2 * size_of::<usize>() + 3 * size_of::<u32>() + size_of::<Vec<(usize, usize)>>();

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

/// One link of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    cluster: u32,
    a: u32,
    b: u32,
    /// A link of a correction goes before one that was only seen.
    is_seen: bool,
    last_seen_at: Reverse<Micros>,
    /// Whether any event or record has it, if a correction has it too.
    was_seen: bool,
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

/// What the configuration says of the identifiers.
struct Rules {
    /// The rank of each one's namespace.
    ranks: Vec<usize>,
    /// The ranks of namespaces of which a person has so many values at most, ascending.
    limits: Vec<(usize, u32)>,
    /// An identifier linked to more others than this links nobody.
    links_max: Option<u32>,
}

impl Rules {
    fn new(config: &IdentityConfig, identifiers: &Interner) -> Self {
        let rank = |number| config.priority_of(namespace(identifiers.text(number)));
        let limit = |rank| Some((rank, config.with_rank(rank).and_then(Namespace::values_max)?));
        Self {
            ranks: (0..identifiers.len()).map(rank).collect(),
            limits: (0..=2 * config.namespaces.len()).filter_map(limit).collect(),
            links_max: config.links_max,
        }
    }
}

/// A link as the replay left it.
struct Laid {
    a: u32,
    b: u32,
    a_component: u32,
    b_component: u32,
    last_seen_at: Micros,
    /// Why it does not count.
    conflict: Option<Conflict>,
}

/// What stands against a link.
#[derive(Debug, Clone, Copy)]
enum Conflict {
    /// This end of it is linked to too many others.
    Linked(u32),
    /// The limit of the namespace with this rank.
    Limit(usize),
    /// A correction that keeps these two apart.
    Apart(u32, u32),
}

/// What is known of a cluster before its links are laid.
struct Cluster<'r> {
    links: &'r [Link],
    /// Pairs of identifiers that are never one person.
    apart: &'r [(u32, u32)],
    rules: &'r Rules,
    identifiers: &'r Interner,
    /// The identifiers, in the order of their numbers.
    members: Vec<u32>,
    /// The place of each one among the members, by its number; of those of other clusters anything.
    places: &'r [u32],
    /// How many others each one was seen with; what only a correction says is not counted.
    degrees: Vec<u32>,
}

impl<'r> Cluster<'r> {
    /// `places` are for its use, one for each identifier.
    fn new(
        links: &'r [Link],
        apart: &'r [(u32, u32)],
        rules: &'r Rules,
        identifiers: &'r Interner,
        places: &'r mut [u32],
    ) -> Self {
        let mut members: Vec<u32> = links.iter().flat_map(|link| [link.a, link.b]).collect();
        members.sort_unstable();
        members.dedup();
        (0..).zip(&members).for_each(|(place, &member)| places[member as usize] = place);
        let mut degrees = vec![0; members.len()];
        for end in links.iter().filter(|link| link.was_seen).flat_map(|link| [link.a, link.b]) {
            degrees[places[end as usize] as usize] += 1;
        }
        Self { links, apart, rules, identifiers, members, places, degrees }
    }

    /// The place of an identifier, if it is one of the cluster.
    fn place_of(&self, identifier: u32) -> Option<usize> {
        let place = self.place(identifier);
        (self.members.get(place) == Some(&identifier)).then_some(place)
    }

    /// The place of an identifier of the cluster.
    fn place(&self, identifier: u32) -> usize {
        self.places[identifier as usize] as usize
    }

    fn rank(&self, identifier: u32) -> usize {
        self.rules.ranks[identifier as usize]
    }
}

/// Lays the links of one cluster, and adds them to `laid`.
fn lay(cluster: &Cluster<'_>, laid: &mut Vec<Laid>) {
    let latest = cluster.links.iter().filter(|link| link.was_seen).map(|link| link.last_seen_at).min();
    let key = |link: &Link| {
        let trust = cluster.rank(link.a) + cluster.rank(link.b);
        (link.is_seen, Some(link.last_seen_at) != latest, trust, link.last_seen_at)
    };
    let mut order: Vec<_> = cluster.links.iter().map(|link| (key(link), link)).collect();
    order.sort_unstable_by(|(left, of_left), (right, of_right)| {
        let ends = |link: &Link| (cluster.identifiers.text(link.a), cluster.identifiers.text(link.b));
        left.cmp(right).then_with(|| ends(of_left).cmp(&ends(of_right)))
    });
    let order = last_those_leading_back(cluster, order.into_iter().map(|(_, link)| link).collect());

    let mut persons = Persons::new(cluster);
    let conflicts: Vec<Option<Conflict>> = order.iter().map(|link| persons.join(link.a, link.b)).collect();
    laid.extend(order.into_iter().zip(conflicts).map(|(link, conflict)| Laid {
        a: link.a,
        b: link.b,
        a_component: persons.name(link.a),
        b_component: persons.name(link.b),
        last_seen_at: link.last_seen_at.0,
        conflict,
    }));
}

/// The links in the same order, but last those that lead from what corrections took off somebody back to whom that one is
/// with when nothing is linked to what was taken off.
fn last_those_leading_back<'l>(cluster: &Cluster<'l>, order: Vec<&'l Link>) -> Vec<&'l Link> {
    let taken_off = taken_off(cluster);
    if taken_off.is_empty() {
        return order;
    }
    let mut back = HashSet::new();
    let mut last_back = order.clone();
    // What depends on others' is settled a round after theirs. Owners that depend on each other may never be: that ends, too.
    for _ in 0..=taken_off.len() {
        let mut found = HashSet::new();
        for (&owner, taken_off) in &taken_off {
            let touches = |link: &&Link| taken_off.contains(&link.a) || taken_off.contains(&link.b);
            let Some(owner) = cluster.place_of(owner) else { continue };
            let mut persons = Persons::new(cluster);
            for link in last_back.iter().filter(|link| !touches(link)) {
                persons.join(link.a, link.b);
            }
            let person = persons.root(owner);
            let mut leads_back =
                |from: u32, to: u32| taken_off.contains(&from) && persons.root(cluster.place(to)) == person;
            let leading = order.iter().filter(|link| leads_back(link.a, link.b) || leads_back(link.b, link.a));
            found.extend(leading.map(|link| (link.a, link.b)));
        }
        if found == back {
            break;
        }
        back = found;
        last_back.clone_from(&order);
        last_back.sort_by_key(|link| back.contains(&(link.a, link.b))); // stable
    }
    last_back
}

/// What corrections keep off more trusted identifiers, by these.
fn taken_off(cluster: &Cluster<'_>) -> BTreeMap<u32, HashSet<u32>> {
    let mut taken_off: BTreeMap<u32, HashSet<u32>> = BTreeMap::new();
    for &(a, b) in cluster.apart {
        let (owner, other) = match cluster.rank(a).cmp(&cluster.rank(b)) {
            Ordering::Less => (a, b),
            Ordering::Greater => (b, a),
            Ordering::Equal => continue,
        };
        taken_off.entry(owner).or_default().insert(other);
    }
    taken_off
}

/// A union-find forest over the identifiers of a cluster, by their places, each tree a person. Its root is the person's
/// smallest identifier by text; path halving keeps it flat.
struct Persons<'c> {
    cluster: &'c Cluster<'c>,
    /// Each one's parent.
    parents: Vec<usize>,
    /// Of each root: how many values the person has of each namespace with a limit.
    counts: Vec<u32>,
    /// Of each root: those whom its person must not meet, with the pair that says so. Empty if nothing is kept apart.
    foes: Vec<Vec<(usize, usize)>>,
}

impl<'c> Persons<'c> {
    fn new(cluster: &'c Cluster<'c>) -> Self {
        let Cluster { apart, members, rules, .. } = cluster;
        let mut counts = vec![0; members.len() * rules.limits.len()];
        for (counts, &member) in counts.chunks_exact_mut(rules.limits.len().max(1)).zip(members) {
            let rank = cluster.rank(member);
            if let Some(limit) = rules.limits.iter().position(|(limited, _)| *limited == rank) {
                counts[limit] = 1;
            }
        }
        let mut foes = vec![Vec::new(); if apart.is_empty() { 0 } else { members.len() }];
        for (pair, &(a, b)) in apart.iter().enumerate() {
            if let (Some(a), Some(b)) = (cluster.place_of(a), cluster.place_of(b)) {
                foes[a].push((b, pair));
                foes[b].push((a, pair));
            }
        }
        Self { cluster, parents: (0..members.len()).collect(), counts, foes }
    }

    /// The root of the person with the identifier at a place.
    fn root(&mut self, mut place: usize) -> usize {
        while self.parents[place] != place {
            self.parents[place] = self.parents[self.parents[place]];
            place = self.parents[place];
        }
        place
    }

    /// The smallest identifier of the person with `identifier`.
    fn name(&mut self, identifier: u32) -> u32 {
        let root = self.root(self.cluster.place(identifier));
        self.cluster.members[root]
    }

    /// Makes one person of two identifiers, unless something stands against it: one that is linked to too many others, a
    /// correction, or the limit of a namespace, of which it then gives the most trusted.
    fn join(&mut self, a: u32, b: u32) -> Option<Conflict> {
        let Cluster { rules, members, identifiers, .. } = self.cluster;
        let [place_of_a, place_of_b] = [a, b].map(|end| self.cluster.place(end));
        let is_hub = |place: usize| rules.links_max.is_some_and(|most| self.cluster.degrees[place] > most);
        if let Some((hub, _)) = [(a, place_of_a), (b, place_of_b)].into_iter().find(|(_, place)| is_hub(*place)) {
            return Some(Conflict::Linked(hub));
        }
        let (a, b) = (self.root(place_of_a), self.root(place_of_b));
        if a == b {
            return None;
        }
        if let Some(pair) = self.pair_between(a, b) {
            let (left, right) = self.cluster.apart[pair];
            return Some(Conflict::Apart(left, right));
        }
        let of_root = |root: usize| root * rules.limits.len();
        let count = |limit: usize| self.counts[of_root(a) + limit] + self.counts[of_root(b) + limit];
        let broken = rules.limits.iter().enumerate().find(|(limit, (_, most))| count(*limit) > *most);
        if let Some((_, &(rank, _))) = broken {
            return Some(Conflict::Limit(rank));
        }
        let text = |place: usize| identifiers.text(members[place]);
        let (root, other) = if text(a) < text(b) { (a, b) } else { (b, a) };
        self.parents[other] = root;
        for limit in 0..rules.limits.len() {
            self.counts[of_root(root) + limit] += self.counts[of_root(other) + limit];
        }
        if !self.foes.is_empty() {
            let foes = std::mem::take(&mut self.foes[other]);
            self.foes[root].extend(foes);
        }
        None
    }

    /// The first pair that keeps the persons of two roots apart.
    fn pair_between(&mut self, a: usize, b: usize) -> Option<usize> {
        if self.foes.is_empty() {
            return None;
        }
        let (few, others) = if self.foes[a].len() < self.foes[b].len() { (a, b) } else { (b, a) };
        let foes = std::mem::take(&mut self.foes[few]);
        let first = foes.iter().filter(|(foe, _)| self.root(*foe) == others).map(|(_, pair)| *pair).min();
        self.foes[few] = foes;
        first
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
