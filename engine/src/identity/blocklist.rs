//! Values that identify nobody: what forms, scripts and exports write when they know no identifier. One of them let
//! through would join every customer who has it into one profile.

use std::collections::HashSet;

use regex::RegexSet;

use crate::error::{EngineError, Result};

/// Values blocked in every namespace unless the project turns the defaults off, in lower case. Values of zeros only
/// (`0`, `000-000`, the nil UUID) belong to the defaults too but need no entry.
pub(crate) const DEFAULT_BLOCKED: &[&str] = &[
    // What programming languages and databases print for "nothing".
    "null",
    "(null)",
    "<null>",
    "nil",
    "none",
    "undefined",
    "nan",
    "nat",
    "na",
    "<na>",
    "n/a",
    "n.a.",
    "#n/a",
    "#ref!",
    "#value!",
    r"\n",
    "-1",
    "true",
    "false",
    "[]",
    "{}",
    "[object object]",
    // What people and forms write for "not known".
    "anonymous",
    "unknown",
    "invalid",
    "empty",
    "blank",
    "(blank)",
    "guest",
    "not-specified",
    "not_specified",
    "not specified",
    "not available",
    "not applicable",
    "not provided",
    "not set",
    "(not set)",
    "not-set",
    "not_set",
    "no email",
    "-",
    "--",
    "---",
    ".",
    "?",
    // Addresses typed to get past a form.
    "test@test.com",
    "none@none.com",
    "null@null.com",
    "no@email.com",
    "noemail@noemail.com",
    "na@na.com",
    "undefined@undefined.com",
];

/// Longer values are compared through a copy on the heap; nearly all blocked values are shorter.
const STACK_BYTES: usize = 64;

/// The blocked values of one project, made for asking about millions of values.
#[derive(Debug)]
pub(crate) struct Blocklist {
    /// In lower case.
    values: HashSet<Box<str>>,
    /// For each first byte, a bit for each length (63 for longer): says "no" to nearly all values without hashing.
    lengths_by_first_byte: Box<[u64; 256]>,
    patterns: Option<RegexSet>,
    blocks_zeros: bool,
}

impl Blocklist {
    /// Builds the list from values (compared without regard to case or outer blanks) and regular expressions (found
    /// anywhere in a value unless anchored with `^` and `$`; case counts unless the pattern says `(?i)`).
    /// `blocks_zeros` adds all values that hold only zeros and separators.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when a pattern does not compile.
    pub(crate) fn new<'a>(
        values: impl IntoIterator<Item = &'a str>,
        patterns: &[String],
        blocks_zeros: bool,
    ) -> Result<Self> {
        let patterns = if patterns.is_empty() {
            None
        } else {
            let set = RegexSet::new(patterns).map_err(|error| {
                EngineError::invalid("a blocked pattern is not a regular expression").with_source(error)
            })?;
            Some(set)
        };
        let mut list =
            Self { values: HashSet::new(), lengths_by_first_byte: Box::new([0; 256]), patterns, blocks_zeros };
        for value in values {
            list.insert(value);
        }
        Ok(list)
    }

    /// Blocks one more value.
    pub(crate) fn insert(&mut self, value: &str) {
        let lower = value.trim().to_lowercase();
        if let Some(bits) = lower.bytes().next().and_then(|first| self.length_bits_mut(first)) {
            *bits |= length_bit(&lower);
            self.values.insert(lower.into_boxed_str());
        }
    }

    /// Whether a value, trimmed by the caller, identifies nobody: it is empty, listed, of zeros only, or matches a
    /// pattern.
    pub(crate) fn is_blocked(&self, value: &str) -> bool {
        value.is_empty()
            || self.is_listed(value)
            || (self.blocks_zeros && is_only_zeros(value))
            || self.patterns.as_ref().is_some_and(|patterns| patterns.is_match(value))
    }

    fn is_listed(&self, value: &str) -> bool {
        if !value.is_ascii() {
            return self.values.contains(value.to_lowercase().as_str());
        }
        let Some(first) = value.bytes().next() else {
            return false;
        };
        let bits = self.lengths_by_first_byte.get(usize::from(first.to_ascii_lowercase()));
        if bits.is_none_or(|bits| bits & length_bit(value) == 0) {
            return false;
        }
        let mut buffer = [0_u8; STACK_BYTES];
        let Some(lower) = buffer.get_mut(..value.len()) else {
            return self.values.contains(value.to_ascii_lowercase().as_str());
        };
        lower.copy_from_slice(value.as_bytes());
        lower.make_ascii_lowercase();
        std::str::from_utf8(lower).is_ok_and(|lower| self.values.contains(lower))
    }

    fn length_bits_mut(&mut self, first: u8) -> Option<&mut u64> {
        self.lengths_by_first_byte.get_mut(usize::from(first))
    }
}

fn length_bit(value: &str) -> u64 {
    1 << value.len().min(63)
}

/// Whether a value holds nothing but zeros and separators: `0`, `000-000`, `+00`, `0.0`, the nil UUID.
fn is_only_zeros(value: &str) -> bool {
    let mut has_zero = false;
    for byte in value.bytes() {
        match byte {
            b'0' => has_zero = true,
            b'-' | b'+' | b'.' | b',' | b'/' | b':' | b'_' | b'(' | b')' | b' ' => {}
            _ => return false,
        }
    }
    has_zero
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Blocklist {
        Blocklist::new(DEFAULT_BLOCKED.iter().copied(), &[], true).expect("valid")
    }

    #[test]
    fn blocks_defaults_in_any_case() {
        let list = defaults();
        for value in [r"\N", "NaT", "<NA>", "N.A.", "#REF!", "#VALUE!", "(blank)"] {
            assert!(list.is_blocked(value), "{value}");
        }
        for value in ["NULL", "n/a", "N/A", "[object Object]", "undefined", "-1", "Test@Test.com", "Not-Specified", ""]
        {
            assert!(list.is_blocked(value), "{value}");
        }
        for value in ["ada@example.com", "nullable", "nate", r"\nina", "1", "10", "-10", "u-0", "éva", "n/A/b"] {
            assert!(!list.is_blocked(value), "{value}");
        }
    }

    #[test]
    fn default_entries_are_lower_case_and_trimmed() {
        for value in DEFAULT_BLOCKED {
            assert_eq!(*value, value.trim().to_lowercase());
        }
    }

    #[test]
    fn blocks_zeros_with_separators() {
        let list = Blocklist::new([], &[], true).expect("valid");
        for value in ["0", "000-000", "+00", "0.0", "(000) 000 000", "00000000-0000-0000-0000-000000000000"] {
            assert!(list.is_blocked(value), "{value}");
        }
        for value in ["-", "0a", "100", "0x0"] {
            assert!(!list.is_blocked(value), "{value}");
        }
    }

    #[test]
    fn blocks_configured_values_and_patterns() {
        let long = "X".repeat(100);
        let values = [" Éva ", "Kiosk-7", &long];
        let list = Blocklist::new(values, &[r"^bot-\d+$".into(), "(?i)store".into()], false).expect("valid");
        for value in ["éva", "ÉVA", "KIOSK-7", &"x".repeat(100), "bot-12", "my Store"] {
            assert!(list.is_blocked(value), "{value}");
        }
        for value in ["Bot-12", "bot-12a", "kiosk-70", &"x".repeat(101)] {
            assert!(!list.is_blocked(value), "{value}");
        }
        assert!(Blocklist::new([], &["(".into()], false).is_err());
    }
}
