//! A union-find forest (Tarjan 1975) over nodes of a graph. A node is a text, or a value in a namespace.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use datafusion::error::Result;

use super::connected_components::Limits;
use super::functions::text;
use super::interner::{Fingerprint, Interner, Key};

/// Nodes whose texts are fetched at once.
const BLOCK: usize = 256;

/// The number of a node.
pub(crate) type Node = u32;

/// Nodes, each in a tree.
#[derive(Default)]
pub(crate) struct Forest {
    namespaces: Vec<Namespace>,
    /// Each node's value, without its namespace.
    values: Interner,
    /// Each node's namespace.
    namespace_of: Vec<u32>,
    /// Each node's parent; a root is its own.
    parents: Vec<Node>,
}

struct Namespace {
    /// Nodes without a namespace are in one without a name.
    name: Option<String>,
    key: Key,
}

/// Nodes as rows have them.
pub(crate) struct Rows {
    values: StringViewArray,
    namespaces: Vec<u32>,
    pub(crate) fingerprints: Vec<Fingerprint>,
}

impl Default for Rows {
    fn default() -> Self {
        Self { values: StringViewArray::new_null(0), namespaces: Vec::new(), fingerprints: Vec::new() }
    }
}

impl Forest {
    /// Reads nodes, of which no part is null.
    ///
    /// # Errors
    /// What casting to texts reports.
    pub(crate) fn read(&mut self, namespaces: Option<&ArrayRef>, values: &ArrayRef, rows: &mut Rows) -> Result<()> {
        rows.values = text(values)?;
        rows.namespaces.clear();
        match namespaces {
            Some(namespaces) => self.read_namespaces(namespaces, &mut rows.namespaces)?,
            None => rows.namespaces.resize(values.len(), self.namespace(None)),
        }
        let fingerprint =
            |(row, of): (usize, &u32)| self.namespaces[*of as usize].key.fingerprint(rows.values.value(row));
        rows.fingerprints.clear();
        rows.fingerprints.extend(rows.namespaces.iter().enumerate().map(fingerprint));
        Ok(())
    }

    /// Puts the nodes of `some` rows into `nodes`; each that is new is a tree.
    ///
    /// # Errors
    /// ResourcesExhausted beyond four billion nodes.
    pub(crate) fn nodes(&mut self, rows: &Rows, some: &[u32], nodes: &mut Vec<Node>) -> Result<()> {
        nodes.clear();
        let fingerprints: Vec<Fingerprint> = some.iter().map(|&row| rows.fingerprints[row as usize]).collect();
        self.values.numbers_of(&fingerprints, |place| rows.values.value(some[place] as usize), nodes)?;
        for (&node, &row) in nodes.iter().zip(some) {
            if node as usize == self.parents.len() {
                self.parents.push(node);
                self.namespace_of.push(rows.namespaces[row as usize]);
            }
        }
        Ok(())
    }

    /// Makes one tree of those of two nodes: the younger root hangs under the older one, so trees stay flat enough.
    pub(crate) fn union(&mut self, a: Node, b: Node) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b) as usize] = a.min(b);
    }

    /// The root of a node's tree. Halves the path to it.
    pub(crate) fn root(&mut self, mut node: Node) -> Node {
        loop {
            let parent = self.parents[node as usize];
            if parent == node {
                return node;
            }
            let grandparent = self.parents[parent as usize];
            self.parents[node as usize] = grandparent;
            node = grandparent;
        }
    }

    /// Makes `node` a child of `parent`, or a root of its own.
    pub(crate) fn hang(&mut self, node: Node, parent: Node) {
        self.parents[node as usize] = parent;
    }

    /// Hangs each node under its root. A parent is older than its child, so what is above it was hung before.
    pub(crate) fn flatten(&mut self) {
        for node in 0..self.parents.len() {
            self.parents[node] = self.parents[self.parents[node] as usize];
        }
    }

    /// The root of a node's tree after [`Forest::flatten`].
    pub(crate) fn flat_root(&self, node: Node) -> Node {
        self.parents[node as usize]
    }

    /// Takes all nodes of `other`, and the trees that they make.
    ///
    /// # Errors
    /// As [`Forest::nodes`].
    pub(crate) fn absorb(&mut self, other: &Self) -> Result<()> {
        let namespaces: Vec<u32> = other.namespaces.iter().map(|of| self.namespace(of.name.as_deref())).collect();
        let here = self.values.absorb(&other.values)?;
        let known = self.parents.len() as u32;
        self.parents.extend(known..self.values.len());
        self.namespace_of.resize(self.parents.len(), 0);
        for (&node, &namespace) in here.iter().zip(&other.namespace_of) {
            if node >= known {
                self.namespace_of[node as usize] = namespaces[namespace as usize];
            }
        }
        for (node, &parent) in (0..).zip(&other.parents) {
            if parent != node {
                self.union(here[node as usize], here[parent as usize]);
            }
        }
        Ok(())
    }

    /// How many nodes there are: their numbers are below it.
    pub(crate) fn len(&self) -> u32 {
        self.values.len()
    }

    /// The node's value, without its namespace.
    pub(crate) fn value(&self, node: Node) -> &str {
        self.values.text(node)
    }

    /// The name of the node's namespace.
    pub(crate) fn namespace_name(&self, node: Node) -> Option<&str> {
        self.namespaces[self.namespace_of[node as usize] as usize].name.as_deref()
    }

    /// Has the values of some nodes fetched, for whoever reads them one by one after that.
    pub(crate) fn fetch(&self, nodes: &[Node]) {
        self.values.fetch(nodes.iter().copied());
    }

    /// The node as one text, put into `whole`.
    pub(crate) fn write(&self, node: Node, whole: &mut String) {
        whole.clear();
        if let Some(name) = self.namespace_name(node) {
            whole.push_str(name);
            whole.push(':');
        }
        whole.push_str(self.value(node));
    }

    /// Whether a node comes before another one in the order of texts `namespace:value`.
    pub(crate) fn is_before(&self, node: Node, other: Node) -> bool {
        let bytes = |node: Node| {
            let name = self.namespace_name(node).map(|name| name.bytes().chain([b':']));
            name.into_iter().flatten().chain(self.value(node).bytes())
        };
        bytes(node).lt(bytes(other))
    }

    /// Of each root the smallest node of its tree by text. After [`Forest::flatten`].
    pub(crate) fn smallest(&self) -> Vec<Node> {
        let ranks = self.ranks();
        let rank = |node: Node| ranks[self.namespace_of[node as usize] as usize];
        let mut smallest: Vec<Node> = (0..self.len()).collect();
        let mut alike = Vec::with_capacity(BLOCK);
        for start in (0..self.len()).step_by(BLOCK) {
            alike.clear();
            for node in start..self.len().min(start + BLOCK as Node) {
                let known = &mut smallest[self.flat_root(node) as usize];
                match rank(node).cmp(&rank(*known)) {
                    Ordering::Less => *known = node,
                    Ordering::Equal if node != *known => alike.push(node),
                    Ordering::Equal | Ordering::Greater => {}
                }
            }
            // Only texts of one namespace have to be read to be compared.
            self.values.fetch(alike.iter().map(|&node| smallest[self.flat_root(node) as usize]));
            for &node in &alike {
                let known = &mut smallest[self.flat_root(node) as usize];
                if rank(node) == rank(*known) && self.value(node) < self.value(*known) {
                    *known = node;
                }
            }
        }
        smallest
    }

    /// Of each root whether its tree is beyond `limits`. After [`Forest::flatten`].
    pub(crate) fn crowded(&self, limits: &Limits) -> Vec<bool> {
        let mut is_crowded = vec![false; self.parents.len()];
        let mut count = |is_counted: &dyn Fn(Node) -> bool, most: u32| {
            let mut sizes = vec![0_u32; self.parents.len()];
            for node in (0..self.len()).filter(|&node| is_counted(node)) {
                let root = self.flat_root(node) as usize;
                sizes[root] += 1;
                is_crowded[root] |= sizes[root] > most;
            }
        };
        for (namespace, most) in &limits.values_max {
            let is_of = |of: &Namespace| of.name.as_ref().map(|name| name == namespace);
            let is_of: Vec<Option<bool>> = self.namespaces.iter().map(is_of).collect();
            // A node without a namespace is of what its text has before the first `:`.
            let says = |node| self.value(node).split_once(':').is_some_and(|(of, _)| of == namespace);
            count(&|node| is_of[self.namespace_of[node as usize] as usize].unwrap_or_else(|| says(node)), *most);
        }
        if let Some(most) = limits.nodes_max {
            count(&|_| true, most);
        }
        is_crowded
    }

    /// Bytes held, with those that [`Forest::smallest`] and [`Forest::crowded`] will take.
    pub(crate) fn allocated_bytes(&self) -> usize {
        const NODE_BYTES: usize = 3 * size_of::<Node>() + size_of::<u32>() + size_of::<bool>();
        self.values.allocated_bytes() + self.parents.capacity() * NODE_BYTES
    }

    /// The place of each namespace in the order of texts `namespace:value`.
    fn ranks(&self) -> Vec<usize> {
        let name = |place: usize| self.namespaces[place].name.as_ref().map(|name| format!("{name}:"));
        let mut order: Vec<usize> = (0..self.namespaces.len()).collect();
        order.sort_by_key(|&place| name(place));
        let mut ranks = vec![0; order.len()];
        order.into_iter().enumerate().for_each(|(rank, place)| ranks[place] = rank);
        ranks
    }

    fn namespace(&mut self, name: Option<&str>) -> u32 {
        let known = self.namespaces.iter().position(|namespace| namespace.name.as_deref() == name);
        let place = known.unwrap_or_else(|| {
            self.namespaces.push(Namespace { name: name.map(str::to_owned), key: Key::of(name) });
            self.namespaces.len() - 1
        });
        place as u32
    }

    /// Appends the namespace of each row.
    fn read_namespaces(&mut self, names: &ArrayRef, namespaces: &mut Vec<u32>) -> Result<()> {
        if let Some(dictionary) = names.as_any_dictionary_opt() {
            let known: Vec<u32> =
                text(dictionary.values())?.iter().map(|name| self.namespace(Some(name.unwrap_or_default()))).collect();
            namespaces.extend(dictionary.normalized_keys().into_iter().map(|key| known[key]));
            return Ok(());
        }
        let mut last: Option<(&str, u32)> = None;
        let names = text(names)?;
        for name in names.iter().map(Option::unwrap_or_default) {
            let namespace = match last {
                Some((same, namespace)) if same == name => namespace,
                _ => self.namespace(Some(name)),
            };
            last = Some((name, namespace));
            namespaces.push(namespace);
        }
        Ok(())
    }
}
