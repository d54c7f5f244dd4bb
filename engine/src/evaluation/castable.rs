//! Texts as casts read them: JavaScript writes small and large numbers with an exponent, forms write times without seconds, and
//! people type blanks around them; Arrow 59 reads none of these.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewBuilder};
use arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;

use crate::query::functions::{of_column, text};

/// Numbers with more digits are left as they are: no type holds them.
const EXPONENT_MAX: i32 = 64;

/// `castable(text)`: `1e3` as `1000`, `2026-05-08T18:40` as `2026-05-08T18:40:00`, every other text without the blanks around it.
pub(super) fn function() -> Arc<ScalarUDF> {
    of_column("castable", DataType::Utf8View, |texts| {
        let mut castable_texts = StringViewBuilder::with_capacity(texts.len());
        for known in text(texts)?.iter() {
            castable_texts.append_option(known.map(castable));
        }
        Ok(Arc::new(castable_texts.finish()) as ArrayRef)
    })
}

fn castable(known: &str) -> Cow<'_, str> {
    let known = known.trim();
    let read = without_exponent(known).or_else(|| with_seconds(known));
    read.map_or(Cow::Borrowed(known), Cow::Owned)
}

/// `-1.5e-3` as `-0.0015`; `None` for what is no number with an exponent.
fn without_exponent(known: &str) -> Option<String> {
    let (number, exponent) = known.split_once(['e', 'E'])?;
    let (sign, digits) = match number.strip_prefix(['-', '+']) {
        Some(digits) => (&number[..1], digits),
        None => ("", number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let exponent: i32 = exponent.parse().ok().filter(|exponent: &i32| exponent.abs() <= EXPONENT_MAX)?;
    // The point is before the first digit, behind the last or between, and zeros make sure that it is between.
    let point = i32::try_from(whole.len()).ok()? + exponent;
    let (before, after) = (1 - point.min(0), (point - i32::try_from(all.len()).ok()?).max(0));
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let padded = format!("{}{all}{}", zeros(before), zeros(after));
    let (whole, fraction) = padded.split_at_checked(usize::try_from(before + point).ok()?)?;
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// `2026-05-08 20:40+02:00` as `2026-05-08 20:40:00+02:00`; `None` for what is no such time.
fn with_seconds(known: &str) -> Option<String> {
    const SHAPE: &[u8] = b"0000-00-00T00:00";
    let is_like = |(byte, shape): (u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b' '),
        other => byte == *other,
    };
    let (time, zone) = known.split_at_checked(SHAPE.len())?;
    let has_no_seconds = zone.is_empty() || zone.starts_with(['Z', '+', '-', ' ']);
    (has_no_seconds && time.bytes().zip(SHAPE).all(is_like)).then(|| format!("{time}:00{zone}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_numbers_have_no_exponent_and_times_have_seconds() {
        for (known, expected) in [
            ("1e3", "1000"),
            ("1E+3", "1000"),
            ("-1.5e-3", "-0.0015"),
            ("1e-7", "0.0000001"),
            ("12.345e1", "123.45"),
            ("5e0", "5"),
            (".5e1", "5"),
            ("+2e2", "+200"),
            ("2026-05-08T18:40", "2026-05-08T18:40:00"),
            ("2026-05-08 18:40Z", "2026-05-08 18:40:00Z"),
            ("2026-05-08T20:40+02:00", "2026-05-08T20:40:00+02:00"),
            (" 1e3\t", "1000"),
            ("\n2026-05-08T18:40 ", "2026-05-08T18:40:00"),
            (" 2026-05-08 ", "2026-05-08"),
            ("  ", ""),
        ] {
            assert_eq!(castable(known), expected, "{known}");
            if let (Ok(left), Ok(right)) = (known.parse::<f64>(), expected.parse::<f64>()) {
                assert!((left - right).abs() < 1e-12, "{known}");
            }
        }
        for other in [
            "",
            "e",
            "1e",
            "e3",
            "1e3x",
            "1e99",
            "one",
            "1000",
            "2026-05-08T18:40:00Z",
            "2026-05-08",
            "2026-05-08T18:4x",
            "é",
        ] {
            assert_eq!(castable(other), other);
        }
    }
}
