//! `corrections.toml`: which identifiers are one person, or are not, whatever was seen together.

use toml::de::DeValue;

use super::reader::{Problems, TableReader, parse_root};
use crate::clock::Micros;
use crate::error::Result;

/// What a correction says of two identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// They are never one person.
    Never,
    /// They are always one person.
    Always,
}

/// What somebody knows better than the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// Its line in `corrections.toml`; none for one that was made while serving.
    pub line: Option<usize>,
    /// What it says.
    pub verdict: Verdict,
    /// Of which identifiers, `namespace:value`.
    pub identifiers: [String; 2],
    /// Who says so.
    pub decided_by: String,
    /// When they decided, microseconds since 1970 UTC.
    pub decided_at: Micros,
    /// Why.
    pub reason: String,
}

/// Parses the text of a `corrections.toml`. `file` is what messages call it.
///
/// # Errors
/// InvalidInput with a line `file:line: what is wrong, what to do` for every problem of the file.
pub(crate) fn parse_corrections(text: &str, file: &str) -> Result<Vec<Correction>> {
    let mut problems = Problems::new(file, text);
    let root = parse_root(text, &mut problems)?;
    let root = TableReader::new(root.get_ref(), 0..0, "");
    root.check_keys(&["never_link", "always_link"], &mut problems);
    let mut corrections = Vec::new();
    for (key, verdict) in [("never_link", Verdict::Never), ("always_link", Verdict::Always)] {
        let hint = format!("write each under its own `[[{key}]]`, with double brackets");
        for table in root.tables(key, &format!("[[{key}]]"), &hint, &mut problems).unwrap_or_default() {
            corrections.extend(read_correction(verdict, &table, &mut problems));
        }
    }
    problems.error().map_or(Ok(corrections), Err)
}

fn read_correction(verdict: Verdict, table: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<Correction> {
    table.check_keys(&["identifiers", "by", "at", "reason"], problems);
    let decided_by = table.required_string("by", "write who decided it: `by = \"...\"`", problems);
    let reason = table.required_string("reason", "write why: `reason = \"...\"`", problems);
    let decided_at = read_day(table, problems);
    let identifiers = read_identifiers(table, problems);
    Some(Correction {
        line: Some(problems.line_of(table.span())),
        verdict,
        identifiers: identifiers?,
        decided_by: decided_by?,
        decided_at: decided_at?,
        reason: reason?,
    })
}

fn read_identifiers(table: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<[String; 2]> {
    let written: Option<Vec<String>> =
        table.strings("identifiers", problems).map(|strings| strings.into_iter().map(|(string, _)| string).collect());
    let found = written.and_then(|strings| <[String; 2]>::try_from(strings).ok());
    if found.is_none() {
        let message = format!(
            "`identifiers` in {} must name two: `identifiers = [\"email:ada@example.com\", \"user_id:17\"]`",
            table.called()
        );
        problems.add(&table.span_of("identifiers"), message);
    }
    found
}

/// A day or an instant, bare or in quotes; a day begins in UTC.
fn read_day(table: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<Micros> {
    let text = table.value("at").and_then(|value| match value.get_ref() {
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    });
    let is_there = text.is_some();
    let found = text.and_then(|text| {
        let day = chrono::NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0));
        let instant = || chrono::DateTime::parse_from_rfc3339(&text).ok().map(|time| time.timestamp_micros());
        day.map(|day| day.and_utc().timestamp_micros()).or_else(instant)
    });
    if found.is_none() {
        let wrong = if is_there { "has an `at` that is neither a day nor a time with its zone" } else { "has no day" };
        let example = "such as `at = 2026-11-25` or `at = 2026-11-25T10:00:00Z`";
        problems.add(&table.span_of("at"), format!("{} {wrong}: write when it was decided, {example}", table.called()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_kinds() {
        let text = "[[never_link]]\nidentifiers = ['user_id:a', 'email:b@example.com']\nby = 'Jo'\nat = 2026-11-25\n\
                    reason = 'a family'\n[[always_link]]\nidentifiers = ['user_id:a', 'user_id:b']\nby = 'Jo'\n\
                    at = '2026-11-25T10:00:00+01:00'\nreason = 'she said so'\n";
        let corrections = parse_corrections(text, "corrections.toml").unwrap();
        assert_eq!(corrections.len(), 2);
        assert_eq!(corrections[0].identifiers, ["user_id:a", "email:b@example.com"]);
        assert_eq!((corrections[0].line, corrections[0].verdict), (Some(1), Verdict::Never));
        assert_eq!((corrections[1].line, corrections[1].verdict), (Some(6), Verdict::Always));
        assert_eq!(corrections[1].decided_at - corrections[0].decided_at, 9 * 3_600_000_000);
    }

    #[test]
    fn says_what_is_missing_and_where() {
        let text = "[[never_link]]\nidentifiers = ['user_id:a']\nby = 'Jo'\nat = 'yesterday'\nwhy = 'x'\n";
        let refused = parse_corrections(text, "corrections.toml").unwrap_err().to_string();
        let lines: Vec<&str> = refused.lines().collect();
        assert_eq!(lines.len(), 4, "{refused}");
        assert!(lines[0].starts_with("corrections.toml:1: [[never_link]] has no `reason`; write why"), "{refused}");
        assert!(lines[1].starts_with("corrections.toml:2: `identifiers` in [[never_link]] must name two"), "{refused}");
        assert!(
            lines[2].starts_with("corrections.toml:4: [[never_link]] has an `at` that is neither a day"),
            "{refused}"
        );
        assert!(lines[3].starts_with("corrections.toml:5: unknown key `why` in [[never_link]]"), "{refused}");
    }
}
