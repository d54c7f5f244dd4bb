//! Statements that write. The engine refuses them as it refuses all that is no query, and some are wrong in other ways, too;
//! clients shall be told why none of them can work here.

/// First words of statements that write, or that are for those who do: transactions, locks and upkeep.
const WORDS: [&str; 29] = [
    "abort",
    "alter",
    "analyze",
    "attach",
    "begin",
    "call",
    "comment",
    "commit",
    "copy",
    "create",
    "delete",
    "detach",
    "drop",
    "grant",
    "insert",
    "lock",
    "merge",
    "optimize",
    "reindex",
    "release",
    "replace",
    "revoke",
    "rollback",
    "savepoint",
    "start",
    "truncate",
    "update",
    "upsert",
    "vacuum",
];
/// First words of queries.
const QUERIES: [&str; 4] = ["select", "table", "values", "with"];

/// True if a statement sets out to write, by its first word.
pub(crate) fn writes(sql: &str) -> bool {
    begins_with(sql, &WORDS)
}

/// True if a statement is a query, by its first word.
pub(crate) fn queries(sql: &str) -> bool {
    begins_with(sql.trim_start_matches(|letter: char| letter == '(' || letter.is_whitespace()), &QUERIES)
}

fn begins_with(sql: &str, words: &[&str]) -> bool {
    let statement = without_comments(sql);
    let word = statement.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    words.iter().any(|known| word.eq_ignore_ascii_case(known))
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
        for sql in [
            "drop table a",
            "  DELETE\tfrom a",
            "-- me\n/* and\nyou */ Insert into a values (1)",
            "truncate;",
            "BEGIN",
            "vacuum a",
        ] {
            assert!(writes(sql) && !queries(sql), "{sql}");
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
        for sql in ["select 1", " ( (SELECT 1) limit 1)", "-- me\nvalues (1)", "with a as (select 1) table a"] {
            assert!(queries(sql), "{sql}");
        }
        assert!(!queries("selected") && !queries(""));
    }
}
