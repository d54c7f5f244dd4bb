//! Reads the files of traits: a header of comment lines, then one expression, which may name other traits.
//!
//! ```sql
//! -- title: Orders of the last quarter
//! -- type: integer
//! -- window: 90 days
//! event_count('Order Completed')
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::behavior::Window;
use super::check::{Checker, Scope, snippet};
use super::definition::{SourceFile, TraitDefinition};
use super::header::{Header, read_header};
use super::order::{Ranks, circle_message, next_in, ranks};
use super::parse::as_written;
use super::parse::sql_parser::ast::{Expr as SqlExpr, Ident};
use super::parse::sql_parser::tokenizer::Location;
use super::references::{KnownNames, references_in};
use super::search::{Node, measures_in, names_only, walk};
use super::syntax::{Kind, check_text, parse_sql, refused};
use super::text::needs_quotes;
use super::tree::{ColumnType, Expr};
use super::types::keyword;
use super::windows;
use crate::config::nearest::suggestion;
use crate::error::{EngineError, Result};

const HEADER_KEYS: [&str; 4] = ["title", "description", "type", "window"];
const TYPES: [(&str, ColumnType); 8] = [
    ("text", ColumnType::Text),
    ("integer", ColumnType::Integer),
    ("bigint", ColumnType::Integer),
    ("decimal", ColumnType::Decimal),
    ("boolean", ColumnType::Boolean),
    ("date", ColumnType::Date),
    ("timestamp", ColumnType::Timestamp),
    ("list", ColumnType::Texts),
];

/// What is told under names of columns although profiles have no such column: nobody would reach a trait of that name there.
const TOLD_OTHERWISE: [(&str, &str); 2] = [
    ("touchpoint", "where people are divided by columns, it is where they did something"),
    ("entered_at", "where members are exported, it is since when they are in the segment"),
];

/// What the file of a trait says before its expression is checked.
#[derive(Debug, Clone)]
pub(crate) struct TraitHeader {
    /// As [`TraitDefinition`] has it.
    pub(crate) title: Option<String>,
    /// As [`TraitDefinition`] has it.
    pub(crate) description: Option<String>,
    /// The window of figures that give none, as written.
    pub(crate) window: Option<String>,
    /// As [`TraitDefinition`] has it.
    pub(crate) sql: String,
}

/// Reads what needs no column of profiles.
///
/// # Errors
///
/// As [`parse_traits`], for the header.
pub(crate) fn read_trait_header(source: &SourceFile) -> Result<TraitHeader> {
    let text = check_text(Kind::Trait, &source.file, &source.text)?;
    let header = read_header(text);
    header.check(&source.file, &HEADER_KEYS)?;
    let [title, description, window] = ["title", "description", "window"].map(|key| header.text(key));
    Ok(TraitHeader { title, description, window, sql: as_written(header.rest) })
}

/// Parses and checks all traits. `columns` are those that profiles have without traits. Each definition comes after the
/// traits that it names; ties go by name.
///
/// # Errors
///
/// `InvalidInput` with a line for each problem, as `file:line:column: what is wrong, what is allowed`. Of traits that
/// name a wrong one nothing is said: whether they are right is not known yet.
pub(crate) fn parse_traits(files: &[SourceFile], columns: &[(String, ColumnType)]) -> Result<Vec<TraitDefinition>> {
    checked(files, columns, |found, known, is_ready| is_ready.then(|| check_trait(found, known)).transpose())
}

/// Reads traits, and checks each by `check`, after those that it names: against the columns that are known by then, told whether
/// all of those are right. Those of which nothing comes are left out.
fn checked(
    files: &[SourceFile],
    columns: &[(String, ColumnType)],
    check: impl Fn(&ReadTrait<'_>, &[(String, ColumnType)], bool) -> Result<Option<TraitDefinition>>,
) -> Result<Vec<TraitDefinition>> {
    let mut problems: Vec<String> = Vec::new();
    let mut read: BTreeMap<&str, ReadTrait<'_>> = BTreeMap::new();
    for source in files {
        match read_trait(source, columns) {
            Ok(found) => match read.insert(&source.name, found) {
                None => {}
                Some(_) => problems
                    .push(format!("{}: trait `{}` is defined twice; rename one of them", source.file, source.name)),
            },
            Err(error) => problems.push(error.to_string()),
        }
    }
    let named: BTreeMap<&str, Vec<(&str, Location)>> =
        read.iter().map(|(name, found)| (*name, named_in(&found.parsed, files, columns))).collect();
    let needs = needs(files, &named);
    let Ranks { ranks, circles } = ranks(&needs);
    for circle in &circles {
        let first = circle.first().and_then(|first| Some((read.get(first)?, named.get(first)?)));
        let Some((found, named)) = first else { continue };
        let next = named.iter().find(|(name, _)| Some(*name) == next_in(circle));
        problems.extend(next.map(|(_, at)| circle_message("traits", &found.source.file, *at, circle)));
    }

    let mut ordered: Vec<&ReadTrait<'_>> = read.values().collect();
    ordered.sort_by_key(|found| ranks.get(found.source.name.as_str()));
    let mut known = columns.to_vec();
    let mut definitions: Vec<TraitDefinition> = Vec::new();
    for found in ordered {
        let name = found.source.name.as_str();
        let is_typed = |needed: &&str| definitions.iter().any(|definition| definition.name == **needed);
        // Another one waits for a wrong trait, or for itself.
        let is_ready = needs.get(name).into_iter().flatten().all(is_typed);
        match check(found, &known, is_ready) {
            Ok(None) => {}
            Ok(Some(definition)) => {
                known.push((definition.name.clone(), definition.column_type));
                definitions.push(definition);
            }
            Err(error) => problems.push(error.to_string()),
        }
    }
    if problems.is_empty() { Ok(definitions) } else { Err(EngineError::invalid(problems.join("\n"))) }
}

impl SourceFile {
    /// Checks traits as far as it shows without any data, and returns those that are right. `columns` are those that profiles
    /// always have: what else one names may be an attribute, and then only its figures are checked.
    ///
    /// # Errors
    ///
    /// As [`parse_traits`].
    pub(crate) fn check_traits(files: &[Self], columns: &[(String, ColumnType)]) -> Result<Vec<TraitDefinition>> {
        checked(files, columns, |found, known, _| match names_only(&found.parsed, known) {
            true => check_trait(found, known).map(Some),
            false => measures_in(&found.source.text, &found.source.file).map(|_| None),
        })
    }
}

/// Refuses traits that name something that there is not.
///
/// # Errors
///
/// `InvalidInput` as [`parse_traits`], with a line for each call.
pub(crate) fn check_trait_names(definitions: &[TraitDefinition], known: &KnownNames) -> Result<()> {
    let of = |it: &TraitDefinition| known.mistakes(&it.file, &it.name, &it.references);
    let mistakes: Vec<String> = definitions.iter().flat_map(of).collect();
    if mistakes.is_empty() { Ok(()) } else { Err(EngineError::invalid(mistakes.join("\n"))) }
}

/// A trait's file, read but not yet checked.
struct ReadTrait<'s> {
    source: &'s SourceFile,
    header: Header<'s>,
    window: Option<Window>,
    declared: Option<ColumnType>,
    parsed: SqlExpr,
}

fn read_trait<'s>(source: &'s SourceFile, columns: &[(String, ColumnType)]) -> Result<ReadTrait<'s>> {
    let SourceFile { name, file, text } = source;
    check_name(name, file)?;
    if columns.iter().any(|(column, _)| column.eq_ignore_ascii_case(name)) {
        let message = format!("{file}: profiles have a column `{name}` already; rename the file");
        return Err(EngineError::invalid(message));
    }
    let text = check_text(Kind::Trait, file, text)?;
    let header = read_header(text);
    header.check(file, &HEADER_KEYS)?;
    let window = window_of(file, &header)?;
    let declared = type_of(file, &header)?;
    let parsed = parse_sql(Kind::Trait, file, text)?;
    Ok(ReadTrait { source, header, window, declared, parsed })
}

/// Trait names become columns, so nobody shall need quotes to write one.
fn check_name(name: &str, file: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if let Some((_, told)) = TOLD_OTHERWISE.iter().find(|(told, _)| *told == name) {
        return Err(EngineError::invalid(format!("{file}: no trait is called `{name}`: {told}; rename the file")));
    }
    let is_start = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if is_start && name.bytes().all(allowed) {
        return if needs_quotes(name) {
            Err(EngineError::invalid(format!("{file}: `{name}` is a word of the language; rename the file")))
        } else {
            Ok(())
        };
    }
    Err(EngineError::invalid(format!(
        "{file}: trait name `{name}` may hold only lower-case letters, digits and `_`, and begins with a letter; rename \
         the file"
    )))
}

/// The window in a header.
pub(super) fn window_of(file: &str, header: &Header<'_>) -> Result<Option<Window>> {
    let Some(text) = header.get("window") else { return Ok(None) };
    let read = windows::in_words(text);
    let read = read.map_err(|message| refused(file, header.place("window"), format!("header `window`: {message}")));
    Ok(Some(read?))
}

fn type_of(file: &str, header: &Header<'_>) -> Result<Option<ColumnType>> {
    let Some(text) = header.get("type") else { return Ok(None) };
    match TYPES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)) {
        Some((_, column_type)) => Ok(Some(*column_type)),
        None => {
            let hint = suggestion(text, TYPES.iter().map(|(name, _)| *name));
            Err(refused(file, header.place("type"), format!("there is no type `{text}`; {hint}")))
        }
    }
}

/// The traits that an expression names as columns, right or wrong ones, and where, in the order of the text.
fn named_in<'s>(
    parsed: &SqlExpr,
    files: &'s [SourceFile],
    columns: &[(String, ColumnType)],
) -> Vec<(&'s str, Location)> {
    let named = |ident: &Ident| {
        let is_column = columns.iter().any(|(column, _)| *column == ident.value);
        let is_meant = |name: &str| match ident.quote_style {
            Some(_) => name == ident.value,
            None => name.eq_ignore_ascii_case(&ident.value),
        };
        let found = files.iter().map(|source| source.name.as_str()).find(|name| is_meant(name));
        found.filter(|_| !is_column)
    };
    let mut found = Vec::new();
    walk(parsed, &mut |node| {
        if let Node::Name(ident) = node {
            found.extend(named(ident).map(|name| (name, ident.span.start)));
        }
    });
    found
}

/// For each trait, the traits that it names. Of a wrong one that is not known.
fn needs<'s>(
    files: &'s [SourceFile],
    named: &BTreeMap<&'s str, Vec<(&'s str, Location)>>,
) -> BTreeMap<&'s str, BTreeSet<&'s str>> {
    let of = |name: &str| named.get(name).into_iter().flatten().map(|(named, _)| *named).collect();
    files.iter().map(|source| (source.name.as_str(), of(&source.name))).collect()
}

fn check_trait(found: &ReadTrait<'_>, columns: &[(String, ColumnType)]) -> Result<TraitDefinition> {
    let ReadTrait { source: SourceFile { name, file, .. }, header, window, declared, parsed } = found;
    let checker = Checker::new(Scope::Trait, name, file, columns).with_window(window.unwrap_or(Window::Ever));
    let (expression, own_type) = match checker.expression(parsed)? {
        (expression, Some(own_type)) => (expression, own_type),
        (_, None) => {
            return checker.refuse(parsed, format!("{} is an interval, not a value", snippet(parsed)));
        }
    };
    let column_type = declared.unwrap_or(own_type);
    let expression = match (own_type, column_type) {
        (own_type, declared) if own_type == declared => expression,
        (ColumnType::Integer, ColumnType::Decimal) => Expr::Cast { expr: Box::new(expression), to: column_type },
        (own_type, declared) => {
            let (own_type, declared) = (keyword(own_type), keyword(declared));
            let message = format!(
                "the expression is of type {own_type}, but `type` says {declared}; write `-- type: {own_type}`, or \
                 change the expression"
            );
            return Err(refused(file, header.place("type"), message));
        }
    };
    Ok(TraitDefinition {
        name: name.clone(),
        file: file.clone(),
        title: header.text("title"),
        description: header.text("description"),
        column_type,
        window: *window,
        sql: as_written(header.rest),
        expression,
        references: references_in(parsed),
    })
}

#[cfg(test)]
mod tests;
