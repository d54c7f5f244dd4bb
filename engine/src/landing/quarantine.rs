//! Why a row cannot be accepted, and the rows kept for that.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringArray, StringBuilder};

use crate::error::Result;
use crate::landing::schema::{quarantine_schema, repeat_text, repeat_time};
use crate::limits::QUARANTINE_RAW_BYTES_MAX;
use crate::project::Refusal;

/// The stable reasons of `landing.quarantine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The text does not parse as JSON, or is nested too deep.
    NotJson,
    /// JSON, but not an object where one is needed.
    NotAnObject,
    /// A call whose `type` is missing or unknown.
    UnknownType,
    /// No identifier to tell whose it is.
    NoIdentifier,
    /// An event without any time.
    NoTime,
    /// A time outside of 1970 to 2099.
    ImpossibleTime,
    /// A time in no known form.
    BadTime,
    /// Longer than `landing.event_bytes_max` allows, or longer from a quote on that may be closed later.
    TooLarge,
    /// Not UTF-8.
    BadEncoding,
    /// A number was expected.
    BadNumber,
    /// The wrong number of columns, or a cell that cannot be understood.
    BadRow,
    /// A record without a key.
    NoKey,
    /// An event without a name.
    NoEventName,
    /// More identifiers than `landing.identifiers_max` allows.
    TooManyIdentifiers,
    /// More values of a namespace than one person has.
    SeveralPersons,
    /// More calls in a batch call than the engine takes.
    BatchTooLarge,
}

impl Reason {
    /// The code in the column `reason`. Codes never change.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::UnknownType => "unknown_type",
            Self::NoIdentifier => Refusal::NOBODY,
            Self::NoTime => "no_time",
            Self::ImpossibleTime => "impossible_time",
            Self::BadTime => "bad_time",
            Self::TooLarge => "too_large",
            Self::BadEncoding => "bad_encoding",
            Self::BadNumber => "bad_number",
            Self::BadRow => "bad_row",
            Self::NoKey => "no_key",
            Self::NoEventName => "no_event_name",
            Self::TooManyIdentifiers => "too_many_identifiers",
            Self::SeveralPersons => Refusal::SEVERAL,
            Self::BatchTooLarge => "batch_too_large",
        }
    }

    /// Codes of the reasons for which the rules of identity refuse a row: under others it may land.
    pub(crate) fn codes_of_identity() -> [&'static str; 3] {
        [Self::NoIdentifier, Self::TooManyIdentifiers, Self::SeveralPersons].map(Self::code)
    }
}

/// Why one row is refused. `detail` names columns and limits, never a value: values can be personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

impl Rejection {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// A row longer than `bytes_max`.
    pub(crate) fn too_large(bytes: usize, bytes_max: usize) -> Self {
        let detail = format!(
            "{bytes} bytes are more than the {bytes_max} allowed; split it or raise `event_bytes_max` in [landing]: events land when the file is ingested again, a record with its next version"
        );
        Self::new(Reason::TooLarge, detail)
    }

    /// More identifiers than allowed.
    pub(crate) fn too_many_identifiers(count: usize, count_max: usize) -> Self {
        let detail = format!(
            "{count} identifiers are more than the {count_max} allowed; if they are one person's, raise `identifiers_max` in [landing]: events land when the file is ingested again, a record with its next version"
        );
        Self::new(Reason::TooManyIdentifiers, detail)
    }

    /// More values of a namespace than one person has.
    pub(crate) fn several_persons(namespace: &str, values: usize, values_max: u32) -> Self {
        let detail = format!(
            "{values} values of `{namespace}`, of which a person has at most {values_max}: nobody can tell whose it is; if they can be one person's, change `unique` or `limit` in [identity]: events land when the file is ingested again, a record with its next version"
        );
        Self::new(Reason::SeveralPersons, detail)
    }

    /// Bytes that are not UTF-8.
    pub(crate) fn bad_encoding() -> Self {
        Self::new(Reason::BadEncoding, "the text is not UTF-8; convert the file to UTF-8")
    }
}

/// Refused rows of one chunk, in input order.
#[derive(Default)]
pub(crate) struct QuarantineBuilder {
    lines: Int64Builder,
    reasons: StringBuilder,
    details: Vec<String>,
    raw: StringBuilder,
    counts: BTreeMap<&'static str, u64>,
    groups: Vec<Group>,
}

/// Rows of a chunk that are one event.
struct Group {
    /// Of what they have in common.
    hash: u64,
    /// If they lack what rows further up may tell: their number in quarantine, and what is to be done.
    lacking: Option<(usize, String)>,
}

impl QuarantineBuilder {
    /// Keeps a refused row: its 1-based line, why, and the start of its bytes.
    pub(crate) fn push(&mut self, line: u64, rejection: &Rejection, raw: &[u8]) {
        let code = rejection.reason.code();
        self.lines.append_value(line as i64);
        self.reasons.append_value(code);
        self.details.push(rejection.detail.clone());
        self.raw.append_value(String::from_utf8_lossy(head(raw)));
        *self.counts.entry(code).or_default() += 1;
    }

    /// Takes note of rows that are one event, by the hash of what they have in common. `advice` is for those that were refused
    /// last, because they lack what rows further up may tell.
    pub(crate) fn note_group(&mut self, hash: u64, advice: Option<String>) {
        let lacking = advice.and_then(|advice| Some((self.details.len().checked_sub(1)?, advice)));
        self.groups.push(Group { hash, lacking });
    }

    /// Says of events that lack something, and whose rows are among those seen in earlier chunks or further up in this one, what
    /// is to be done. Chunks come in input order.
    pub(crate) fn explain_scattered(&mut self, seen: &mut HashSet<u64>) {
        for Group { hash, lacking } in std::mem::take(&mut self.groups) {
            if let (false, Some((row, advice))) = (seen.insert(hash), lacking) {
                self.details[row].push_str(&advice);
            }
        }
    }

    /// The rows as a batch of [`quarantine_schema`], and their number by reason.
    pub(crate) fn finish(
        mut self,
        source: &str,
        file: &str,
        landed_at_us: i64,
    ) -> Result<(RecordBatch, BTreeMap<&'static str, u64>)> {
        let lines = self.lines.finish();
        let rows = arrow::array::Array::len(&lines);
        let columns: Vec<ArrayRef> = vec![
            repeat_time(landed_at_us, rows),
            repeat_text(source, rows),
            repeat_text(file, rows),
            Arc::new(lines),
            Arc::new(self.reasons.finish()),
            Arc::new(StringArray::from_iter_values(&self.details)),
            Arc::new(self.raw.finish()),
        ];
        Ok((RecordBatch::try_new(quarantine_schema(), columns)?, self.counts))
    }
}

/// At most the first 64 KiB, cut between two characters where the text is UTF-8.
pub(crate) fn head(raw: &[u8]) -> &[u8] {
    if raw.len() <= QUARANTINE_RAW_BYTES_MAX {
        return raw;
    }
    let is_continuation = |byte: u8| byte & 0b1100_0000 == 0b1000_0000;
    let mut end = QUARANTINE_RAW_BYTES_MAX;
    // A character has at most three continuation bytes; text that is not UTF-8 is cut anywhere.
    while end > QUARANTINE_RAW_BYTES_MAX - 3 && is_continuation(raw[end]) {
        end -= 1;
    }
    &raw[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_head_cuts_between_characters() {
        let text = "é".repeat(QUARANTINE_RAW_BYTES_MAX);
        let shifted = format!("a{text}");
        assert_eq!(head(text.as_bytes()).len(), QUARANTINE_RAW_BYTES_MAX);
        assert_eq!(head(shifted.as_bytes()).len(), QUARANTINE_RAW_BYTES_MAX - 1);
        assert_eq!(head(b"short"), b"short");
    }

    #[test]
    fn test_quarantine_replaces_invalid_utf8_in_raw() {
        let mut builder = QuarantineBuilder::default();
        builder.push(7, &Rejection::bad_encoding(), b"caf\xe9");
        let (batch, counts) = builder.finish("web", "a.json", 0).unwrap();
        let raw = batch.column_by_name("raw").unwrap();
        assert_eq!(arrow::array::AsArray::as_string::<i32>(raw).value(0), "caf\u{fffd}");
        assert_eq!(counts["bad_encoding"], 1);
    }
}
