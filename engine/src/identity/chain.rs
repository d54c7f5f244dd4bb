//! The shortest chain of links between two identifiers (Dijkstra 1959).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// The numbers of the `links` that lead from `from` to `to`, in that order; `None` if none do. Links that do not count are
/// taken only where no others lead on, as few of them as there need be, and then as few links as there need be. Each link
/// is its two ends and whether it counts.
pub(crate) fn shortest_chain(links: &[(&str, &str, bool)], from: &str, to: &str) -> Option<Vec<usize>> {
    let mut neighbours: HashMap<&str, Vec<(usize, &str)>> = HashMap::new();
    for (number, (a, b, _)) in links.iter().enumerate() {
        neighbours.entry(a).or_default().push((number, b));
        neighbours.entry(b).or_default().push((number, a));
    }
    // What it costs to get to each identifier (links that do not count, links), and the last link on the way.
    let mut reached: HashMap<&str, ((usize, usize), Option<usize>)> = HashMap::from([(from, ((0, 0), None))]);
    let mut waiting = BinaryHeap::from([Reverse(((0, 0), from))]);
    while let Some(Reverse(((dropped, length), here))) = waiting.pop() {
        if reached[here].0 != (dropped, length) {
            continue; // There was a better way meanwhile.
        }
        for &(number, there) in neighbours.get(here).map(Vec::as_slice).unwrap_or_default() {
            let cost = (dropped + usize::from(!links[number].2), length + 1);
            if reached.get(there).is_none_or(|(known, _)| cost < *known) {
                reached.insert(there, (cost, Some(number)));
                waiting.push(Reverse((cost, there)));
            }
        }
    }
    let mut chain = Vec::new();
    let mut here = to;
    while let Some(number) = reached.get(here)?.1 {
        chain.push(number);
        let (a, b, _) = links[number];
        here = if here == a { b } else { a };
    }
    chain.reverse();
    Some(chain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_shortest_of_several_is_taken() {
        let links = [("a", "b", true), ("b", "c", true), ("c", "d", true), ("a", "e", true), ("e", "d", true)];
        assert_eq!(shortest_chain(&links, "a", "d"), Some(vec![3, 4]));
        assert_eq!(shortest_chain(&links, "d", "a"), Some(vec![4, 3]));
        assert_eq!(shortest_chain(&links, "a", "a"), Some(vec![]));
        assert_eq!(shortest_chain(&links, "a", "z"), None);
    }

    #[test]
    fn a_long_way_that_counts_is_better_than_a_short_one_that_does_not() {
        let links = [("a", "d", false), ("a", "b", true), ("b", "c", true), ("c", "d", true)];
        assert_eq!(shortest_chain(&links, "a", "d"), Some(vec![1, 2, 3]));
        assert_eq!(shortest_chain(&links[..3], "a", "d"), Some(vec![0]));
    }

    proptest! {
        /// Against Bellman and Ford, who try every link as often as there are identifiers.
        #[test]
        fn it_is_the_shortest(edges in prop::collection::vec((0..8_usize, 0..8_usize, any::<bool>()), 0..20)) {
            let names = ["0", "1", "2", "3", "4", "5", "6", "7"];
            let links: Vec<_> = edges.iter().map(|&(a, b, counts)| (names[a], names[b], counts)).collect();
            let mut costs = [None; 8];
            costs[0] = Some((0, 0));
            for _ in 0..8 {
                for &(a, b, counts) in &edges {
                    for (from, to) in [(a, b), (b, a)] {
                        if let Some((dropped, length)) = costs[from] {
                            let cost = (dropped + usize::from(!counts), length + 1);
                            costs[to] = Some(costs[to].map_or(cost, |known: (usize, usize)| known.min(cost)));
                        }
                    }
                }
            }
            for to in 0..8 {
                let chain = shortest_chain(&links, "0", names[to]);
                let cost = chain.as_ref().map(|chain| (chain.iter().filter(|&&link| !links[link].2).count(), chain.len()));
                prop_assert_eq!(cost, costs[to]);
                let mut here = "0";
                for link in chain.unwrap_or_default() {
                    let (a, b, _) = links[link];
                    prop_assert!(here == a || here == b);
                    here = if here == a { b } else { a };
                }
                prop_assert!(costs[to].is_none() || here == names[to]);
            }
        }
    }
}
