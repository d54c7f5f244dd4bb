//! Names of people, as they are written to people.

/// A name in one case only gets capital letters where words begin; blanks between words become one. A name in mixed case
/// is left alone: who wrote `McDonald` or `van Dyck` knew how.
pub(super) fn cased(told: &str) -> String {
    let words: Vec<&str> = told.split_whitespace().collect();
    let name = words.join(" ");
    let is_mixed = name.chars().any(char::is_uppercase) && name.chars().any(char::is_lowercase);
    if is_mixed {
        return name;
    }
    let mut cased = String::with_capacity(name.len());
    let mut begins = true;
    for letter in name.chars() {
        if begins {
            cased.extend(letter.to_uppercase());
        } else {
            cased.extend(letter.to_lowercase());
        }
        begins = !letter.is_alphanumeric();
    }
    cased
}
