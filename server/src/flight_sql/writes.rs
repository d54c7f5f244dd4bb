//! Statements that write. The engine refuses them as it refuses all that is no query, and some are wrong in other ways, too;
//! clients shall be told why none of them can work here.

/// First words of statements that write.
const WORDS: [&str; 12] = [
    "alter", "copy", "create", "delete", "drop", "grant", "insert", "merge", "replace", "revoke", "truncate", "update",
];

/// True if a statement sets out to write, by its first word.
pub(crate) fn writes(sql: &str) -> bool {
    let statement = without_comments(sql);
    let word = statement.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// The text from its first word on: tools say in a comment before it who asks.
fn without_comments(sql: &str) -> &str {
    let mut rest = sql.trim_start();
    loop {
        let end = match rest {
            _ if rest.starts_with("--") => rest.split_once('\n'),
            _ if rest.starts_with("/*") => rest.split_once("*/"),
            _ => return rest,
        };
        rest = end.map_or("", |(_, after)| after.trim_start());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_a_statement_that_writes_is_known_by_its_first_word() {
        for sql in ["drop table a", "  DELETE\tfrom a", "-- me\n/* and\nyou */ Insert into a values (1)", "truncate;"] {
            assert!(writes(sql), "{sql}");
        }
        for sql in [
            "select 1",
            "",
            "--",
            "/* drop",
            "-- drop\nselect 1",
            "dropped",
            "(delete)",
            "with a as (select 1) table a",
        ] {
            assert!(!writes(sql), "{sql}");
        }
    }
}
