//! Many conditions at once: what they have in common is computed once for each block of profiles.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::kernels::boolean::{and_kleene, not, or_kleene};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;

use super::compile::Compiler;
use crate::error::Result;
use crate::expression::Expr;

/// Conditions over profiles, taken apart where `and`, `or` and `not` join them.
pub(super) struct Conditions {
    /// Each after those that it names.
    parts: Vec<Part>,
    /// The part that each condition is.
    roots: Vec<usize>,
}

/// A part of a condition; numbers are places of other parts.
#[derive(Debug, Clone)]
enum Part {
    Value(Arc<dyn PhysicalExpr>),
    All(Vec<usize>),
    Any(Vec<usize>),
    Not(usize),
    /// True or false, where the other is null.
    IsTrue(usize),
}

/// What makes two parts the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Value(datafusion::logical_expr::Expr),
    All(Vec<usize>),
    Any(Vec<usize>),
    Not(usize),
    IsTrue(usize),
}

impl Conditions {
    /// Compiles named conditions, of which each comes after those that it names with `in_segment`. `schema` is that of the
    /// batches that they will be asked about.
    pub(super) fn compile(
        session: &SessionContext,
        compiler: Compiler<'_>,
        schema: &DFSchema,
        conditions: &[(&str, &Expr)],
    ) -> Result<Self> {
        let mut builder =
            Builder { session, compiler, schema, parts: Vec::new(), known: HashMap::new(), named: BTreeMap::new() };
        let mut roots = Vec::new();
        for (name, condition) in conditions {
            let root = builder.part(condition).map_err(|error| error.context(format!("segment `{name}`")))?;
            builder.named.insert(name, root);
            roots.push(root);
        }
        Ok(Self { parts: builder.parts, roots })
    }

    /// For each condition, which rows of a batch it is true for; none is null.
    pub(super) fn masks(&self, batch: &RecordBatch) -> Result<Vec<BooleanArray>> {
        let mut values: Vec<BooleanArray> = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let value = match part {
                Part::Value(value) => {
                    let value = value.evaluate(batch)?.into_array(batch.num_rows())?;
                    // A constant null has no type.
                    arrow::compute::cast(&value, &DataType::Boolean)?.as_boolean().clone()
                }
                Part::All(parts) => joined(&values, parts, and_kleene)?,
                Part::Any(parts) => joined(&values, parts, or_kleene)?,
                Part::Not(part) => not(&values[*part])?,
                Part::IsTrue(part) => is_true(&values[*part]),
            };
            values.push(value);
        }
        Ok(self.roots.iter().map(|root| is_true(&values[*root])).collect())
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

struct Builder<'a> {
    session: &'a SessionContext,
    compiler: Compiler<'a>,
    schema: &'a DFSchema,
    parts: Vec<Part>,
    known: HashMap<Key, usize>,
    named: BTreeMap<&'a str, usize>,
}

impl Builder<'_> {
    fn part(&mut self, condition: &Expr) -> Result<usize> {
        Ok(match condition {
            Expr::And(conditions) => {
                let parts = conditions.iter().map(|condition| self.part(condition)).collect::<Result<Vec<_>>>()?;
                self.keep(Key::All(parts.clone()), Part::All(parts))
            }
            Expr::Or(conditions) => {
                let parts = conditions.iter().map(|condition| self.part(condition)).collect::<Result<Vec<_>>>()?;
                self.keep(Key::Any(parts.clone()), Part::Any(parts))
            }
            Expr::Not(condition) => {
                let part = self.part(condition)?;
                self.keep(Key::Not(part), Part::Not(part))
            }
            Expr::InSegment(name) if self.named.contains_key(name.as_str()) => {
                let part = self.named[name.as_str()];
                self.keep(Key::IsTrue(part), Part::IsTrue(part))
            }
            // As two conditions: DataFusion would take the rows of the first out of all columns before it asks the second.
            Expr::Between { expr, low, high, negated } => {
                let value = self.compiler.expr(expr)?;
                let (low, high) = (self.compiler.expr(low)?, self.compiler.expr(high)?);
                let parts = vec![self.value(value.clone().gt_eq(low))?, self.value(value.lt_eq(high))?];
                let part = self.keep(Key::All(parts.clone()), Part::All(parts));
                if *negated { self.keep(Key::Not(part), Part::Not(part)) } else { part }
            }
            value => {
                let compiled = self.compiler.expr(value)?;
                self.value(compiled)?
            }
        })
    }

    fn value(&mut self, compiled: datafusion::logical_expr::Expr) -> Result<usize> {
        let key = Key::Value(compiled.clone());
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let physical = self.session.create_physical_expr(compiled, self.schema)?;
        Ok(self.keep(key, Part::Value(physical)))
    }

    fn keep(&mut self, key: Key, part: Part) -> usize {
        *self.known.entry(key).or_insert_with(|| {
            self.parts.push(part);
            self.parts.len() - 1
        })
    }
}
