//! The identity graph of a generation in memory: its identifiers, and what links connect. A process that refreshes again and
//! again keeps it, for then what new links touch is found without reading all identifiers.
//!
//! Each identifier hangs under the smallest of its component, and knows another one of it, round and round: a ring. Links join
//! trees (union-find, Tarjan 1975); once all are there, who is in a tree that was joined to another is hung under that one's
//! smallest, and the rings are joined. So what links cost depends on them and on the components that they touch, not on the graph.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::error::{DataFusionError, Result};

use crate::query::forest::{Forest, Node, Rows};
use crate::query::functions::text;
use crate::query::interner::Interner;

/// The identifiers of a generation, and of links that came later.
#[derive(Default)]
pub(crate) struct IdentityGraph {
    forest: Forest,
    /// Of each identifier the next one in the ring of its component.
    next: Vec<Node>,
    /// What the generation says of each identifier.
    known: Vec<Option<Known>>,
    /// Those that came later have higher numbers.
    settled: Node,
    /// Those that came before, and that the generation has not.
    gone: HashSet<Node>,
    /// Those of them that links name again.
    returned: Vec<Node>,
    /// Ends of the links that came later.
    touched: Vec<Node>,
    /// Those that were the smallest of their components before links joined these to others.
    joined: Vec<Node>,
    ends: [(Rows, Vec<Node>); 2],
}

/// What a generation says of an identifier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// Its number.
    pub(crate) ordinal: i64,
    /// That of the anchor of its profile.
    pub(crate) profile_ordinal: i64,
}

impl IdentityGraph {
    /// Adds links: namespace and value of both ends of each.
    ///
    /// # Errors
    /// An execution error for an end that is null; ResourcesExhausted beyond four billion identifiers.
    pub(crate) fn add(&mut self, links: &RecordBatch) -> Result<()> {
        if links.columns().iter().any(|column| column.logical_null_count() > 0) {
            return Err(DataFusionError::Execution("an end of a link is null".to_owned()));
        }
        let all: Vec<u32> = (0..links.num_rows() as u32).collect();
        for ((rows, nodes), end) in self.ends.iter_mut().zip(links.columns().chunks(2)) {
            let [namespaces, values] = end else {
                return Err(DataFusionError::Internal("a link has two ends".to_owned()));
            };
            self.forest.read(Some(namespaces), values, rows)?;
            self.forest.nodes(rows, &all, nodes)?;
        }
        self.next.extend(self.next.len() as Node..self.forest.len());
        self.known.resize(self.next.len(), None);
        let [(_, a_nodes), (_, b_nodes)] = &self.ends;
        if !self.gone.is_empty() {
            self.returned.extend(a_nodes.iter().chain(b_nodes).filter(|node| self.gone.contains(node)));
        }
        for (&a, &b) in a_nodes.iter().zip(b_nodes) {
            let (a, b) = (self.forest.root(a), self.forest.root(b));
            if a != b {
                let (smaller, other) = if self.forest.is_before(a, b) { (a, b) } else { (b, a) };
                self.forest.hang(other, smaller);
                self.joined.push(other);
            }
        }
        self.touched.extend(a_nodes);
        Ok(())
    }

    /// Completes components after links were added. Returns whose component is another one than before, new identifiers
    /// included.
    pub(crate) fn join(&mut self) -> Vec<Node> {
        let joined = std::mem::take(&mut self.joined);
        let mut moved: Vec<Node> = Vec::new();
        for &smallest in &joined {
            let root = self.forest.root(smallest);
            let ring = moved.len()..;
            moved.extend(self.ring(smallest));
            moved[ring].iter().for_each(|&node| self.forest.hang(node, root));
        }
        for smallest in joined {
            let root = self.forest.flat_root(smallest);
            self.next.swap(smallest as usize, root as usize);
        }
        moved.retain(|node| *node < self.settled && !self.gone.contains(node));
        self.returned.sort_unstable();
        self.returned.dedup();
        moved.extend(self.returned.iter().copied().chain(self.settled..self.forest.len()));
        moved
    }

    /// Everybody in the components of links that were added, after [`IdentityGraph::join`].
    pub(crate) fn touched(&self) -> Vec<Node> {
        let mut components: Vec<Node> = self.touched.iter().map(|&node| self.forest.flat_root(node)).collect();
        components.sort_unstable();
        components.dedup();
        components.into_iter().flat_map(|smallest| self.ring(smallest)).collect()
    }

    /// Begins to take identifiers as a new generation has them, in place of all that were touched.
    pub(crate) fn settle(&mut self) -> Settling {
        self.join();
        let touched = self.touched();
        for &node in &touched {
            self.forest.hang(node, node);
            self.next[node as usize] = node;
            self.known[node as usize] = None;
        }
        self.touched.clear();
        self.returned.clear();
        Settling { touched, ..Settling::default() }
    }

    /// What the generation says of an identifier; `None` if it has none such.
    pub(crate) fn known(&self, node: Node) -> Option<Known> {
        self.known[node as usize]
    }

    /// The anchors of the profiles of some identifiers, by ordinal. They are among those identifiers if all of their components
    /// are.
    pub(crate) fn anchors(&self, nodes: &[Node]) -> HashMap<i64, Node> {
        let known = nodes.iter().filter_map(|&node| Some((node, self.known(node)?)));
        known
            .filter(|(_, known)| known.ordinal == known.profile_ordinal)
            .map(|(node, known)| (known.ordinal, node))
            .collect()
    }

    /// The smallest of an identifier's component, after [`IdentityGraph::join`].
    pub(crate) fn component(&self, node: Node) -> Node {
        self.forest.flat_root(node)
    }

    /// The identifiers' texts.
    pub(crate) fn forest(&self) -> &Forest {
        &self.forest
    }

    /// Bytes held.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.forest.allocated_bytes()
            + self.next.capacity() * size_of::<Node>()
            + self.known.capacity() * size_of::<Option<Known>>()
    }

    /// An identifier, and all others of its ring.
    fn ring(&self, first: Node) -> impl Iterator<Item = Node> + '_ {
        let next = move |&node: &Node| Some(self.next[node as usize]).filter(|&next| next != first);
        std::iter::successors(Some(first), next)
    }
}

/// Takes identifiers as a generation has them.
#[derive(Default)]
pub(crate) struct Settling {
    /// Those in whose place they come.
    touched: Vec<Node>,
    components: Interner,
    /// The smallest identifier of each component.
    smallest: Vec<Node>,
    /// Each identifier with its component.
    rows: Vec<(Node, u32)>,
}

impl Settling {
    /// Takes some: `namespace`, `value`, a text that names the component, the identifier's ordinal and its profile's.
    ///
    /// # Errors
    /// Internal for an identifier of before that was not touched; ResourcesExhausted beyond four billion identifiers.
    pub(crate) fn push(&mut self, graph: &mut IdentityGraph, batch: &RecordBatch) -> Result<()> {
        let [namespaces, values, components, ordinals, profile_ordinals] = batch.columns() else {
            return Err(DataFusionError::Internal("an identifier has five columns".to_owned()));
        };
        let (components, ordinals, profile_ordinals) =
            (text(components)?, numbers(ordinals)?, numbers(profile_ordinals)?);
        let all: Vec<u32> = (0..batch.num_rows() as u32).collect();
        let [(rows, nodes), _] = &mut graph.ends;
        graph.forest.read(Some(namespaces), values, rows)?;
        graph.forest.nodes(rows, &all, nodes)?;
        graph.next.extend(graph.next.len() as Node..graph.forest.len());
        graph.known.resize(graph.next.len(), None);
        let mut of_rows = Vec::with_capacity(nodes.len());
        self.components.numbers(nodes.len(), |row| components.value(row), &mut of_rows)?;
        for (row, (&node, &component)) in nodes.iter().zip(&of_rows).enumerate() {
            let (ordinal, profile_ordinal) = (ordinals.value(row), profile_ordinals.value(row));
            if graph.known[node as usize].replace(Known { ordinal, profile_ordinal }).is_some() {
                return Err(DataFusionError::Internal("an identifier came that nothing had touched".to_owned()));
            }
            match self.smallest.get_mut(component as usize) {
                Some(smallest) if graph.forest.is_before(node, *smallest) => *smallest = node,
                Some(_) => {}
                None => self.smallest.push(node),
            }
        }
        self.rows.extend(nodes.iter().copied().zip(of_rows));
        Ok(())
    }

    /// Connects what is in one component.
    pub(crate) fn finish(self, graph: &mut IdentityGraph) {
        for (node, component) in self.rows {
            let smallest = self.smallest[component as usize];
            if node != smallest {
                graph.forest.hang(node, smallest);
                graph.next.swap(node as usize, smallest as usize);
            }
        }
        for node in self.touched {
            if graph.known(node).is_some() {
                graph.gone.remove(&node);
            } else {
                graph.gone.insert(node);
            }
        }
        graph.settled = graph.forest.len();
    }
}

fn numbers(column: &ArrayRef) -> Result<&Int64Array> {
    let numbers = column.as_primitive_opt::<Int64Type>().filter(|numbers| numbers.null_count() == 0);
    numbers.ok_or_else(|| DataFusionError::Internal("an identifier has no ordinal".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use arrow::array::StringArray;
    use proptest::prelude::*;

    use super::*;

    type Link = (u8, u8);

    fn texts(texts: impl Iterator<Item = String>) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(texts))
    }

    /// Namespace and value of a number.
    fn parts(number: u8) -> [String; 2] {
        [["device", "user"][usize::from(number % 2)].to_owned(), format!("{number}")]
    }

    fn batch(columns: impl IntoIterator<Item = ArrayRef>) -> RecordBatch {
        RecordBatch::try_from_iter(columns.into_iter().enumerate().map(|(at, column)| (at.to_string(), column)))
            .unwrap()
    }

    fn links(links: &[Link]) -> RecordBatch {
        let end = |end: fn(&Link) -> u8, part: usize| texts(links.iter().map(|link| parts(end(link))[part].clone()));
        batch([end(|link| link.0, 0), end(|link| link.0, 1), end(|link| link.1, 0), end(|link| link.1, 1)])
    }

    /// The component of each number: the smallest of those that `links` connect it to.
    fn components(links: &[Link]) -> BTreeMap<u8, u8> {
        let mut of: BTreeMap<u8, u8> = links.iter().flat_map(|&(a, b)| [(a, a), (b, b)]).collect();
        for &(a, b) in links {
            let (a, b) = (of[&a], of[&b]);
            let smaller = std::cmp::min_by_key(a, b, |&number| parts(number).join(":"));
            of.values_mut().filter(|of| **of == a || **of == b).for_each(|of| *of = smaller);
        }
        of
    }

    fn number(graph: &IdentityGraph, node: Node) -> u8 {
        graph.forest().value(node).parse().unwrap()
    }

    fn numbers(graph: &IdentityGraph, nodes: &[Node]) -> BTreeSet<u8> {
        let numbers: BTreeSet<u8> = nodes.iter().map(|&node| number(graph, node)).collect();
        assert_eq!(numbers.len(), nodes.len(), "somebody is told twice");
        numbers
    }

    /// Takes the components of `links` as those of a generation, of `some` or all. Each number is an ordinal, and each component
    /// a profile, of which the smallest is the anchor.
    fn settle(graph: &mut IdentityGraph, links: &[Link], some: impl Fn(u8) -> bool) {
        let of: Vec<(u8, u8)> = components(links).into_iter().filter(|(number, _)| some(*number)).collect();
        let part = |part: usize| texts(of.iter().map(|(number, _)| parts(*number)[part].clone()));
        let ordinals = |of: Vec<u8>| Arc::new(Int64Array::from_iter_values(of.into_iter().map(i64::from))) as ArrayRef;
        let (all, anchors) = of.iter().copied().unzip();
        let names = texts(of.iter().map(|(_, component)| format!("profile {component}")));
        let mut settling = graph.settle();
        settling.push(graph, &batch([part(0), part(1), names, ordinals(all), ordinals(anchors)])).unwrap();
        settling.finish(graph);
    }

    proptest! {
        #[test]
        fn test_links_touch_and_move_whom_they_should(
            rounds in prop::collection::vec(prop::collection::vec((0..40_u8, 0..40_u8), 1..12), 1..6),
            forgotten in 0..40_u8,
        ) {
            let mut graph = IdentityGraph::default();
            let mut known: Vec<Link> = Vec::new();
            for round in rounds {
                let before = components(&known);
                let all: Vec<Link> = known.iter().chain(&round).copied().collect();
                let after = components(&all);
                for some in round.chunks(5) {
                    graph.add(&links(some)).unwrap();
                }
                let moved = graph.join();
                let expected: BTreeSet<u8> =
                    after.iter().filter(|(number, component)| before.get(number) != Some(component)).map(|(number, _)| *number).collect();
                prop_assert_eq!(numbers(&graph, &moved), expected);
                let touched = graph.touched();
                let reached: BTreeSet<u8> = round.iter().map(|(a, _)| after[a]).collect();
                let expected: BTreeSet<u8> =
                    after.iter().filter(|(_, component)| reached.contains(component)).map(|(number, _)| *number).collect();
                prop_assert_eq!(numbers(&graph, &touched), expected.clone());
                let anchors = graph.anchors(&touched);
                for node in touched {
                    prop_assert_eq!(number(&graph, graph.component(node)), after[&number(&graph, node)]);
                    let anchor = graph.known(node).map(|known| anchors[&known.profile_ordinal]);
                    let anchor = anchor.map(|anchor| number(&graph, anchor));
                    prop_assert_eq!(anchor, before.get(&number(&graph, node)).copied());
                }
                // A generation may not have it so: what somebody told is gone.
                let is_gone = |(a, b): &Link| expected.contains(&forgotten) && [a, b].contains(&&forgotten);
                known = all.into_iter().filter(|link| !is_gone(link)).collect();
                settle(&mut graph, &known, |number| expected.contains(&number));
            }
        }
    }
}
