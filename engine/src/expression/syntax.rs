//! From text to the SQL parser's tree, within bounds of size and depth.

use super::functions::{Family, family};
use super::parse::sql_parser::ast::Expr as SqlExpr;
use super::parse::sql_parser::dialect::PostgreSqlDialect;
use super::parse::sql_parser::keywords::Keyword;
use super::parse::sql_parser::parser::{Parser, ParserError};
use super::parse::sql_parser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};
use super::sequences::USAGE as STEPS_USAGE;
use crate::error::{EngineError, Result};

/// A person who writes more than this means data, not a rule.
pub(super) const FILE_BYTES_MAX: usize = 256 << 10;
/// Words, operators and brackets, but not the constants of an `in` list. Each `and` deepens the parser's tree by one
/// level, and dropping a deep tree needs stack.
const TOKENS_MAX: usize = 1_000;
/// Words, operators and brackets around one constant or column. Checking and compiling an expression use the stack.
const NESTED_TOKENS_MAX: usize = 100;
/// Calls inside the arguments of calls. The parser reads each argument twice, first as the name of one, and so the innermost
/// a power of two times.
const NESTED_CALLS_MAX: usize = 12;
/// Of a quote that is not closed, shown in a message.
const QUOTED_MAX: usize = 20;
/// Before an opening bracket that is no call's.
const NO_FUNCTIONS: [Keyword; 9] = [
    Keyword::AND,
    Keyword::OR,
    Keyword::NOT,
    Keyword::IN,
    Keyword::BETWEEN,
    Keyword::CASE,
    Keyword::WHEN,
    Keyword::THEN,
    Keyword::ELSE,
];

/// What a file defines, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A segment.
    Segment,
    /// A trait.
    Trait,
    /// One of both: not known, or the same to say of both.
    File,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Segment => "segment",
            Kind::Trait => "trait",
            Kind::File => "file",
        }
    }

    fn split(self) -> &'static str {
        match self {
            Kind::Segment => "split it into segments joined by `in_segment('name')`",
            Kind::Trait => "split it into traits, which name each other as columns",
            Kind::File => "split it",
        }
    }

    fn example(self) -> &'static str {
        match self {
            Kind::Segment => "write a condition such as `country = 'FR'`",
            Kind::Trait => "write one such as `event_count('Order Completed')`",
            Kind::File => "write one",
        }
    }

    fn complete(self) -> &'static str {
        match self {
            Kind::Segment => "a complete condition; join conditions with `and` or `or`",
            Kind::Trait | Kind::File => "a complete expression; write one expression",
        }
    }

    fn one_expression(self) -> &'static str {
        match self {
            Kind::Segment => "a segment is one condition over a profile",
            Kind::Trait => "a trait is one expression over a profile",
            Kind::File => "a file is one expression over a profile",
        }
    }
}

/// Makes the error of this language: `file:line:column: message`.
pub(super) fn refused(file: &str, at: Location, message: impl Into<String>) -> EngineError {
    EngineError::invalid(format!("{file}:{}:{}: {}", at.line.max(1), at.column.max(1), message.into()))
}

/// Some editors begin a file with a mark that says how it is encoded: takes it away. Refuses files that are too large.
pub(super) fn check_text<'t>(kind: Kind, file: &str, text: &'t str) -> Result<&'t str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the {} is larger than 256 KiB; split it", kind.word());
        return Err(refused(file, Location::new(1, 1), message));
    }
    Ok(text)
}

/// Parses the one expression of a file.
pub(super) fn parse_sql(kind: Kind, file: &str, text: &str) -> Result<SqlExpr> {
    let mut tokens = Tokenizer::new(&PostgreSqlDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| refused(file, error.location, untokenized(&error.message, text, error.location)))?;
    check_arguments(file, &tokens)?;
    separate_steps(file, &mut tokens)?;
    check_size(kind, file, &tokens)?;
    check_conjunctions(file, &tokens)?;
    parse_expression(kind, file, tokens)
}

/// What the tokenizer cannot read; of a quote that is not closed, which one it is.
fn untokenized(message: &str, text: &str, at: Location) -> String {
    let is_open = ["Unterminated string literal", "Expected close delimiter"].iter().any(|of| message.starts_with(of));
    let place = (usize::try_from(at.line.saturating_sub(1)), usize::try_from(at.column.saturating_sub(1)));
    let (true, (Ok(line), Ok(column))) = (is_open, place) else { return lower_first(message) };
    let begins: String = text.lines().nth(line).unwrap_or_default().chars().skip(column).take(QUOTED_MAX).collect();
    let quote = begins.chars().next().unwrap_or('\'');
    format!(
        "the quote that begins `{begins}` is not closed; write `{quote}` at its end, and twice for one inside of it"
    )
}

/// Refuses names of events without quotes, and windows without `=>`: the parser would only miss a bracket after their first word.
fn check_arguments(file: &str, tokens: &[TokenWithSpan]) -> Result<()> {
    let told: Vec<&TokenWithSpan> = tokens.iter().filter(|token| !is_blank(token)).collect();
    for (index, token) in told.iter().enumerate() {
        let following = told.get(index + 1..).unwrap_or_default();
        let before = index.checked_sub(1).and_then(|before| told.get(before));
        let message = match &token.token {
            Token::LParen if before.is_some_and(|call| takes_event(&call.token)) => unquoted_event(following),
            Token::Comma => unnamed_window(following),
            _ => None,
        };
        if let (Some(message), Some(first)) = (message, following.first()) {
            return Err(refused(file, first.span.start, message));
        }
    }
    Ok(())
}

/// What to write instead of `Order Completed`; `None` if no such words begin the arguments.
fn unquoted_event(arguments: &[&TokenWithSpan]) -> Option<String> {
    let word = |token: &&TokenWithSpan| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.clone()),
        _ => None,
    };
    let words: Vec<String> = arguments.iter().map_while(word).collect();
    let is_other = |word: &String| ["not", "then", "case", "distinct"].iter().any(|it| word.eq_ignore_ascii_case(it));
    let is_name = words.len() > 1 && !words.iter().any(is_other);
    is_name.then(|| format!("the name of an event stands in single quotes: '{}'", words.join(" ")))
}

/// What to write instead of `within 30 days` or `within interval '30 days'`.
fn unnamed_window(arguments: &[&TokenWithSpan]) -> Option<String> {
    let [name, value, ..] = arguments else { return None };
    let begins_interval =
        matches!(&value.token, Token::Number(..) | Token::SingleQuotedString(_)) || is_word(&value.token, "interval");
    let name = ["within", "ago", "span"].into_iter().find(|known| is_word(&name.token, known))?;
    begins_interval.then(|| format!("`=>` follows `{name}`: write `{name} => interval '30 days'`"))
}

/// Whether it is a function whose first argument is the name of an event.
fn takes_event(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            let family = family(&word.value.to_lowercase());
            matches!(family, Some(Family::Measure | Family::Sequence | Family::Step))
        }
        _ => false,
    }
}

/// SQL has no `'A' then 'B'`: inside the brackets of `did_sequence`, and not deeper, a `then` becomes a comma. Refuses what the
/// parser would call a misplaced comma where nobody wrote one, and commas that stand for `then`.
fn separate_steps(file: &str, tokens: &mut [TokenWithSpan]) -> Result<()> {
    // For each open bracket, whether it is one of `did_sequence`.
    let mut brackets: Vec<bool> = Vec::new();
    let mut separators = Vec::new();
    let mut before: Option<&TokenWithSpan> = None;
    for (index, token) in tokens.iter().enumerate().filter(|(_, token)| !is_blank(token)) {
        let (is_among_steps, last) = (brackets.last() == Some(&true), before.map(|before| &before.token));
        match (&token.token, before) {
            (Token::LParen, _) => brackets.push(last.is_some_and(|last| is_word(last, "did_sequence"))),
            (Token::RParen, _) => drop(brackets.pop()),
            (_, Some(comma)) if is_among_steps && comma.token == Token::Comma && begins_step(&token.token) => {
                let message = format!("steps are joined by `then`, not by a comma; {STEPS_USAGE}");
                return Err(refused(file, comma.span.start, message));
            }
            (then, _) if is_among_steps && is_word(then, "then") => {
                if last.is_some_and(|last| !ends_step(last)) {
                    let message = format!("there is no step before `then`; {STEPS_USAGE}");
                    return Err(refused(file, token.span.start, message));
                }
                separators.push(index);
            }
            _ => {}
        }
        before = Some(token);
    }
    for separator in separators {
        tokens[separator].token = Token::Comma;
    }
    Ok(())
}

/// Whether it is a word, without quotes around it.
fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(it) if it.quote_style.is_none() && it.value.eq_ignore_ascii_case(word))
}

fn begins_step(token: &Token) -> bool {
    matches!(token, Token::SingleQuotedString(_)) || is_word(token, "event") || is_word(token, "not")
}

fn ends_step(token: &Token) -> bool {
    !matches!(token, Token::LParen | Token::Comma) && !is_word(token, "then") && !is_word(token, "not")
}

/// How many tokens surround the current one.
struct Nesting {
    /// In all.
    count: usize,
    /// Within each open bracket, or `case`, and what opened it.
    levels: Vec<(usize, Opening)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    Bracket,
    /// The bracket of a call.
    Call,
    Case,
}

impl Nesting {
    fn deeper(&mut self) {
        if let Some((tokens, _)) = self.levels.last_mut() {
            *tokens += 1;
            self.count += 1;
        }
    }

    /// What stands on both sides of a comma or an `and` does not nest.
    fn next(&mut self) {
        self.count -= self.levels.last_mut().map_or(0, |(tokens, _)| std::mem::take(tokens));
    }

    fn open(&mut self, opening: Opening) {
        self.deeper();
        self.levels.push((0, opening));
    }

    /// `end` closes a `case` and no bracket, whatever a wrong text says: or nesting could be hidden.
    fn close(&mut self, is_end: bool) {
        let is_open = |(_, opening): &(usize, Opening)| (*opening == Opening::Case) == is_end;
        if !self.levels.last().is_some_and(is_open) {
            return self.deeper();
        }
        self.next();
        // One closing bracket too many is for the parser to refuse.
        if self.levels.len() > 1 {
            self.levels.pop();
        }
    }

    fn calls(&self) -> usize {
        self.levels.iter().filter(|(_, opening)| *opening == Opening::Call).count()
    }
}

/// Bounds the number of tokens and how deep they nest, before anything walks the tree that they make.
fn check_size(kind: Kind, file: &str, tokens: &[TokenWithSpan]) -> Result<()> {
    let mut count = 0;
    let mut nesting = Nesting { count: 0, levels: vec![(0, Opening::Bracket)] };
    let mut is_after_name = false;
    for token in tokens {
        count += 1;
        match &token.token {
            Token::Whitespace(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::EOF => {
                count -= 1;
                continue;
            }
            Token::Comma => {
                count -= 1;
                nesting.next();
            }
            Token::Word(word) => match word.keyword {
                Keyword::AND | Keyword::OR | Keyword::WHEN | Keyword::THEN | Keyword::ELSE => nesting.next(),
                Keyword::CASE => nesting.open(Opening::Case),
                Keyword::END => nesting.close(true),
                _ => nesting.deeper(),
            },
            Token::RParen => nesting.close(false),
            Token::LParen => nesting.open(if is_after_name { Opening::Call } else { Opening::Bracket }),
            _ => nesting.deeper(),
        }
        if count > TOKENS_MAX {
            let message = format!(
                "the expression has more than {TOKENS_MAX} words and operators; use `in (...)` for many values, or {}",
                kind.split()
            );
            return Err(refused(file, token.span.start, message));
        }
        is_after_name = matches!(&token.token, Token::Word(word) if !NO_FUNCTIONS.contains(&word.keyword));
        if nesting.count > NESTED_TOKENS_MAX || nesting.calls() > NESTED_CALLS_MAX {
            return Err(refused(file, token.span.start, too_deep(kind)));
        }
    }
    Ok(())
}

fn too_deep(kind: Kind) -> String {
    format!("the expression is nested too deeply; {}", kind.split())
}

/// Refuses an `and` or `or` with nothing before it. The parser would take it for a name, and find fault with what follows.
fn check_conjunctions(file: &str, tokens: &[TokenWithSpan]) -> Result<()> {
    let mut before: Option<&Token> = None;
    for TokenWithSpan { token, span } in tokens.iter().filter(|token| !is_blank(token)) {
        let is_beginning = match before {
            None | Some(Token::LParen | Token::Comma) => true,
            Some(before) => ["and", "or", "not", "case", "where"].iter().any(|word| is_word(before, word)),
        };
        if let Some(word) = ["and", "or"].iter().find(|word| is_beginning && is_word(token, word)) {
            let message = format!("there is nothing before `{word}`; write a condition there, or remove `{word}`");
            return Err(refused(file, span.start, message));
        }
        before = Some(token);
    }
    Ok(())
}

fn parse_expression(kind: Kind, file: &str, tokens: Vec<TokenWithSpan>) -> Result<SqlExpr> {
    check_start(kind, file, &tokens)?;
    let end = tokens.iter().rfind(|token| !is_blank(token)).map_or(Location::new(1, 1), |token| token.span.end);
    let mut parser = Parser::new(&PostgreSqlDialect {}).with_tokens_with_locations(tokens);
    let expression = parser.parse_expr().map_err(|error| syntax_error(kind, file, &error, end))?;
    let _ = parser.consume_token(&Token::SemiColon);
    let next = parser.peek_token();
    if next.token == Token::EOF {
        return Ok(expression);
    }
    let token = next.token.to_string();
    Err(refused(file, next.span.start, format!("`{token}` follows {}{}", kind.complete(), hint(&token))))
}

fn is_blank(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// Refuses files without an expression, and those that begin like a query.
fn check_start(kind: Kind, file: &str, tokens: &[TokenWithSpan]) -> Result<()> {
    let comment = |token: &TokenWithSpan| {
        matches!(token.token, Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)))
    };
    match tokens.iter().find(|token| !is_blank(token)) {
        None | Some(TokenWithSpan { token: Token::EOF | Token::SemiColon, .. }) => {
            let end =
                tokens.iter().rfind(|token| !comment(token)).map_or(Location::new(1, 1), |token| token.span.start);
            Err(refused(file, end, format!("the {} has no expression; {}", kind.word(), kind.example())))
        }
        Some(TokenWithSpan { token: Token::Word(word), span }) => {
            let keyword = word.value.to_lowercase();
            if word.quote_style.is_none() && matches!(keyword.as_str(), "select" | "with" | "where" | "from") {
                let message = format!("{}; write it without `{keyword}`", kind.one_expression());
                return Err(refused(file, span.start, message));
            }
            Ok(())
        }
        Some(_) => Ok(()),
    }
}

/// The parser writes the position into its message; puts it in front, as everywhere else. Where there is none, the
/// parser missed something at the end.
fn syntax_error(kind: Kind, file: &str, error: &ParserError, end: Location) -> EngineError {
    match error {
        ParserError::RecursionLimitExceeded => refused(file, Location::new(1, 1), too_deep(kind)),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            let (message, at) = split_location(message).unwrap_or((message, end));
            let found = message.rsplit_once("found: ").map_or("", |(_, found)| found);
            refused(file, at, lower_first(message) + hint(found))
        }
    }
}

/// What to write instead, where something stands that many would write there.
fn hint(found: &str) -> &'static str {
    match found.to_lowercase().as_str() {
        "where" => {
            "; `filter (where ...)` follows the brackets of a call: `event_count('A') filter (where ...)`, and as a step of a \
             sequence `event('A') filter (where ...)`"
        }
        "minute" | "minutes" | "hour" | "hours" | "day" | "days" | "week" | "weeks" | "month" | "months" | "year"
        | "years" => "; a span of time is written `interval '90 days'`",
        "[" => "; a list stands in round brackets: `in ('FR', 'DE')`",
        _ => "",
    }
}

fn split_location(message: &str) -> Option<(&str, Location)> {
    let (message, position) = message.rsplit_once(" at Line: ")?;
    let (line, column) = position.split_once(", Column: ")?;
    Some((message, Location::new(line.parse().ok()?, column.parse().ok()?)))
}

fn lower_first(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}
