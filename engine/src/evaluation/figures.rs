//! The columns that expressions need beside those of profiles: figures of what profiles do.

use std::collections::BTreeSet;

use crate::error::{EngineError, Result};
use crate::expression::{Expr, Measure, Sequence, measures_used, sequences_used, text_of};

/// What the columns of measures begin with.
const MEASURE: &str = "measure ";

/// Figures, each with a column. The names of the columns have a blank, so no column of a profile has them.
#[derive(Debug, Default, Clone)]
pub(super) struct Figures {
    /// Ordered.
    pub(super) measures: Vec<Measure>,
    /// Ordered.
    pub(super) sequences: Vec<Sequence>,
    /// In no order.
    scores: Vec<Expr>,
}

impl Figures {
    /// What `expressions` need, scores excepted: they are of everybody, and added one by one.
    pub(super) fn of<'e>(expressions: impl IntoIterator<Item = &'e Expr>) -> Self {
        let (mut measures, mut sequences) = (BTreeSet::new(), BTreeSet::new());
        for expression in expressions {
            measures.extend(measures_used(expression));
            sequences.extend(sequences_used(expression));
        }
        let (measures, sequences) = (measures.into_iter().collect(), sequences.into_iter().collect());
        Self { measures, sequences, scores: Vec::new() }
    }

    /// Adds a score and returns its column.
    pub(super) fn add_score(&mut self, score: &Expr) -> String {
        self.scores.push(score.clone());
        score_column(self.scores.len() - 1)
    }

    /// The column of a measure.
    pub(super) fn measure(&self, measure: &Measure) -> Result<String> {
        let place = self.measures.binary_search(measure);
        place
            .map(measure_column)
            .map_err(|_| EngineError::internal(format!("`{}` is not measured", measure.events.event)))
    }

    /// The column of a sequence.
    pub(super) fn sequence(&self, sequence: &Sequence) -> Result<String> {
        let place = self.sequences.binary_search(sequence);
        place.map(sequence_column).map_err(|_| EngineError::internal("a sequence is not looked for"))
    }

    /// The column of a score.
    pub(super) fn score(&self, score: &Expr) -> Result<String> {
        let place = self.scores.iter().position(|known| known == score);
        place.map(score_column).ok_or_else(|| EngineError::internal("a score is not computed yet"))
    }
}

/// The column of the measure at a place of [`Figures::measures`].
pub(super) fn measure_column(place: usize) -> String {
    format!("{MEASURE}{place}")
}

/// The place in [`Figures::measures`] of the measure that a column is, if it is one.
pub(super) fn measure_of_column(column: &str) -> Option<usize> {
    column.strip_prefix(MEASURE)?.parse().ok()
}

/// The column of the sequence at a place of [`Figures::sequences`].
pub(super) fn sequence_column(place: usize) -> String {
    format!("sequence {place}")
}

/// The column that tells who is in a segment that is computed already.
pub(super) fn segment_column(name: &str) -> String {
    format!("segment {name}")
}

/// The column that tells who is on a list.
pub(super) fn list_column(name: &str) -> String {
    format!("list {name}")
}

/// The column that tells who consented to a purpose.
pub(super) fn consent_column(purpose: &str) -> String {
    format!("consent {purpose}")
}

/// The column that tells who is one of the best.
pub(super) fn top_column(top: &Expr) -> String {
    text_of(top)
}

fn score_column(place: usize) -> String {
    format!("score {place}")
}
