//! Tables for people. A row is one line: a line feed in a value would break it, and other control characters do things to
//! terminals, so that all of them are escaped.

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;

/// Rows that the widths of columns are found by: more than anybody reads, few enough to be kept.
const ROWS_AT_ONCE: usize = 10_000;
/// Lines of a table above its rows: a border, the header, a border.
const LINES_ABOVE: usize = 3;

/// Batches as a table.
///
/// # Errors
/// For columns that cannot be shown.
pub(crate) fn table(batches: &[RecordBatch]) -> Result<String> {
    let texts = batches.iter().map(texts).collect::<Result<Vec<_>>>()?;
    Ok(pretty_format_batches(&texts)?.to_string())
}

/// A text with its control characters escaped.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Prints one table of any number of batches, in bounded memory: its first rows say how wide columns are.
pub(crate) struct TableWriter<W> {
    out: W,
    schema: SchemaRef,
    waiting: Vec<RecordBatch>,
    rows_waiting: usize,
    rows: usize,
    /// The border below the rows that are printed.
    border: Option<String>,
}

impl<W: Write> TableWriter<W> {
    /// Begins a table on `out` of batches of `schema`.
    pub(crate) fn new(out: W, schema: &SchemaRef) -> Self {
        let schema = Arc::clone(schema);
        Self { out, schema, waiting: Vec::new(), rows_waiting: 0, rows: 0, border: None }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// For columns that cannot be shown; what writing reports.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows_waiting += batch.num_rows();
        self.waiting.push(batch);
        if self.rows_waiting >= ROWS_AT_ONCE { self.print_waiting() } else { Ok(()) }
    }

    /// Ends the table, and says how many rows it has.
    ///
    /// # Errors
    /// As [`TableWriter::push`].
    pub(crate) fn end(mut self) -> Result<()> {
        if self.rows_waiting > 0 || self.border.is_none() {
            self.print_waiting()?;
        }
        if let Some(border) = &self.border {
            writeln!(self.out, "{border}")?;
        }
        writeln!(self.out, "{} row{}", self.rows, if self.rows == 1 { "" } else { "s" })?;
        Ok(self.out.flush()?)
    }

    /// Prints the rows that wait, below a row of filling that is not printed: with it, columns are as wide as above.
    fn print_waiting(&mut self) -> Result<()> {
        let mut parts = vec![self.filling()?];
        for batch in self.waiting.drain(..) {
            parts.push(texts(&batch)?);
        }
        let formatted = pretty_format_batches(&parts)?.to_string();
        let mut lines: Vec<&str> = formatted.lines().collect();
        let below = lines.pop().map(str::to_owned);
        let above = if self.border.is_none() { LINES_ABOVE } else { 0 };
        for line in lines.iter().take(above).chain(lines.iter().skip(LINES_ABOVE + 1)) {
            writeln!(self.out, "{line}")?;
        }
        self.border = below;
        self.rows += std::mem::take(&mut self.rows_waiting);
        Ok(())
    }

    fn filling(&self) -> Result<RecordBatch> {
        let border = self.border.as_deref().unwrap_or_default();
        // Between two crossings are as many dashes as the column is wide, and one at each of its sides.
        let mut dashes = border.split('+').skip(1).map(|dashes| dashes.len().saturating_sub(2));
        let mut fill = || "x".repeat(dashes.next().unwrap_or_default());
        let columns = self.schema.fields().iter().map(|_| Arc::new(StringArray::from(vec![fill()])) as ArrayRef);
        text_batch(&self.schema, columns.collect(), 1)
    }
}

/// A batch whose values are texts without control characters.
fn texts(batch: &RecordBatch) -> Result<RecordBatch> {
    let options = FormatOptions::default();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for column in batch.columns() {
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
        let shown = |row: usize| column.is_valid(row).then(|| escaped(&formatter.value(row).to_string()));
        columns.push(Arc::new((0..column.len()).map(shown).collect::<StringArray>()));
    }
    text_batch(&batch.schema(), columns, batch.num_rows())
}

fn text_batch(schema: &Schema, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let fields = schema.fields().iter().map(|field| Field::new(escaped(field.name()), DataType::Utf8, true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    fn batch(numbers: std::ops::Range<i64>, text: &str) -> RecordBatch {
        let texts: StringArray = numbers.clone().map(|_| Some(text)).collect();
        RecordBatch::try_from_iter([
            ("number", Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef),
            ("text", Arc::new(texts) as ArrayRef),
        ])
        .unwrap()
    }

    fn written(batches: Vec<RecordBatch>) -> String {
        let mut out = Vec::new();
        let mut table = TableWriter::new(&mut out, &batches[0].schema());
        batches.into_iter().for_each(|batch| table.push(batch).unwrap());
        table.end().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn test_an_answer_is_one_table_however_many_batches_it_has() {
        let expected = "\
            +--------+------+\n\
            | number | text |\n\
            +--------+------+\n\
            | 1      | a    |\n\
            | 2      | a    |\n\
            | 3      | bcde |\n\
            +--------+------+\n\
            3 rows\n";
        assert_eq!(written(vec![batch(1..3, "a"), batch(3..3, ""), batch(3..4, "bcde")]), expected);
        let none = written(vec![batch(0..0, "")]);
        assert!(none.starts_with("+--------+------+\n| number | text |\n") && none.ends_with("0 rows\n"), "{none}");
    }

    #[test]
    fn test_the_columns_of_a_long_answer_stay_as_wide_as_they_began() {
        let long = written(
            (0..5).map(|part| batch(part * 6_000..(part + 1) * 6_000, ["wide text", "a"][part as usize % 2])).collect(),
        );
        let mut lines: Vec<&str> = long.lines().collect();
        assert_eq!(lines.pop(), Some("30000 rows"));
        assert_eq!(lines.len(), 30_004);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()));
        assert_eq!(lines.iter().filter(|line| line.contains("number")).count(), 1);
        assert_eq!(lines[30_002], "| 29999  | wide text |");
    }

    #[test]
    fn test_control_characters_are_escaped() {
        let shown = table(&[batch(1..2, "a\nb\t\u{1b}[31m")]).unwrap();
        assert!(shown.contains(r"| 1      | a\nb\t\u{1b}[31m |"), "{shown}");
        assert_eq!(shown.lines().count(), 5);
        assert_eq!(escaped("Zoë 'x' \\"), "Zoë 'x' \\");
    }
}
