//! Exact numbers, of money for one: how many digits are kept, and how they are read from text.

/// Digits of a decimal, in all: it fits into 64 bits, so Parquet stores it as an integer.
pub(crate) const PRECISION: u8 = 18;
/// Digits after the point: a hundredth of a cent.
pub(crate) const SCALE: i8 = 4;

const UNITS_PER_ONE: i128 = 10_000;
const UNITS_LIMIT: i128 = 10_i128.pow(PRECISION as u32);
/// The largest decimal, in units of the last digit.
pub(crate) const UNITS_MAX: i128 = UNITS_LIMIT - 1;

/// Reads `-12.50`, `+3`, `.5` or `1e3` as units of 0.0001, rounded half away from zero.
/// None for anything else (`12,50`, `$3`, `NaN`) and for what does not fit 18 digits.
pub(crate) fn parse_decimal(text: &str) -> Option<i128> {
    let text = text.trim();
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let units = match digits.bytes().any(|byte| matches!(byte, b'e' | b'E')) {
        true => parse_exponent(digits)?,
        false => parse_plain(digits)?,
    };
    (units < UNITS_LIMIT).then_some(if is_negative { -units } else { units })
}

/// `-1.234,50` as `-1234.50`: a comma before the fraction, and before it points or blanks between thousands, or nothing.
/// None for anything else.
pub(crate) fn with_decimal_point(text: &str) -> Option<String> {
    let text = text.trim();
    let (whole, fraction) = text.split_once(',').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let (sign, whole) = whole.strip_prefix(['-', '+']).map_or(("", whole), |rest| (&whole[..1], rest));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let groups: Vec<&str> = whole.split(['.', '\'', ' ', '\u{a0}', '\u{202f}']).collect();
    let (first, others) = groups.split_first()?;
    let is_grouped =
        others.iter().all(|group| group.len() == 3) && (others.is_empty() || (1..=3).contains(&first.len()));
    if !is_grouped || !groups.iter().all(|group| is_digits(group)) || !fraction.is_none_or(is_digits) {
        return None;
    }
    let fraction = fraction.map(|fraction| format!(".{fraction}")).unwrap_or_default();
    Some(format!("{sign}{}{fraction}", groups.concat()))
}

fn parse_plain(digits: &str) -> Option<i128> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let mut units: i128 = 0;
    for digit in whole.bytes() {
        units = units * 10 + i128::from(digit - b'0');
        if units >= UNITS_LIMIT {
            return None;
        }
    }
    units *= UNITS_PER_ONE;
    let mut unit_of_digit = UNITS_PER_ONE;
    for digit in fraction.bytes().take(SCALE as usize) {
        unit_of_digit /= 10;
        units += i128::from(digit - b'0') * unit_of_digit;
    }
    let rounds_up = fraction.as_bytes().get(SCALE as usize).is_some_and(|digit| *digit >= b'5');
    Some(units + i128::from(rounds_up))
}

/// A number with an exponent is a float already: nothing is lost by going through one.
fn parse_exponent(digits: &str) -> Option<i128> {
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let units = (digits.parse::<f64>().ok()? * UNITS_PER_ONE as f64).round();
    (units.is_finite() && units < UNITS_LIMIT as f64).then_some(units as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_parse_decimal_reads_numbers() {
        let cases = [
            ("39.9", 399_000),
            ("-1", -10_000),
            ("+2.5", 25_000),
            (".5", 5_000),
            ("7.", 70_000),
            ("0", 0),
            ("1e3", 10_000_000),
            ("1.5E-1", 1_500),
            ("0.00005", 1),
            ("0.00004", 0),
            (" 12.00 ", 120_000),
            ("99999999999999.9999", 999_999_999_999_999_999),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_decimal(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn test_decimal_commas_become_points() {
        for (text, expected) in [
            ("0,25", Some("0.25")),
            ("-1.234,50", Some("-1234.50")),
            ("1 234 567,8", Some("1234567.8")),
            ("1\u{202f}234,8", Some("1234.8")),
            ("1.234", Some("1234")),
            ("1234", Some("1234")),
            ("+,5", Some("+.5")),
            ("1,234.50", None),
            ("1.23,4", None),
            ("1234.567,8", None),
            ("1,2,3", None),
            ("a,5", None),
        ] {
            assert_eq!(with_decimal_point(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn test_parse_decimal_refuses_what_is_no_number() {
        for text in [
            "",
            " ",
            "-",
            ".",
            "12,50",
            "$3",
            "NaN",
            "inf",
            "1e",
            "e5",
            "--1",
            "+-1",
            "1.2.3",
            "0x10",
            "100000000000000",
            "1e30",
        ] {
            assert_eq!(parse_decimal(text), None, "{text}");
        }
    }
}
