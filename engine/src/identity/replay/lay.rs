//! Lays the links of a cluster again, one after the other.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, HashSet};

use super::persons::Persons;
use crate::clock::Micros;
use crate::config::{IdentityConfig, Namespace};
use crate::identity::functions::namespace;
use crate::query::interner::Interner;

/// What laying takes for each link: its places in both orders, whether it goes last, its conflict, and itself as it was laid.
pub(super) const LAYING_BYTES: usize = size_of::<((bool, bool, usize, Reverse<Micros>), &Link)>()
    + 2 * size_of::<&Link>()
    + 2 * size_of::<(u32, u32)>()
    + size_of::<Option<Conflict>>()
    + size_of::<Laid>();
/// What laying takes for each identifier: its rank, its place among the members, itself there, its degree, its parent, and its
/// foes. Its counts are as many as there are limits.
pub(super) const IDENTIFIER_BYTES: usize =
    2 * size_of::<usize>() + 3 * size_of::<u32>() + size_of::<Vec<(usize, usize)>>();

/// One link of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Link {
    pub(super) cluster: u32,
    pub(super) a: u32,
    pub(super) b: u32,
    /// A link of a correction goes before one that was only seen.
    pub(super) is_seen: bool,
    pub(super) last_seen_at: Reverse<Micros>,
    /// Whether any event or record has it, if a correction has it too.
    pub(super) was_seen: bool,
}

/// What the configuration says of the identifiers.
pub(super) struct Rules {
    /// The rank of each one's namespace.
    ranks: Vec<usize>,
    /// The ranks of namespaces of which a person has so many values at most, ascending.
    pub(super) limits: Vec<(usize, u32)>,
    /// An identifier linked to more others than this links nobody.
    pub(super) links_max: Option<u32>,
}

impl Rules {
    pub(super) fn new(config: &IdentityConfig, identifiers: &Interner) -> Self {
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
pub(super) struct Laid {
    pub(super) a: u32,
    pub(super) b: u32,
    pub(super) a_component: u32,
    pub(super) b_component: u32,
    pub(super) last_seen_at: Micros,
    /// Why it does not count.
    pub(super) conflict: Option<Conflict>,
}

/// What stands against a link.
#[derive(Debug, Clone, Copy)]
pub(super) enum Conflict {
    /// This end of it is linked to too many others.
    Linked(u32),
    /// The limit of the namespace with this rank.
    Limit(usize),
    /// A correction that keeps these two apart.
    Apart(u32, u32),
}

/// What is known of a cluster before its links are laid.
pub(super) struct Cluster<'r> {
    links: &'r [Link],
    /// Pairs of identifiers that are never one person.
    pub(super) apart: &'r [(u32, u32)],
    pub(super) rules: &'r Rules,
    pub(super) identifiers: &'r Interner,
    /// The identifiers, in the order of their numbers.
    pub(super) members: Vec<u32>,
    /// The place of each one among the members, by its number; of those of other clusters anything.
    places: &'r [u32],
    /// How many others each one was seen with; what only a correction says is not counted.
    pub(super) degrees: Vec<u32>,
}

impl<'r> Cluster<'r> {
    /// `places` are for its use, one for each identifier.
    pub(super) fn new(
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
    pub(super) fn place_of(&self, identifier: u32) -> Option<usize> {
        let place = self.place(identifier);
        (self.members.get(place) == Some(&identifier)).then_some(place)
    }

    /// The place of an identifier of the cluster.
    pub(super) fn place(&self, identifier: u32) -> usize {
        self.places[identifier as usize] as usize
    }

    pub(super) fn rank(&self, identifier: u32) -> usize {
        self.rules.ranks[identifier as usize]
    }
}

/// Lays the links of one cluster, and adds them to `laid`.
pub(super) fn lay(cluster: &Cluster<'_>, laid: &mut Vec<Laid>) {
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
