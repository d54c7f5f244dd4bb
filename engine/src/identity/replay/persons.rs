//! The persons that the links of a cluster make, as far as they are laid.

use super::lay::{Cluster, Conflict};

/// A union-find forest over the identifiers of a cluster, by their places, each tree a person. Its root is the person's
/// smallest identifier by text; path halving keeps it flat.
pub(super) struct Persons<'c> {
    cluster: &'c Cluster<'c>,
    /// Each one's parent.
    parents: Vec<usize>,
    /// Of each root: how many values the person has of each namespace with a limit.
    counts: Vec<u32>,
    /// Of each root: those whom its person must not meet, with the pair that says so. Empty if nothing is kept apart.
    foes: Vec<Vec<(usize, usize)>>,
}

impl<'c> Persons<'c> {
    pub(super) fn new(cluster: &'c Cluster<'c>) -> Self {
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
    pub(super) fn root(&mut self, mut place: usize) -> usize {
        while self.parents[place] != place {
            self.parents[place] = self.parents[self.parents[place]];
            place = self.parents[place];
        }
        place
    }

    /// The smallest identifier of the person with `identifier`.
    pub(super) fn name(&mut self, identifier: u32) -> u32 {
        let root = self.root(self.cluster.place(identifier));
        self.cluster.members[root]
    }

    /// Makes one person of two identifiers, unless something stands against it: one that is linked to too many others, a
    /// correction, or the limit of a namespace, of which it then gives the most trusted.
    pub(super) fn join(&mut self, a: u32, b: u32) -> Option<Conflict> {
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
