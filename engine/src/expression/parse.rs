//! Reads a segment file: a header of comment lines, then one condition.
//!
//! ```sql
//! -- title: Loyal customers in France
//! -- purpose: marketing
//! country = 'FR' and event_count('Order Completed', within => interval '90 days') >= 2
//! ```

pub(super) use datafusion::sql::sqlparser as sql_parser;

use self::sql_parser::dialect::PostgreSqlDialect;
use self::sql_parser::keywords::Keyword;
use self::sql_parser::parser::{Parser, ParserError};
use self::sql_parser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};
use super::check::Checker;
use super::{ColumnType, SegmentDefinition};
use crate::config::nearest::suggestion;
use crate::error::{EngineError, Result};

/// A person who writes more than this means data, not a rule.
const SEGMENT_BYTES_MAX: usize = 256 << 10;
/// Words, operators and brackets, but not the constants of an `in` list. Each `and` deepens the parser's tree by one
/// level, and dropping a deep tree needs stack.
const SEGMENT_TOKENS_MAX: usize = 1_000;
/// Words, operators and brackets around one constant or column. Checking and compiling an expression use the stack.
const NESTED_TOKENS_MAX: usize = 100;

const HEADER_KEYS: [&str; 3] = ["title", "purpose", "description"];

/// Parses and checks one segment. `name` is the file's name without its ending, `file` is what messages call it,
/// `columns` are those of `profile.profiles`.
///
/// Whether the segments that it refers to exist is for [`order`](fn@super::order) to find out.
///
/// # Errors
///
/// `InvalidInput` as `file:line:column: what is wrong, what is allowed`; positions count from 1, columns in characters.
pub(crate) fn parse_segment(
    name: &str,
    file: &str,
    text: &str,
    columns: &[(String, ColumnType)],
) -> Result<SegmentDefinition> {
    check_name(name, file)?;
    // Some editors begin a file with a mark that says how it is encoded.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > SEGMENT_BYTES_MAX {
        return Err(refused(file, Location::new(1, 1), "the segment is larger than 256 KiB; split it".to_owned()));
    }
    let header = read_header(file, text)?;
    let tokens = tokenize(file, text)?;
    let parsed = parse_expression(file, tokens)?;
    let expression = Checker::new(name, file, columns).check_condition(&parsed)?;
    let [title, purpose, description] = header.values;
    let sql = header.rest.trim();
    let sql = sql.strip_suffix(';').unwrap_or(sql).trim_end().to_owned();
    Ok(SegmentDefinition { name: name.to_owned(), file: file.to_owned(), title, purpose, description, sql, expression })
}

/// Makes the error of this language: `file:line:column: message`.
pub(super) fn refused(file: &str, at: Location, message: String) -> EngineError {
    EngineError::invalid(format!("{file}:{}:{}: {message}", at.line.max(1), at.column.max(1)))
}

/// Segment names become file names, partition values and parts of page tokens.
fn check_name(name: &str, file: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(EngineError::invalid(format!(
            "{file}: segment name `{name}` may hold only lower-case letters, digits, `_` and `-`; rename the file"
        )));
    }
    Ok(())
}

struct Header<'t> {
    /// In the order of `HEADER_KEYS`.
    values: [Option<String>; 3],
    /// What follows the header.
    rest: &'t str,
}

/// Reads the leading comment lines. `-- word: value` sets a key; other comments are only for people.
fn read_header<'t>(file: &str, text: &'t str) -> Result<Header<'t>> {
    let mut header = Header { values: [None, None, None], rest: text };
    let mut line_number = 0;
    while let Some((line, rest)) = first_line(header.rest) {
        line_number += 1;
        let trimmed = line.trim();
        if !trimmed.is_empty() {
            let Some(comment) = trimmed.strip_prefix("--") else {
                break;
            };
            if let Some((key, value)) = header_entry(comment) {
                set_header(&mut header.values, key, value)
                    .map_err(|message| refused(file, Location::new(line_number, 1), message))?;
            }
        }
        header.rest = rest;
    }
    Ok(header)
}

fn first_line(text: &str) -> Option<(&str, &str)> {
    if text.is_empty() { None } else { Some(text.split_once('\n').unwrap_or((text, ""))) }
}

/// `word: value`, if the comment has this form.
fn header_entry(comment: &str) -> Option<(&str, &str)> {
    let (key, value) = comment.split_once(':')?;
    let key = key.trim();
    let is_word = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    // `-- see https://...` has a colon, but no value after a blank.
    if is_word && !value.starts_with("//") { Some((key, value.trim())) } else { None }
}

fn set_header(values: &mut [Option<String>; 3], key: &str, value: &str) -> Result<(), String> {
    let slot = HEADER_KEYS.iter().zip(values.iter_mut()).find(|(known, _)| **known == key);
    let Some((_, slot)) = slot else {
        return Err(format!("unknown header `{key}`; {}", suggestion(key, HEADER_KEYS)));
    };
    if value.is_empty() {
        return Err(format!("header `{key}` is empty; write `-- {key}: ...` or remove the line"));
    }
    if slot.is_some() {
        return Err(format!("header `{key}` is given twice; keep one of them"));
    }
    *slot = Some(value.to_owned());
    Ok(())
}

fn tokenize(file: &str, text: &str) -> Result<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| refused(file, error.location, lower_first(&error.message)))?;
    check_size(file, &tokens)?;
    Ok(tokens)
}

/// Bounds the number of tokens and how deep they nest, before anything walks the tree that they make.
fn check_size(file: &str, tokens: &[TokenWithSpan]) -> Result<()> {
    let mut count = 0;
    // How many tokens surround the current one: in all, and within each open bracket.
    let mut nested = 0;
    let mut levels = vec![0_usize];
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::EOF => continue,
            // What stands on both sides of these does not nest.
            Token::Comma => nested -= levels.last_mut().map_or(0, std::mem::take),
            Token::Word(word) if matches!(word.keyword, Keyword::AND | Keyword::OR) => {
                nested -= levels.last_mut().map_or(0, std::mem::take);
                count += 1;
            }
            Token::RParen => {
                nested -= levels.pop().unwrap_or(0);
                count += 1;
            }
            other => {
                if let Some(level) = levels.last_mut() {
                    *level += 1;
                    nested += 1;
                }
                if *other == Token::LParen {
                    levels.push(0);
                }
                count += 1;
            }
        }
        if count > SEGMENT_TOKENS_MAX {
            let message = format!(
                "the expression has more than {SEGMENT_TOKENS_MAX} words and operators; use `in (...)` for many \
                 values, or split it into segments joined by `in_segment('name')`"
            );
            return Err(refused(file, token.span.start, message));
        }
        if nested > NESTED_TOKENS_MAX {
            let message = "the expression is nested too deeply; split it into segments joined by `in_segment('name')`";
            return Err(refused(file, token.span.start, message.to_owned()));
        }
    }
    Ok(())
}

fn parse_expression(file: &str, tokens: Vec<TokenWithSpan>) -> Result<sql_parser::ast::Expr> {
    let is_comment_or_blank = |token: &&TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    let first = tokens.iter().find(|token| !is_comment_or_blank(token));
    let comment = |token: &TokenWithSpan| {
        matches!(token.token, Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)))
    };
    match first {
        None | Some(TokenWithSpan { token: Token::EOF | Token::SemiColon, .. }) => {
            let end =
                tokens.iter().rfind(|token| !comment(token)).map_or(Location::new(1, 1), |token| token.span.start);
            let message = "the segment has no expression; write a condition such as `country = 'FR'`";
            return Err(refused(file, end, message.to_owned()));
        }
        Some(TokenWithSpan { token: Token::Word(word), span }) => {
            let keyword = word.value.to_lowercase();
            if word.quote_style.is_none() && matches!(keyword.as_str(), "select" | "with" | "where" | "from") {
                let message = format!("a segment is one condition over a profile; write it without `{keyword}`");
                return Err(refused(file, span.start, message));
            }
        }
        Some(_) => {}
    }

    let end =
        tokens.iter().rfind(|token| !is_comment_or_blank(token)).map_or(Location::new(1, 1), |token| token.span.end);
    let mut parser = Parser::new(&PostgreSqlDialect {}).with_tokens_with_locations(tokens);
    let expression = parser.parse_expr().map_err(|error| syntax_error(file, &error, end))?;
    let _ = parser.consume_token(&Token::SemiColon);
    let next = parser.peek_token();
    if next.token == Token::EOF {
        return Ok(expression);
    }
    let message = format!("`{}` follows a complete condition; join conditions with `and` or `or`", next.token);
    Err(refused(file, next.span.start, message))
}

/// The parser writes the position into its message; puts it in front, as everywhere else. Where there is none, the
/// parser missed something at the end.
fn syntax_error(file: &str, error: &ParserError, end: Location) -> EngineError {
    match error {
        ParserError::RecursionLimitExceeded => refused(
            file,
            Location::new(1, 1),
            "the expression is nested too deeply; split it into segments joined by `in_segment('name')`".to_owned(),
        ),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            let (message, at) = split_location(message).unwrap_or((message, end));
            refused(file, at, lower_first(message))
        }
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

#[cfg(test)]
mod tests;
