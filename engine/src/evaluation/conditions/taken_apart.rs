//! Conditions taken apart where `and`, `or`, `not` and `in_segment` join them; equal parts are one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::prelude::SessionContext;

use super::{Compiled, Conditions, OfMeasure, Part, UNSAVED};
use crate::error::{EngineError, Result};
use crate::evaluation::block::Layout;
use crate::evaluation::compile::Compiler;
use crate::evaluation::figures::measure_of_column;
use crate::expression::Expr;

/// Conditions over profiles.
pub(in crate::evaluation) struct TakenApart {
    /// Each after those that it names.
    parts: Vec<Part>,
    leaves: Vec<Leaf>,
    /// The part that each condition is.
    roots: Vec<usize>,
}

/// A part that is computed from columns.
struct Leaf {
    part: usize,
    value: datafusion::logical_expr::Expr,
    /// The place of the measure that is the only column.
    measure: Option<usize>,
    /// What has it, for messages: the first segment.
    whose: String,
}

impl TakenApart {
    /// Takes named conditions apart, of which each comes after those that it names with `in_segment`.
    ///
    /// # Errors
    /// What compiling one reports, with its name.
    pub(in crate::evaluation) fn new(compiler: Compiler<'_>, conditions: &[(&str, &Expr)]) -> Result<Self> {
        let parts = Self { parts: Vec::new(), leaves: Vec::new(), roots: Vec::new() };
        let mut builder = Builder { compiler, segment: "", parts, known: HashMap::new(), named: BTreeMap::new() };
        for (name, condition) in conditions {
            builder.segment = name;
            let root = builder.part(condition).map_err(|error| error.context(whose(name)))?;
            builder.named.insert(name, root);
            builder.parts.roots.push(root);
        }
        Ok(builder.parts)
    }

    /// The measures that are compared with other columns: blocks need a column for each of them.
    pub(in crate::evaluation) fn whole_measures(&self) -> BTreeSet<usize> {
        let joining = self.leaves.iter().filter(|leaf| leaf.measure.is_none());
        joining.flat_map(|leaf| leaf.value.column_refs()).filter_map(|column| measure_of_column(&column.name)).collect()
    }

    /// Compiles them for blocks that are laid out like this.
    ///
    /// # Errors
    /// What DataFusion reports, with the name of the segment.
    pub(in crate::evaluation) fn compile(self, session: &SessionContext, layout: &Layout) -> Result<Conditions> {
        let schema = DFSchema::try_from(Arc::clone(layout.schema()))?;
        let negated = self.negated();
        let (mut joining, mut measured) = (Vec::new(), BTreeMap::new());
        for Leaf { part, value, measure, whose } in self.leaves {
            let compiled = |schema: &DFSchema| {
                let value = session.create_physical_expr(value, schema);
                let value = value.map_err(|error| EngineError::from(error).context(&whose))?;
                Ok::<_, EngineError>(Compiled { part, value, is_definite: !negated[part], whose: whose.clone() })
            };
            let Some(place) = measure else {
                joining.push(compiled(&schema)?);
                continue;
            };
            let of_measure = measured.entry(place).or_insert_with(|| (layout.schema_of_measure(place), Vec::new()));
            let schema = DFSchema::try_from(Arc::clone(&of_measure.0))?;
            of_measure.1.push(compiled(&schema)?);
        }
        let measured = measured.into_iter();
        let measured = measured.map(|(place, (schema, leaves))| OfMeasure { place, schema, leaves }).collect();
        Ok(Conditions { parts: self.parts, joining, measured, roots: self.roots })
    }

    /// Whether something negates each part: then it matters whether it is false or unknown. `in_segment` asks only whether a
    /// part is true.
    fn negated(&self) -> Vec<bool> {
        let mut negated = vec![false; self.parts.len()];
        for (place, part) in self.parts.iter().enumerate().rev() {
            match part {
                Part::Leaf(_) | Part::IsTrue(_) => {}
                Part::Not(part) => negated[*part] = true,
                Part::All(parts) | Part::Any(parts) => parts.iter().for_each(|part| negated[*part] |= negated[place]),
            }
        }
        negated
    }
}

/// What messages call a segment.
fn whose(segment: &str) -> String {
    if segment == UNSAVED { "the expression".to_owned() } else { format!("segment `{segment}`") }
}

struct Builder<'a> {
    compiler: Compiler<'a>,
    /// The segment that is taken apart.
    segment: &'a str,
    parts: TakenApart,
    known: HashMap<Part, usize>,
    named: BTreeMap<&'a str, usize>,
}

impl Builder<'_> {
    fn part(&mut self, condition: &Expr) -> Result<usize> {
        Ok(match condition {
            Expr::And(conditions) => {
                let parts = conditions.iter().map(|condition| self.part(condition)).collect::<Result<Vec<_>>>()?;
                self.keep(Part::All(parts))
            }
            Expr::Or(conditions) => {
                let parts = conditions.iter().map(|condition| self.part(condition)).collect::<Result<Vec<_>>>()?;
                self.keep(Part::Any(parts))
            }
            Expr::Not(condition) => {
                let part = self.part(condition)?;
                self.keep(Part::Not(part))
            }
            Expr::InSegment(name) if self.named.contains_key(name.as_str()) => {
                let part = self.named[name.as_str()];
                self.keep(Part::IsTrue(part))
            }
            // As two conditions: DataFusion would take the rows of the first out of all columns before it asks the second.
            Expr::Between { expr, low, high, negated } => {
                let [value, low, high] = self.compiler.alike_of([expr, low, high])?;
                let parts = vec![self.value(value.clone().gt_eq(low)), self.value(value.lt_eq(high))];
                let part = self.keep(Part::All(parts));
                if *negated { self.keep(Part::Not(part)) } else { part }
            }
            value => {
                let compiled = self.compiler.expr(value)?;
                self.value(compiled)
            }
        })
    }

    fn value(&mut self, value: datafusion::logical_expr::Expr) -> usize {
        let mut columns = value.column_refs().into_iter();
        let measure = match (columns.next(), columns.next()) {
            (Some(only), None) => measure_of_column(&only.name),
            _ => None,
        };
        let part = self.keep(Part::Leaf(value.clone()));
        if self.parts.leaves.last().is_none_or(|last| last.part < part) {
            self.parts.leaves.push(Leaf { part, value, measure, whose: whose(self.segment) });
        }
        part
    }

    fn keep(&mut self, part: Part) -> usize {
        let parts = &mut self.parts.parts;
        *self.known.entry(part).or_insert_with_key(|part| {
            parts.push(part.clone());
            parts.len() - 1
        })
    }
}
