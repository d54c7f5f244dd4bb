//! The records of a CSV text, and which of them belong together.

use csv_core::ReadRecordResult;

/// Walks over the records of a text.
pub(crate) struct Records<'t> {
    reader: csv_core::Reader,
    rest: &'t [u8],
    output: Vec<u8>,
    ends: Vec<usize>,
}

/// One record: its text, the blank lines before it, and its fields.
pub(crate) struct Record<'r, 't> {
    pub(crate) skipped: &'t [u8],
    pub(crate) raw: &'t [u8],
    pub(crate) output: &'r [u8],
    pub(crate) ends: &'r [usize],
}

impl<'t> Records<'t> {
    pub(crate) fn new(text: &'t [u8], delimiter: u8) -> Self {
        let reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        Self { reader, rest: text, output: vec![0; 4096], ends: vec![0; 64] }
    }

    pub(crate) fn next_record(&mut self) -> Option<Record<'_, 't>> {
        let blank = self.rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let (skipped, text) = self.rest.split_at(blank);
        if text.is_empty() {
            return None;
        }
        let (mut read, mut written, mut fields) = (0, 0, 0);
        loop {
            let (result, input, output, ends) =
                self.reader.read_record(&text[read..], &mut self.output[written..], &mut self.ends[fields..]);
            read += input;
            written += output;
            fields += ends;
            match result {
                // At the end of the text, an empty input says that there is no more.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.output.resize(self.output.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record | ReadRecordResult::End => break,
            }
        }
        // The reader stops after the carriage return of a line end.
        if text.get(read) == Some(&b'\n') && text.get(read.wrapping_sub(1)) == Some(&b'\r') {
            read += 1;
        }
        let (raw, rest) = text.split_at(read);
        self.rest = rest;
        (fields > 0).then_some(Record { skipped, raw, output: &self.output[..written], ends: &self.ends[..fields] })
    }
}

impl<'r> Record<'r, '_> {
    pub(crate) fn fields(&self) -> impl Iterator<Item = (usize, usize)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied())
    }
}

/// Where the last rows of `text` begin that have their value of the column number `by` in common: more of them may follow. One
/// that cannot be read may be of the group before it or of that after it: it stays with both.
pub(crate) fn last_group_start(
    text: &[u8],
    delimiter: u8,
    by: usize,
    is_readable: impl Fn(&Record<'_, '_>) -> bool,
) -> usize {
    let mut records = Records::new(text, delimiter);
    let (mut start, mut at) = (0, 0);
    let mut last: Option<Vec<u8>> = None;
    while let Some(record) = records.next_record() {
        let begin = at + record.skipped.len();
        at = begin + record.raw.len();
        let field = record.fields().nth(by).map_or(&[][..], |(from, to)| record.output[from..to].trim_ascii());
        let value = is_readable(&record).then(|| field.to_vec());
        let is_new = match (&last, &value) {
            (Some(last), Some(value)) => value.is_empty() || value != last,
            (last, value) => last.is_none() && value.is_none(),
        };
        if is_new {
            start = begin;
        }
        last = value;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_the_last_group_is_found_across_quotes_and_blank_lines() {
        let start = |text: &str| last_group_start(text.as_bytes(), b',', 0, |record| record.ends.len() == 2);
        assert_eq!(start("a,1\nb,2\n\nb,\"3\n\"\n"), 4);
        assert_eq!(start("a,1\na,2\n"), 0);
        assert_eq!(start("a,1\n,2\n,3\n"), 7, "a blank value is nobody's group");
        assert_eq!(start("a,1\nb,2\nx\nc,3\n"), 4, "the row without a second field may be of b or of c");
        assert_eq!(start("a,1\nx\ny\nb,2\n"), 6);
    }

    #[test]
    fn test_records_know_their_lines() {
        let mut records = Records::new(b"\r\na,\"x\r\ny\"\r\n\n\nb,c", b',');
        let mut seen = Vec::new();
        while let Some(record) = records.next_record() {
            seen.push((record.skipped.to_vec(), record.raw.to_vec(), record.output.to_vec()));
        }
        assert_eq!(seen[0], (b"\r\n".to_vec(), b"a,\"x\r\ny\"\r\n".to_vec(), b"ax\r\ny".to_vec()));
        assert_eq!(seen[1], (b"\n\n".to_vec(), b"b,c".to_vec(), b"bc".to_vec()));
        assert_eq!(seen.len(), 2);
    }
}
