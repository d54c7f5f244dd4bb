//! What one query may be made of, checked before it is planned: nobody can stop the planner, and a tree that is too deep ends the
//! process.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use datafusion::sql::parser::{CopyToSource, CopyToStatement, DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query, Select, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{EngineError, Result};
use crate::limits;

/// The words that join expressions or go behind one, and those that may stand before themselves.
const OPERATORS: [Keyword; 22] = [
    Keyword::AND,
    Keyword::AT,
    Keyword::BETWEEN,
    Keyword::COLLATE,
    Keyword::DIV,
    Keyword::EXPLAIN,
    Keyword::ILIKE,
    Keyword::IN,
    Keyword::INTERVAL,
    Keyword::IS,
    Keyword::LIKE,
    Keyword::MATCH,
    Keyword::MEMBER,
    Keyword::NOT,
    Keyword::NOTNULL,
    Keyword::OPERATOR,
    Keyword::OR,
    Keyword::OVERLAPS,
    Keyword::REGEXP,
    Keyword::RLIKE,
    Keyword::SIMILAR,
    Keyword::XOR,
];
const SET_OPERATIONS: [Keyword; 4] = [Keyword::UNION, Keyword::INTERSECT, Keyword::EXCEPT, Keyword::MINUS];

/// Parses the one query of a text, if it is not too much to plan.
///
/// # Errors
/// InvalidInput for text that is not one statement of SQL, or is too much.
pub(crate) fn parsed(sql: &str) -> Result<Statement> {
    check_text(sql)?;
    let mut statements = DFParserBuilder::new(sql).with_dialect(&PostgreSqlDialect {}).build()?.parse_statements()?;
    let statement = statements.pop_front().ok_or_else(|| EngineError::invalid("there is no query"))?;
    if !statements.is_empty() {
        return Err(EngineError::invalid("there is more than one statement: ask one query at a time"));
    }
    check_tables(&statement)?;
    Ok(statement)
}

/// Checks a query before it is parsed. Constants of a list do not count, however many they are.
///
/// # Errors
/// InvalidInput for a query that would become too deep a tree, or that takes too long to parse.
fn check_text(sql: &str) -> Result<()> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .tokenize()
        .map_err(|error| EngineError::invalid(error.to_string()))?;
    let mut text = Text::default();
    for token in tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))) {
        text.add(token);
    }
    text.check()
}

/// A query's text, as far as it was read.
#[derive(Default)]
struct Text {
    /// The brackets that are open, the innermost last.
    open: Vec<Level>,
    /// What is in none.
    outermost: Level,
    /// The most operators of an expression within brackets that are closed.
    operators: usize,
    set_operations: usize,
    tokens_read: u64,
    /// How many of the open brackets may be those of functions.
    calls: u32,
    is_after_word: bool,
}

/// What is between two brackets, without what is in brackets within.
#[derive(Default)]
struct Level {
    /// Operators since the last comma.
    operators: usize,
    /// The most operators of an expression in brackets since the last comma.
    inside: usize,
    /// The most operators of an expression before the last comma.
    before: usize,
    /// Whether these may be arguments of a function.
    is_call: bool,
}

impl Level {
    /// The most operators of an expression: those in brackets may be operands of those around them.
    fn depth(&self) -> usize {
        self.before.max(self.operators + self.inside)
    }

    fn comma(&mut self) {
        *self = Self { before: self.depth(), is_call: self.is_call, ..Self::default() };
    }
}

impl Text {
    fn add(&mut self, token: &Token) {
        let reads = 1_u64.checked_shl(self.calls).unwrap_or(u64::MAX);
        self.tokens_read = self.tokens_read.saturating_add(reads);
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                let is_call = self.is_after_word && *token == Token::LParen;
                self.innermost().operators += 1;
                self.calls += u32::from(is_call);
                self.open.push(Level { is_call, ..Level::default() });
            }
            Token::RParen | Token::RBracket | Token::RBrace => self.close(),
            Token::Comma => self.innermost().comma(),
            Token::Word(word) if SET_OPERATIONS.contains(&word.keyword) => self.set_operations += 1,
            token if is_operator(token) => self.innermost().operators += 1,
            _ => {}
        }
        self.is_after_word = matches!(token, Token::Word(_));
    }

    fn innermost(&mut self) -> &mut Level {
        self.open.last_mut().unwrap_or(&mut self.outermost)
    }

    fn close(&mut self) {
        let Some(closed) = self.open.pop() else { return };
        self.calls -= u32::from(closed.is_call);
        let depth = closed.depth();
        self.operators = self.operators.max(depth);
        let around = self.innermost();
        around.inside = around.inside.max(depth);
    }

    fn check(mut self) -> Result<()> {
        while !self.open.is_empty() {
            self.close();
        }
        if self.operators.max(self.outermost.depth()) > limits::QUERY_OPERATORS_MAX {
            return Err(EngineError::invalid(format!(
                "an expression has more than {} operators: write `in (...)` for many values, put them in a list or a table, or split the query",
                limits::QUERY_OPERATORS_MAX
            )));
        }
        if self.set_operations > limits::QUERY_SET_OPERATIONS_MAX {
            return Err(EngineError::invalid(format!(
                "the query has more than {} `union`, `intersect` and `except`: write `values (...), (...)` for many rows, or split it",
                limits::QUERY_SET_OPERATIONS_MAX
            )));
        }
        if self.tokens_read > limits::QUERY_TOKENS_READ_MAX {
            return Err(EngineError::invalid(
                "the query is too long for how deep its functions and subqueries are nested: put values in a list or a table, or parts of it in `with`",
            ));
        }
        Ok(())
    }
}

/// True for whatever may make an expression deeper. Constants that are written in unusual ways are taken for operators; in a
/// list each is between two commas.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => OPERATORS.contains(&word.keyword),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::DollarQuotedString(_)
        | Token::Placeholder(_)
        | Token::Period
        | Token::SemiColon
        | Token::EOF => false,
        _ => true,
    }
}

/// Checks a query before it is planned, by its tables: those of a `with` query count each time that it is named, for it is
/// planned each time; and many that are joined count more than one by one, for each join has the columns of all before it.
///
/// # Errors
/// InvalidInput for a query that takes too long to plan.
fn check_tables(statement: &Statement) -> Result<()> {
    let mut tables = Tables::default();
    let _ = match statement {
        Statement::Statement(statement) => statement.visit(&mut tables),
        Statement::Explain(explained) => return check_tables(&explained.statement),
        Statement::CopyTo(CopyToStatement { source: CopyToSource::Query(query), .. }) => query.visit(&mut tables),
        _ => return Ok(()),
    };
    if tables.outermost.count > limits::QUERY_TABLES_MAX {
        return Err(EngineError::invalid(format!(
            "the query names more than {} tables: those of a `with` query count each time that it is named, and 60 joined ones count {}; make a model of what is named often, or split the query",
            limits::QUERY_TABLES_MAX,
            count_of_joined(60)
        )));
    }
    Ok(())
}

fn count_of_joined(tables: u64) -> u64 {
    tables.saturating_mul(1 + tables / 4)
}

/// Counts the tables of a statement.
#[derive(Default)]
struct Tables {
    /// The `with` queries that can be named here, the innermost last, and the count of each.
    named: Vec<(String, u64)>,
    /// The queries that are open, the innermost last.
    open: Vec<OpenQuery>,
    /// What is in none.
    outermost: OpenQuery,
}

/// A query of which a part was visited.
#[derive(Default)]
struct OpenQuery {
    count: u64,
    /// How many `with` queries could be named before it.
    named_before: usize,
    /// The names of its `with` queries that are still to come. They are visited before anything else of it.
    to_come: VecDeque<String>,
    /// For each open `select` of it, the tables and subqueries that it joins.
    joined: Vec<u64>,
}

impl OpenQuery {
    fn add(&mut self, count: u64) {
        self.count = self.count.saturating_add(count);
    }

    /// Counts a table or a subquery of the innermost `select`.
    fn join(&mut self) {
        match self.joined.last_mut() {
            Some(joined) => *joined += 1,
            None => self.add(1),
        }
    }
}

impl Tables {
    fn innermost(&mut self) -> &mut OpenQuery {
        self.open.last_mut().unwrap_or(&mut self.outermost)
    }
}

impl Visitor for Tables {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        let to_come = with.map(|query| name_of(&query.alias.name)).collect();
        self.open.push(OpenQuery { named_before: self.named.len(), to_come, ..OpenQuery::default() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        let Some(closed) = self.open.pop() else { return ControlFlow::Continue(()) };
        self.named.truncate(closed.named_before);
        match self.innermost().to_come.pop_front() {
            Some(name) => self.named.push((name, closed.count)),
            None => {
                self.innermost().join();
                self.innermost().add(closed.count);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, _: &Select) -> ControlFlow<()> {
        self.innermost().joined.push(0);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &Select) -> ControlFlow<()> {
        let joined = self.innermost().joined.pop().unwrap_or_default();
        self.innermost().add(count_of_joined(joined));
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let [part] = relation.0.as_slice() else {
            self.innermost().join();
            return ControlFlow::Continue(());
        };
        let name = part.as_ident().map(name_of);
        let named = self.named.iter().rev().find(|(known, _)| Some(known) == name.as_ref());
        let count = named.map_or(0, |(_, count)| *count);
        self.innermost().join();
        self.innermost().add(count);
        ControlFlow::Continue(())
    }
}

/// A name as others are compared with it.
fn name_of(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` times `text`, with `separator` between.
    fn many(text: &str, separator: &str, count: usize) -> String {
        vec![text; count].join(separator)
    }

    fn check(sql: &str) -> Result<()> {
        parsed(sql).map(drop)
    }

    #[test]
    fn test_a_text_is_one_statement() {
        for (sql, message) in [("", "no query"), (" -- nothing\n", "no query"), ("select 1; select 2", "more than one")]
        {
            assert!(check(sql).unwrap_err().to_string().contains(message), "{sql}");
        }
        check("select 1;").unwrap();
    }

    #[test]
    fn test_what_tools_write_passes() {
        let values = many("'x'", ", ", 50_000);
        let columns = many("sum(case when a = 'x' and b > 1 then c end)", ", ", 2_000);
        let branches = many("when a = 'x' then 'y'", " ", 1_000);
        for sql in [
            format!("select * from t where a in ({values}) and b = $1"),
            format!("select {columns} from t"),
            format!("select case {branches} end from t"),
            format!("select 1 from t where {}", many("a = 'x'", " or ", 900)),
            many("select a, b from s.t where a = 'x'", " union all ", 900),
            format!("select * from (values {}) v", many("(1, 'x')", ", ", 20_000)),
            format!("select * from t0 {}", many("left join s.t on t.id = t0.id", " ", 50)),
            format!("select {}a{} from t", "lower(".repeat(12), ")".repeat(12)),
            "explain select 1".to_owned(),
        ] {
            check(&sql).unwrap_or_else(|error| panic!("{error}: {}", &sql[..60]));
        }
    }

    #[test]
    fn test_deep_trees_are_refused_however_they_are_written() {
        let nested = |inner: &str, times: usize| {
            (0..times).fold(inner.to_owned(), |inner, _| format!("(({inner}) + {})", many("1", " + ", 300)))
        };
        for sql in [
            format!("select {}", many("1", "+", 2_500)),
            format!("select 1 from t where {}", many("a = 'x'", " or ", 3_000)),
            format!("select {}true", "not ".repeat(2_500)),
            format!("select a{} from t", "::int".repeat(2_500)),
            format!("select a{} from t", "[1]".repeat(2_500)),
            format!("select a{} from t", " is not null".repeat(2_500)),
            format!("select a{} from t", " at time zone 'UTC'".repeat(2_500)),
            format!("select {} as total, b from t", nested("a", 8)),
            format!("select b, f(c, {}), d from t", nested("a", 8)),
            format!("{}select 1", "explain ".repeat(2_500)),
            format!("select {}'1 day'", "interval ".repeat(2_500)),
        ] {
            let error = check_text(&sql).expect_err(&sql[..60]);
            assert!(error.to_string().contains("write `in (...)`"), "{error}");
        }
        let error = check_text(&many("select a, b from t", " union all ", 3_000)).unwrap_err();
        assert!(error.to_string().contains("`union`"), "{error}");
    }

    #[test]
    fn test_what_the_parser_would_read_again_and_again_is_refused() {
        for name in ["abs", "and", "\"f\""] {
            let sql = format!("select {}1{}", format!("{name}(").repeat(40), ")".repeat(40));
            assert!(check_text(&sql).unwrap_err().to_string().contains("nested"), "{sql}");
        }
        assert!(check_text(&format!("select {}", "f(".repeat(100_000))).is_err());
        assert!(check_text(&format!("select {}", "(".repeat(100_000))).is_err());
    }

    #[test]
    fn test_with_queries_count_each_time_that_they_are_named() {
        let doubled = |times: usize, from: &str| {
            let steps = (1..=times)
                .map(|step| format!(", T{step} as (select a.x from {})", from.replace('?', &(step - 1).to_string())));
            format!("with t0 as (select 1 as x){} select x from t{times} limit 1", steps.collect::<String>())
        };
        for from in ["t? a, t? b", "t? a join (select * from t?) b on true", "t? a where x in (select x from t?)"] {
            check(&doubled(6, from)).unwrap();
            for times in [12, 24, 200] {
                let error = check(&doubled(times, from)).expect_err(from);
                assert!(error.to_string().contains("1000 tables"), "{error}");
            }
            check(&format!("explain {}", doubled(24, from))).unwrap_err();
            check(&format!("copy ({}) to 'x.csv'", doubled(24, from))).unwrap_err();
        }
    }

    #[test]
    fn test_a_name_means_the_query_that_is_nearest() {
        let large = format!("select {} from t", many("(select 1 from t)", ", ", 20));
        let named = |times: usize, name: &str| many(&format!("select * from {name}"), " union all ", times);
        // Only where it is known, and not if it is a table of a schema.
        check(&format!("select * from (with w as ({large}) select * from w) v union all {}", named(100, "w"))).unwrap();
        check(&format!("with w as ({large}) {}", named(100, "s.w"))).unwrap();
        check(&format!("with w as ({large}), v as (with w as (select 1) {}) select * from v", named(100, "w")))
            .unwrap();
        check(&format!("with w as ({large}) {}", named(100, "w"))).unwrap_err();
        check(&format!("with w as ({large}) {}", named(100, "W"))).unwrap_err();
    }

    #[test]
    fn test_many_joined_tables_count_more_than_one_by_one() {
        check(&many("select * from t", " union all ", 500)).unwrap();
        check(&format!("select * from {}", many("t", ", ", 60))).unwrap();
        check(&format!("select * from {}", many("t", ", ", 100))).unwrap_err();
        check(&format!("select * from t {}", many("join t on true", " ", 100))).unwrap_err();
    }
}
