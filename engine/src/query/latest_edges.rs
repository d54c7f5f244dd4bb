//! The edges that were seen last. What was seen together once is often seen together again, and to tell that an edge is one of
//! the latest takes one read of memory, where both its ends and their trees take four.

use std::hint::black_box;

use super::interner::Fingerprint;

/// Fewer edges are not remembered.
const EDGES_MIN: usize = 1 << 12;
/// More would take more time to look at than they save.
const EDGES_MAX: usize = 1 << 20;

/// The fingerprint of no edge. Not of zeros: memory that is only zero is not there until it is written, and to read it before
/// that makes the write interrupt the other threads.
const NOTHING: Fingerprint = [u32::MAX; 3];

/// Edges by the fingerprints of their ends.
#[derive(Default)]
pub(crate) struct LatestEdges {
    /// Each at a place that its fingerprint tells, where the next one replaces it: a power of two of them, or none.
    edges: Vec<Fingerprint>,
}

impl LatestEdges {
    /// The rows of the edges from `a` to `b` that are none of the latest. From now on they are.
    pub(crate) fn new_among(&mut self, a: &[Fingerprint], b: &[Fingerprint]) -> Vec<u32> {
        if self.edges.is_empty() {
            return (0..a.len() as u32).collect();
        }
        let mask = self.edges.len() - 1;
        let place = |edge: &Fingerprint| edge[0] as usize & mask;
        let edges: Vec<Fingerprint> = a.iter().zip(b).map(edge).collect();
        black_box(edges.iter().fold(0, |sum, edge| sum ^ self.edges[place(edge)][0])); // fetches them all at once
        let mut new = Vec::with_capacity(edges.len());
        for (row, edge) in (0..).zip(edges) {
            let latest = &mut self.edges[place(&edge)];
            if *latest != edge {
                *latest = edge;
                new.push(row);
            }
        }
        new
    }

    /// Makes room for more once there are `nodes`.
    pub(crate) fn grow(&mut self, nodes: u32) {
        let count = (nodes as usize).next_power_of_two().min(EDGES_MAX);
        if count >= EDGES_MIN && count > self.edges.len() {
            self.edges = vec![NOTHING; count];
        }
    }

    /// Bytes held.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.edges.capacity() * size_of::<Fingerprint>()
    }
}

/// The fingerprint of an edge. Its ends are told apart, or all edges from a node to itself would be one.
fn edge((a, b): (&Fingerprint, &Fingerprint)) -> Fingerprint {
    std::array::from_fn(|part| a[part] ^ b[part].rotate_left(16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_only_edges_that_were_just_seen_are_left_out() {
        // Their edges have different places.
        let [x, y, z] = [1 | 1 << 20, 2 | 1 << 21, 4 | 1 << 22].map(|part| [part; 3]);
        let mut latest = LatestEdges::default();
        assert_eq!(latest.new_among(&[x, x], &[y, y]), [0, 1], "nothing is remembered of few nodes");
        latest.grow(EDGES_MIN as u32);
        assert_eq!(latest.new_among(&[x, x, x, y, x, y], &[y, z, y, y, x, y]), [0, 1, 3, 4]);
        assert_eq!(latest.new_among(&[x, y, z], &[y, y, z]), [2]);
    }
}
