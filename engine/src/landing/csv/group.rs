//! Rows of CSV that are one event: shops export the items of an order as rows, and say what is true of the whole order in
//! the first of them only.

use std::borrow::Cow;

use super::{Header, for_each_row};
use crate::landing::json::ObjectWriter;
use crate::landing::quarantine::{QuarantineBuilder, Rejection};
use crate::landing::tabular::{Cell, Grouping, PRODUCTS, ProductColumn, TabularBuilder, unguarded};

/// Parses whole records, of which those that `grouping` makes one event follow each other.
pub(crate) fn parse_groups(
    header: &Header,
    grouping: &Grouping,
    row_bytes_max: usize,
    first_line: u64,
    text: &[u8],
    rows: &mut TabularBuilder<'_>,
    quarantine: &mut QuarantineBuilder,
) {
    let mut group = Group::default();
    for_each_row(header, row_bytes_max, first_line, text, quarantine, |line, raw, cells, quarantine| {
        let value = cells.iter().find(|cell| cell.name == header.columns[grouping.by]);
        if value.is_none_or(|value| value.text != group.value) {
            std::mem::take(&mut group).push(row_bytes_max, rows, quarantine);
            group.value = value.map(|value| value.text.to_string()).unwrap_or_default();
            group.line = line;
        }
        group.add(cells, header, grouping, raw);
    });
    group.push(row_bytes_max, rows, quarantine);
}

/// Rows that are one event.
#[derive(Default)]
struct Group<'h> {
    /// What they have in common.
    value: String,
    /// The line of the first.
    line: u64,
    /// As it arrived.
    raw: Vec<u8>,
    cells: Vec<Cell<'h>>,
    /// JSON objects.
    products: Vec<String>,
}

impl<'h> Group<'h> {
    fn add(&mut self, cells: Vec<Cell<'_>>, header: &'h Header, grouping: &Grouping, raw: &[u8]) {
        self.raw.extend_from_slice(raw);
        let mut product = ObjectWriter::default();
        let mut has_product = false;
        for ProductColumn { name, place, is_loose } in &grouping.products {
            if let Some(cell) = cells.iter().find(|cell| cell.name == header.columns[*place]) {
                product.push_text(name, if *is_loose { unguarded(&cell.text) } else { &cell.text });
                has_product = true;
            }
        }
        if has_product {
            self.products.push(product.finish().to_owned());
        }
        for cell in cells {
            if self.cells.iter().all(|known| known.name != cell.name)
                && let Some(name) = header.columns.iter().find(|column| cell.name == **column)
            {
                let text = Cow::Owned(cell.text.into_owned());
                self.cells.push(Cell { name: Cow::Borrowed(name), text, json: None });
            }
        }
    }

    fn push(self, bytes_max: usize, rows: &mut TabularBuilder<'_>, quarantine: &mut QuarantineBuilder) {
        if self.cells.is_empty() {
            return;
        }
        let products = format!("[{}]", self.products.join(","));
        let mut cells: Vec<Cell<'_>> = self.cells;
        if !self.products.is_empty() {
            let (name, text) = (Cow::Borrowed(PRODUCTS), Cow::Borrowed(products.as_str()));
            cells.push(Cell { name, text, json: Some(&products) });
        }
        let pushed = match self.raw.len() {
            length if length > bytes_max => Err(Rejection::too_large(length, bytes_max)),
            _ => rows.push(&cells),
        };
        if let Err(rejection) = pushed {
            quarantine.push(self.line, &rejection, self.raw.trim_ascii_end());
        }
    }
}
