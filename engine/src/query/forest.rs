//! A union-find forest (Tarjan 1975) over nodes of a graph. A node is a text, or a value in a namespace.

use std::hint::black_box;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use datafusion::error::Result;

use super::functions::text;
use super::interner::Interner;

/// A node: the number of its namespace, and of its value there.
pub(crate) type Node = (u32, u32);

/// Nodes, each in a tree.
#[derive(Default)]
pub(crate) struct Forest {
    spaces: Vec<Space>,
}

/// The nodes of one namespace.
struct Space {
    /// Its name; nodes without a namespace are in one without a name.
    name: Option<String>,
    values: Interner,
    /// Each node's parent; a root is its own.
    parents: Vec<Node>,
}

impl Forest {
    /// Puts nodes, of which no part is null, into `nodes`; each that is new is a tree.
    ///
    /// # Errors
    /// ResourcesExhausted beyond four billion values of a namespace.
    pub(crate) fn nodes(
        &mut self,
        namespaces: Option<&ArrayRef>,
        values: &StringViewArray,
        nodes: &mut Vec<Node>,
    ) -> Result<()> {
        nodes.clear();
        let mut numbers = Vec::with_capacity(values.len());
        let named = namespaces.map(rows_by_name).transpose()?;
        let only_name = match named.as_deref() {
            None => Some(None),
            Some([(name, _)]) => Some(Some(name.as_str())),
            Some(_) => None,
        };
        if let Some(name) = only_name {
            let space = self.space(name);
            self.numbers(space, values.len(), |row| values.value(row), &mut numbers)?;
            nodes.extend(numbers.into_iter().map(|number| (space, number)));
            return Ok(());
        }
        nodes.resize(values.len(), (0, 0));
        for (name, rows) in named.into_iter().flatten() {
            let space = self.space(Some(&name));
            numbers.clear();
            self.numbers(space, rows.len(), |place| values.value(rows[place] as usize), &mut numbers)?;
            rows.iter().zip(&numbers).for_each(|(&row, &number)| nodes[row as usize] = (space, number));
        }
        Ok(())
    }

    /// Makes one tree of those of two nodes: the younger root hangs under the older one, so trees stay flat enough.
    pub(crate) fn union(&mut self, a: Node, b: Node) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            *self.parent(a.max(b)) = a.min(b);
        }
    }

    /// The root of a node's tree. Halves the path to it.
    pub(crate) fn root(&mut self, mut node: Node) -> Node {
        loop {
            let parent = *self.parent(node);
            if parent == node {
                return node;
            }
            let grandparent = *self.parent(parent);
            *self.parent(node) = grandparent;
            node = grandparent;
        }
    }

    /// Takes all nodes of `other`, and the trees that they make.
    ///
    /// # Errors
    /// As [`Forest::nodes`].
    pub(crate) fn absorb(&mut self, other: &Self) -> Result<()> {
        let mut ours = Vec::with_capacity(other.spaces.len());
        for theirs in &other.spaces {
            let (space, count) = (self.space(theirs.name.as_deref()), theirs.parents.len());
            let mut numbers = Vec::with_capacity(count);
            self.numbers(space, count, |number| theirs.values.text(number as u32), &mut numbers)?;
            ours.push((space, numbers));
        }
        let here = |(space, number): Node| (ours[space as usize].0, ours[space as usize].1[number as usize]);
        for (space, theirs) in other.spaces.iter().enumerate() {
            for (number, &parent) in theirs.parents.iter().enumerate() {
                self.union(here((space as u32, number as u32)), here(parent));
            }
        }
        Ok(())
    }

    /// The namespaces, each with its name and how many values it has.
    pub(crate) fn spaces(&self) -> impl Iterator<Item = (Option<&str>, u32)> {
        self.spaces.iter().map(|space| (space.name.as_deref(), space.values.len()))
    }

    /// The node's value, without its namespace.
    pub(crate) fn value(&self, (space, number): Node) -> &str {
        self.spaces[space as usize].values.text(number)
    }

    /// Has the values of some nodes fetched, for whoever reads them one by one after that.
    pub(crate) fn fetch(&self, nodes: &[Node]) {
        let fetch = |sum: u8, node: &Node| sum ^ self.value(*node).bytes().next().unwrap_or_default();
        black_box(nodes.iter().fold(0, fetch));
    }

    /// The node as one text, put into `whole`.
    pub(crate) fn write(&self, node: Node, whole: &mut String) {
        whole.clear();
        if let Some(name) = &self.spaces[node.0 as usize].name {
            whole.push_str(name);
            whole.push(':');
        }
        whole.push_str(self.value(node));
    }

    /// Of each root, by namespace and number, the smallest node of its tree by text.
    pub(crate) fn smallest(&mut self) -> Vec<Vec<Node>> {
        let ranks = self.ranks();
        let nodes = |(space, count): (usize, u32)| (0..count).map(|number| (space as u32, number)).collect();
        let counts: Vec<u32> = self.spaces().map(|(_, count)| count).collect();
        let mut smallest: Vec<Vec<Node>> = counts.iter().copied().enumerate().map(nodes).collect();
        for (space, count) in (0..).zip(counts) {
            for node in (0..count).map(|number| (space, number)) {
                let root = self.root(node);
                let known = &mut smallest[root.0 as usize][root.1 as usize];
                let is_before = match ranks[space as usize].cmp(&ranks[known.0 as usize]) {
                    std::cmp::Ordering::Equal => self.value(node) < self.value(*known),
                    order => order.is_lt(),
                };
                if is_before {
                    *known = node;
                }
            }
        }
        smallest
    }

    /// Bytes held, with those that [`Forest::smallest`] will take.
    pub(crate) fn allocated_bytes(&self) -> usize {
        let of_space =
            |space: &Space| space.values.allocated_bytes() + 2 * space.parents.capacity() * size_of::<Node>();
        self.spaces.iter().map(of_space).sum()
    }

    /// The place of each namespace in the order of texts `namespace:value`.
    fn ranks(&self) -> Vec<usize> {
        let name = |space: usize| self.spaces[space].name.as_ref().map(|name| format!("{name}:"));
        let mut order: Vec<usize> = (0..self.spaces.len()).collect();
        order.sort_by_key(|&space| name(space));
        let mut ranks = vec![0; order.len()];
        order.into_iter().enumerate().for_each(|(rank, space)| ranks[space] = rank);
        ranks
    }

    fn parent(&mut self, (space, number): Node) -> &mut Node {
        &mut self.spaces[space as usize].parents[number as usize]
    }

    fn space(&mut self, name: Option<&str>) -> u32 {
        let known = self.spaces.iter().position(|space| space.name.as_deref() == name);
        let space = known.unwrap_or_else(|| {
            let space = Space { name: name.map(str::to_owned), values: Interner::default(), parents: Vec::new() };
            self.spaces.push(space);
            self.spaces.len() - 1
        });
        space as u32
    }

    /// Appends the numbers of some values of one namespace.
    fn numbers<'v>(
        &mut self,
        space: u32,
        count: usize,
        value: impl Fn(usize) -> &'v str,
        numbers: &mut Vec<u32>,
    ) -> Result<()> {
        let Space { values, parents, .. } = &mut self.spaces[space as usize];
        values.numbers(count, value, numbers)?;
        parents.extend((parents.len() as u32..values.len()).map(|number| (space, number)));
        Ok(())
    }
}

/// The rows of each name.
fn rows_by_name(names: &ArrayRef) -> Result<Vec<(String, Vec<u32>)>> {
    let mut found: Vec<(String, Vec<u32>)> = Vec::new();
    if let Some(dictionary) = names.as_any_dictionary_opt() {
        let known = text(dictionary.values())?;
        found.extend(known.iter().map(|name| (name.unwrap_or_default().to_owned(), Vec::new())));
        for (row, key) in (0..).zip(dictionary.normalized_keys()) {
            found[key].1.push(row);
        }
    } else {
        for (row, name) in (0..).zip(text(names)?.iter()) {
            let name = name.unwrap_or_default();
            match found.iter_mut().find(|(known, _)| known == name) {
                Some((_, rows)) => rows.push(row),
                None => found.push((name.to_owned(), vec![row])),
            }
        }
    }
    found.retain(|(_, rows)| !rows.is_empty());
    Ok(found)
}
