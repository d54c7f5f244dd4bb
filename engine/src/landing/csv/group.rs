//! Rows of CSV that are one event: shops export the items of an order as rows, and say what is true of the whole order in
//! the first of them only.

use std::borrow::Cow;

use twox_hash::XxHash3_64;

use super::{Header, for_each_row};
use crate::landing::chunk::Rows;
use crate::landing::json::ObjectWriter;
use crate::landing::quarantine::{QuarantineBuilder, Reason, Rejection};
use crate::landing::tabular::{Cell, Grouping, PRODUCTS, ProductColumn, TabularBuilder, unguarded};

/// Parses whole records, of which those that `grouping` makes one event follow each other. Nobody knows of which event a row is
/// that cannot be read: neither the one before it lands nor the one after it, so that none lands without one of its rows.
pub(crate) fn parse_groups(
    header: &Header,
    grouping: &Grouping,
    row_bytes_max: usize,
    chunk: &Rows,
    rows: &mut TabularBuilder<'_>,
    quarantine: &mut QuarantineBuilder,
) {
    let by = header.columns[grouping.by].as_str();
    let mut group = Group::default();
    // For the row before, if it cannot be read.
    let mut refusal = chunk.refused_before.as_ref().map(|(line, rejection)| beside(*line, rejection));
    for_each_row(header, row_bytes_max, chunk, |line, raw, cells| {
        let cells = match cells {
            Ok(cells) => cells,
            Err(rejection) => {
                quarantine.push(line, &rejection, raw.trim_ascii_end());
                refusal = Some(beside(line, &rejection));
                group.refusal.clone_from(&refusal);
                return;
            }
        };
        let value = cells.iter().find(|cell| cell.name == by);
        if value.is_none_or(|value| value.text != group.value) {
            std::mem::take(&mut group).push(by, row_bytes_max, rows, quarantine);
            group.value = value.map(|value| value.text.to_string()).unwrap_or_default();
            group.line = line;
            group.refusal.clone_from(&refusal);
        }
        refusal = None;
        group.add(cells, header, grouping, raw);
    });
    group.push(by, row_bytes_max, rows, quarantine);
}

/// Why an event beside a row that cannot be read is refused.
fn beside(line: u64, rejection: &Rejection) -> Rejection {
    let detail = format!("line {line}, which may be a row of this event, was refused: {}", rejection.detail);
    Rejection::new(rejection.reason, detail)
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
    /// Why it cannot land, if a row beside it cannot be read.
    refusal: Option<Rejection>,
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

    fn push(self, by: &str, bytes_max: usize, rows: &mut TabularBuilder<'_>, quarantine: &mut QuarantineBuilder) {
        if self.cells.is_empty() {
            return;
        }
        let products = format!("[{}]", self.products.join(","));
        let mut cells: Vec<Cell<'_>> = self.cells;
        if !self.products.is_empty() {
            let (name, text) = (Cow::Borrowed(PRODUCTS), Cow::Borrowed(products.as_str()));
            cells.push(Cell { name, text, json: Some(&products) });
        }
        let pushed = match (self.refusal, self.raw.len()) {
            (Some(refusal), _) => Err(refusal),
            (None, length) if length > bytes_max => Err(Rejection::too_large(length, bytes_max)),
            (None, _) => rows.push(&cells),
        };
        let mut advice = None;
        if let Err(rejection) = pushed {
            quarantine.push(self.line, &rejection, self.raw.trim_ascii_end());
            advice = scattered(by, rejection.reason);
        }
        if !self.value.is_empty() {
            quarantine.note_group(XxHash3_64::oneshot(self.value.as_bytes()), advice);
        }
    }
}

/// What to do if an event was refused for what it lacks, and other rows of it stand further up.
fn scattered(by: &str, reason: Reason) -> Option<String> {
    let is_lacking = matches!(reason, Reason::NoTime | Reason::NoEventName | Reason::NoIdentifier);
    is_lacking.then(|| {
        format!(
            "; rows with the same `{by}` stand further up in the file, and rows of one event have to follow each other: sort \
             the file by `{by}`"
        )
    })
}
