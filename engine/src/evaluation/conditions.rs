//! Many conditions at once: what they have in common is computed once for each block of profiles.

mod taken_apart;

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::kernels::boolean::{and_kleene, not, or_kleene};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use roaring::RoaringBitmap;

use super::block::Block;
use super::evaluated::evaluated;
use crate::error::{EngineError, Result};

pub(super) use taken_apart::TakenApart;

/// The name under which an expression that is no segment is computed.
pub(crate) const UNSAVED: &str = "-";

/// Conditions that can be computed.
pub(super) struct Conditions {
    /// Each after those that it names.
    parts: Vec<Part>,
    /// Leaves of all other columns.
    joining: Vec<Compiled>,
    measured: Vec<OfMeasure>,
    /// The part that each condition is.
    roots: Vec<usize>,
}

/// A part of a condition; numbers are places of other parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    /// What nothing takes apart.
    Leaf(datafusion::logical_expr::Expr),
    All(Vec<usize>),
    Any(Vec<usize>),
    Not(usize),
    /// True or false, where the other is null.
    IsTrue(usize),
}

/// A leaf that can be computed.
struct Compiled {
    part: usize,
    value: Arc<dyn PhysicalExpr>,
    /// Whether unknown is as good as false: nothing negates it.
    is_definite: bool,
    /// What has it, for messages: the first segment.
    whose: String,
}

impl Compiled {
    /// What it says of the rows of a batch.
    fn truth(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let truth = evaluated(&self.value, batch).map_err(|error| EngineError::from(error).context(&self.whose))?;
        // A constant null has no type.
        let truth = arrow::compute::cast(&truth, &DataType::Boolean)?;
        let truth = truth.as_boolean();
        Ok(if self.is_definite { is_true(truth) } else { truth.clone() })
    }
}

/// The leaves of one measure.
struct OfMeasure {
    place: usize,
    schema: SchemaRef,
    leaves: Vec<Compiled>,
}

impl Conditions {
    /// For each condition, the ordinals of a block's profiles for which it is true.
    ///
    /// # Errors
    /// What computing them reports.
    pub(super) fn members(&self, block: &Block<'_>) -> Result<Vec<RoaringBitmap>> {
        let mut masks: Vec<BooleanArray> = vec![BooleanArray::from(Vec::<bool>::new()); self.parts.len()];
        for OfMeasure { place, schema, leaves } in &self.measured {
            let measured = block.measured(*place)?;
            let batch = measured.batch(schema)?;
            for leaf in leaves {
                masks[leaf.part] = measured.mask(&leaf.truth(&batch)?);
            }
        }
        let batch = block.batch()?;
        for leaf in &self.joining {
            masks[leaf.part] = block.mask(&leaf.truth(&batch)?);
        }
        for (place, part) in self.parts.iter().enumerate() {
            masks[place] = match part {
                Part::Leaf(_) => continue,
                Part::All(parts) => joined(&masks, parts, and_kleene)?,
                Part::Any(parts) => joined(&masks, parts, or_kleene)?,
                Part::Not(part) => not(&masks[*part])?,
                Part::IsTrue(part) => is_true(&masks[*part]),
            };
        }
        let everybody = block.everybody();
        let members = |root: &usize| block.members(&(is_true(&masks[*root]).values() & &everybody));
        self.roots.iter().map(members).collect()
    }
}

type Join = fn(&BooleanArray, &BooleanArray) -> std::result::Result<BooleanArray, arrow::error::ArrowError>;

fn joined(values: &[BooleanArray], parts: &[usize], join: Join) -> Result<BooleanArray> {
    let mut parts = parts.iter().map(|part| &values[*part]);
    let mut whole = parts.next().cloned().unwrap_or_else(|| BooleanArray::from(Vec::<bool>::new()));
    for part in parts {
        whole = join(&whole, part)?;
    }
    Ok(whole)
}

/// False where it is null.
pub(super) fn is_true(values: &BooleanArray) -> BooleanArray {
    if values.null_count() == 0 { values.clone() } else { prep_null_mask_filter(values) }
}
