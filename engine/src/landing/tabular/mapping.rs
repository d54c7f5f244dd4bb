//! What a source's columns mean, and which columns of a file they are.

use std::collections::{HashMap, HashSet};

use chrono_tz::Tz;

use super::PRODUCTS;
use crate::config::nearest::nearest;
use crate::config::{EventName, Source, SourceKind, preset};
use crate::error::{EngineError, Result};
use crate::landing::identifier_rules::IdentifierRules;
use crate::landing::time::parse_zone;

/// A column that the source's mapping names, by its number among them.
pub(super) type Slot = usize;

/// Which of the names of a slot's column a name is, from 0: the first whose cell is not blank counts.
pub(super) type Rank = usize;

/// What a source's columns mean.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(super) kind: SourceKind,
    pub(super) zone: Tz,
    pub(super) has_decimal_comma: bool,
    pub(super) identifier_rules: IdentifierRules,
    /// The slots of each column, by the names that it may have in a file.
    pub(super) slots: HashMap<String, Vec<(Slot, Rank)>>,
    /// The mapping's column of each slot.
    pub(super) columns: Vec<String>,
    /// Slots whose columns are a preset's.
    pub(super) loose: Vec<bool>,
    pub(super) key: Option<Slot>,
    /// Whether keys are ids of Salesforce, which has two spellings of each.
    pub(super) has_salesforce_keys: bool,
    pub(super) updated_at: Option<Slot>,
    pub(super) deleted: Option<Slot>,
    pub(super) merged_into: Option<Slot>,
    pub(super) event: Option<EventName>,
    pub(super) event_slot: Option<Slot>,
    pub(super) occurred_at: Option<Slot>,
    pub(super) identifiers: Vec<(String, Slot)>,
    pub(super) attributes: Vec<(String, Slot)>,
    pub(super) revenue: Option<Slot>,
    pub(super) currency: Option<Slot>,
    pub(super) currency_literal: Option<String>,
    pub(super) message_id: Option<Slot>,
    pub(super) page_path: Option<Slot>,
    pub(super) group_by: Option<Slot>,
    pub(super) products: Vec<(String, Slot)>,
    /// Slots of the listed properties; None for all columns without a use of their own.
    pub(super) properties: Option<Vec<Slot>>,
    /// Slots from this one on are mapped only as attributes or properties.
    pub(super) own_use_end: Slot,
}

impl Mapping {
    pub(crate) fn new(source: &Source, identifier_rules: &IdentifierRules) -> Result<Self> {
        let mut columns: Vec<String> = Vec::new();
        let mut slot = |column: &str| {
            columns.iter().position(|known| known == column).unwrap_or_else(|| {
                columns.push(column.to_owned());
                columns.len() - 1
            })
        };
        let event_column = match &source.event {
            Some(EventName::Column(column)) => Some(column),
            _ => None,
        };
        let key = source.key.as_deref().map(&mut slot);
        let updated_at = source.updated_at.as_deref().map(&mut slot);
        let deleted = source.deleted.as_deref().map(&mut slot);
        let merged_into = source.merged_into.as_deref().map(&mut slot);
        let event_slot = event_column.map(|column| slot(column));
        let occurred_at = source.occurred_at.as_deref().map(&mut slot);
        let identifiers: Vec<_> =
            source.identifiers.iter().map(|(namespace, column)| (namespace.clone(), slot(column))).collect();
        let revenue = source.revenue.as_deref().map(&mut slot);
        let currency = source.currency.as_deref().map(&mut slot);
        let message_id = source.message_id.as_deref().map(&mut slot);
        let page_path = source.page_path.as_deref().map(&mut slot);
        let products: Vec<_> = source.products.iter().map(|(name, column)| (name.clone(), slot(column))).collect();
        let has_salesforce_keys = identifiers
            .iter()
            .any(|(namespace, slot)| Some(*slot) == key && identifier_rules.salesforce_namespaces.contains(namespace));
        // One more than the last slot with a use of its own: what follows may be used twice.
        let single =
            [key, updated_at, deleted, merged_into, event_slot, occurred_at, revenue, currency, message_id, page_path];
        let own_use_end = single
            .into_iter()
            .flatten()
            .chain(identifiers.iter().chain(&products).map(|(_, slot)| *slot))
            .max()
            .map_or(0, |last| last + 1);
        let group_by = source.group_by.as_deref().map(&mut slot);
        let attributes =
            source.attributes.iter().map(|(attribute, column)| (attribute.clone(), slot(column))).collect();
        let properties = source.properties.as_ref().map(|columns| columns.iter().map(|column| slot(column)).collect());
        let loose: Vec<bool> = columns.iter().map(|column| source.loose_columns.contains(column)).collect();
        // Until the columns of a file are known, and in lines of JSON, a preset's column has any of its names.
        let mut slots: HashMap<String, Vec<(Slot, Rank)>> = HashMap::new();
        for (slot, (column, is_loose)) in columns.iter().zip(&loose).enumerate() {
            let names: Vec<&str> = if *is_loose { preset::names(column).collect() } else { vec![column] };
            for (rank, name) in names.into_iter().enumerate() {
                slots.entry(name.to_owned()).or_default().push((slot, rank));
            }
        }
        Ok(Self {
            kind: source.kind,
            zone: parse_zone(&source.name, source.time_zone.as_deref())?,
            has_decimal_comma: source.has_decimal_comma,
            identifier_rules: identifier_rules.clone(),
            key,
            has_salesforce_keys,
            updated_at,
            deleted,
            merged_into,
            event: source.event.clone(),
            event_slot,
            occurred_at,
            identifiers,
            attributes,
            revenue,
            currency,
            currency_literal: source.currency.clone().filter(|code| is_currency_code(code)),
            message_id,
            page_path,
            group_by,
            products,
            properties,
            own_use_end,
            slots,
            columns,
            loose,
        })
    }

    /// Finds the mapping's columns among those of an input, which are all it has; refuses an input that lacks one.
    pub(crate) fn find_columns(&mut self, source: &str, file: &str, of_file: &[String]) -> Result<()> {
        let mut slots: HashMap<String, Vec<(Slot, Rank)>> = HashMap::new();
        for (slot, column) in self.columns.iter().enumerate() {
            let found = self.find(slot, of_file);
            let is_literal = Some(slot) == self.currency && self.currency_literal.is_some();
            if found.is_empty() && !is_literal && (!self.loose[slot] || self.is_needed(slot)) {
                return Err(EngineError::invalid(format!(
                    "`{file}` has no column `{column}`, which source `{source}` maps: {}; correct the mapping or the file",
                    self.others(column, of_file),
                )));
            }
            for (rank, name) in found.into_iter().enumerate() {
                slots.entry(name.clone()).or_default().push((slot, rank));
            }
        }
        self.slots = slots;
        Ok(())
    }

    /// The columns of an input that a slot's column means: more than one only of a preset.
    fn find<'f>(&self, slot: Slot, of_file: &'f [String]) -> Vec<&'f String> {
        let column = &self.columns[slot];
        match self.loose[slot] {
            true => preset::find(column, of_file).collect(),
            false => of_file.iter().find(|known| *known == column).into_iter().collect(),
        }
    }

    /// What a file has in place of a column. Names that are not near are not quoted: without a header they are somebody's
    /// values. Nor are those that are mapped themselves.
    fn others(&self, column: &str, of_file: &[String]) -> String {
        let mapped: HashSet<&String> = (0..self.columns.len()).flat_map(|slot| self.find(slot, of_file)).collect();
        match nearest(column, of_file.iter().filter(|known| !mapped.contains(known)).map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the {} columns of its header have other names", of_file.len()),
        }
    }

    /// What makes rows of a file with these columns one event, if anything does; refuses one whose own column would be lost
    /// under the list of products.
    pub(crate) fn grouping(&self, file: &str, of_file: &[String]) -> Result<Option<Grouping>> {
        let place = |slot: Slot| {
            let first = *self.find(slot, of_file).first()?;
            of_file.iter().position(|column| column == first)
        };
        let Some(by) = self.group_by.and_then(place) else { return Ok(None) };
        let products = self.products.iter().filter_map(|(name, slot)| {
            Some(ProductColumn { name: name.clone(), place: place(*slot)?, is_loose: self.loose[*slot] })
        });
        let grouping = Grouping { by, products: products.collect() };
        if !grouping.products.is_empty() && of_file.iter().any(|column| column == PRODUCTS) {
            return Err(EngineError::invalid(format!(
                "`{file}` has a column `{PRODUCTS}`, which is what the list of its rows' products is called; rename the column"
            )));
        }
        Ok(Some(grouping))
    }

    /// True if no row can land without the column.
    fn is_needed(&self, slot: Slot) -> bool {
        [self.key, self.occurred_at, self.group_by].contains(&Some(slot))
    }
}

/// Which rows of a CSV file are one event.
#[derive(Debug)]
pub(crate) struct Grouping {
    /// The number of the column that such rows have in common.
    pub(crate) by: usize,
    /// The columns that say something of one product.
    pub(crate) products: Vec<ProductColumn>,
}

/// A column that says something of one product.
#[derive(Debug)]
pub(crate) struct ProductColumn {
    /// What the product calls it.
    pub(crate) name: String,
    /// The column's number in the file.
    pub(crate) place: usize,
    /// Whether it is a preset's.
    pub(crate) is_loose: bool,
}

/// Three capital letters, as ISO 4217 has them: a column's name in the file wins over that.
fn is_currency_code(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
