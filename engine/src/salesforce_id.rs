//! Ids of Salesforce, which it writes with 15 letters or with 18.

use std::borrow::Cow;

/// An id with 18 letters; `None` if it is none. In an id of 15 letters case counts, so spreadsheets mix them up; the three
/// more tell which letters are capitals, five in each. Source: [Salesforce on ids][ids].
///
/// [ids]: https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/field_types.htm
pub(crate) fn with_18_letters(trimmed: &str) -> Option<Cow<'_, str>> {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    if !trimmed.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    match trimmed.len() {
        18 => Some(Cow::Borrowed(trimmed)),
        15 => {
            let capitals = |five: &[u8]| {
                five.iter().rev().fold(0, |bits, byte| bits << 1 | usize::from(byte.is_ascii_uppercase()))
            };
            let check = trimmed.as_bytes().chunks(5).map(|five| char::from(LETTERS[capitals(five)]));
            Some(Cow::Owned(trimmed.chars().chain(check).collect()))
        }
        _ => None,
    }
}
