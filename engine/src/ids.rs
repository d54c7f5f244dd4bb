//! Ids that are functions of what they name. They are written to tables, so they never depend on the process.

/// Crockford's base 32 in lower case: no vowel but `a` and `e`, no letter that looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The id of the profile whose anchor is `identifier` (`namespace:value`): 26 letters and digits, 128 bits of BLAKE3.
/// It does not show the identifier, but who knows one can compute it. A check of every refresh makes sure that no two
/// anchors share an id.
pub(crate) fn profile_id(identifier: &str) -> String {
    named("tessera profile id v1", identifier)
}

/// The id of the session that begins with `first_event` (`source:event_id`).
pub(crate) fn session_id(first_event: &str) -> String {
    named("tessera session id v1", first_event)
}

/// The id of a refresh: sorts by time.
pub(crate) fn refresh_id() -> String {
    by_time()
}

/// The id of a change of a segment: sorts by time.
pub(crate) fn change_id() -> String {
    by_time()
}

/// The id of a correction: sorts by time.
pub(crate) fn correction_id() -> String {
    by_time()
}

/// A random id whose first part is the time.
fn by_time() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// 128 bits of BLAKE3; `kind` keeps ids of different kinds apart.
fn named(kind: &str, text: &str) -> String {
    let hash = blake3::Hasher::new_derive_key(kind).update(text.as_bytes()).finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    base32(u128::from_be_bytes(first))
}

fn base32(mut number: u128) -> String {
    let mut digits = [0_u8; 26];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(number % 32) as usize];
        number /= 32;
    }
    digits.iter().map(|&digit| char::from(digit)).collect()
}
