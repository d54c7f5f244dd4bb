//! How many bytes functions make of one row besides those that they are given, roughly and never below 0.

use super::arguments::{Arguments, ELEMENT_BYTES};

pub(super) fn repeated_text(of: &Arguments, row: usize) -> i128 {
    of.number(1, row).unwrap_or(0).max(0) * of.text_bytes(0, row)
}

pub(super) fn padded_text(of: &Arguments, row: usize) -> i128 {
    of.number(1, row).unwrap_or(0).max(0)
}

pub(super) fn replaced_text(of: &Arguments, row: usize) -> i128 {
    let (Some(text), Some(from), Some(to)) = (of.text(0, row), of.text(1, row), of.text(2, row)) else { return 0 };
    // Most make no text longer; nothing is found in place of nothing.
    let times = if from.is_empty() || to.len() <= from.len() { 0 } else { text.matches(from).count() };
    (times * to.len().saturating_sub(from.len())) as i128
}

/// `(text, pattern, replacement, flags)`: the first match, with the flag `g` each. A replacement may have what was found, by `\1`.
pub(super) fn replaced_pattern(of: &Arguments, row: usize) -> i128 {
    let (Some(text), Some(to)) = (of.text(0, row), of.text(2, row)) else { return 0 };
    let is_each = of.text(3, row).is_some_and(|flags| flags.contains('g'));
    let times = if is_each && to.len() > 1 { of.matches(text) } else { 1 };
    let found = to.matches(['\\', '$']).count();
    (text.len() * found) as i128 + times * to.len() as i128
}

pub(super) fn all_texts(of: &Arguments, row: usize) -> i128 {
    let bytes = (0..of.columns.len()).map(|argument| of.text_bytes(argument, row));
    bytes.clone().sum::<i128>() - bytes.max().unwrap_or(0)
}

pub(super) fn separated_texts(of: &Arguments, row: usize) -> i128 {
    all_texts(of, row) + of.text_bytes(0, row) * of.columns.len() as i128
}

pub(super) fn formatted_time(of: &Arguments, row: usize) -> i128 {
    of.text_bytes(1, row)
}

pub(super) fn split_text(of: &Arguments, row: usize) -> i128 {
    let (Some(text), delimiter) = (of.text(0, row), of.text(1, row).unwrap_or("")) else { return 0 };
    let parts = if delimiter.is_empty() { text.len() } else { text.matches(delimiter).count() + 1 };
    ELEMENT_BYTES * parts as i128
}

pub(super) fn joined_list(of: &Arguments, row: usize) -> i128 {
    of.elements(0, row) * (ELEMENT_BYTES + of.text_bytes(1, row) + of.text_bytes(2, row))
}

pub(super) fn all_lists(of: &Arguments, row: usize) -> i128 {
    (0..of.columns.len()).map(|argument| ELEMENT_BYTES * of.elements(argument, row)).sum()
}

pub(super) fn replaced_elements(of: &Arguments, row: usize) -> i128 {
    of.elements(0, row) * of.element_bytes(2, row)
}

/// Each letter of one is compared with each of the other. Sixteen comparisons count as a byte: those within the bound take seconds.
pub(super) fn compared_texts(of: &Arguments, row: usize) -> i128 {
    of.text_bytes(0, row) * of.text_bytes(1, row) / 16
}

pub(super) fn repeated_element(of: &Arguments, row: usize) -> i128 {
    of.number(1, row).unwrap_or(0).max(0) * of.element_bytes(0, row)
}

pub(super) fn resized_list(of: &Arguments, row: usize) -> i128 {
    of.number(1, row).unwrap_or(0).max(0) * of.element_bytes(2, row)
}

/// `(stop)`, `(start, stop)` or `(start, stop, step)`: of whole numbers, or of times with an interval.
pub(super) fn series(of: &Arguments, row: usize) -> i128 {
    let (start, stop) = match of.columns.len() {
        1 => (Some(0), of.number(0, row)),
        _ => (of.number(0, row), of.number(1, row)),
    };
    let (Some(start), Some(stop)) = (start, stop) else { return 0 };
    let step = of.number(2, row).or_else(|| of.interval_micros(2, row)).unwrap_or(1);
    // Away from where it goes there is nothing; a step of nothing is refused by the function itself.
    ((stop - start) / if step == 0 { 1 } else { step }).max(0) * ELEMENT_BYTES
}
