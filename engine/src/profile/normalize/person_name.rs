//! Names of people, as they are written to people.

use super::spelling::is_combining;

/// Numbers of generations. `V` and `VI` may be something else: an initial, a name of Vietnam.
const GENERATIONS: [&str; 3] = ["ii", "iii", "iv"];

/// A name in one case only gets capital letters where words begin; blanks between words become one. A name in mixed case
/// is left alone: who wrote `McDonald` or `van Dyck` knew how.
pub(super) fn cased(told: &str) -> String {
    let words: Vec<&str> = told.split_whitespace().collect();
    let name = words.join(" ");
    let is_mixed = name.chars().any(char::is_uppercase) && name.chars().any(char::is_lowercase);
    if is_mixed {
        return name;
    }
    let letters: Vec<char> = name.chars().collect();
    let runs = letters.chunk_by(|left, right| is_of_word(*left) == is_of_word(*right));
    runs.map(|run| capitalized(&String::from_iter(run))).collect()
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || is_combining(letter)
}

/// A word with one capital letter. It takes lower case as a whole: a sigma at its end is another than one within.
fn capitalized(word: &str) -> String {
    let lower = word.to_lowercase();
    if GENERATIONS.contains(&lower.as_str()) {
        return word.to_uppercase();
    }
    let Some(first) = word.chars().next() else { return lower };
    first.to_uppercase().chain(lower.chars().skip(first.to_lowercase().count())).collect()
}
