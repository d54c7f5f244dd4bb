//! One model: its header and its query.
//!
//! ```sql
//! -- What the table holds, in words.
//! --
//! -- key: profile_id
//! -- strategy: merge
//! -- replaces: select profile_id from identity.touched_profiles
//! -- columns:
//! --   profile_id  text    the profile
//! select ...
//! ```
//!
//! Lines between `-- if incremental` and `-- end` count only when the model runs on what is new since the last
//! generation, lines between `-- if full` and `-- end` only when everything is computed anew. `new.<schema>.<table>` is
//! what this refresh added to a table, `previous.<schema>.<table>` is the table of the last generation; when everything is
//! computed anew, the former is the whole table and the latter may not be named, so it stands between those lines. So one
//! text serves both, and a full refresh is an incremental one that starts from nothing. A history compares generations:
//! `last.<schema>.<table>` is the table of the last generation on every refresh, without rows before the first.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::TableReference;
use datafusion::sql::parser::Statement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::visit_relations_mut;

use super::types;
use crate::error::{EngineError, Result};
use crate::query::bounds;
use crate::store::TableName;

/// How a table is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Not kept: computed when read.
    View,
    /// Written anew whenever something that it reads changed.
    Full,
    /// Written anew by each refresh from what that refresh works on: what later models of the same run need.
    Step,
    /// As a step, but only of incremental refreshes: empty after a full one.
    Scratch,
    /// The query's rows are added.
    Append,
    /// The query's rows are added, and stay when everything is computed anew: what happened from one generation to the
    /// next.
    History,
    /// The query's rows are added; readers aggregate over all rows of a key. Compacted now and then.
    Fold,
    /// The query's rows replace those of the same key, or those that `replaces` selects.
    Merge,
}

/// A column as the header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnContract {
    /// Its name.
    pub(crate) name: String,
    /// Its type's name, one of [`types::NAMES`].
    pub(crate) type_name: String,
    /// Its Arrow type.
    pub(crate) data_type: DataType,
    /// What it holds.
    pub(crate) description: String,
}

/// A SQL model.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// `schema.table`, from the file's place.
    pub(crate) name: TableName,
    /// Where the file is, for messages.
    pub(crate) file: String,
    /// What the table holds, in words.
    pub(crate) purpose: String,
    /// How it is kept.
    pub(crate) strategy: Strategy,
    /// Columns that identify a row.
    pub(crate) key: Vec<String>,
    /// Aggregates that fold rows of one key, such as `sum(event_count)`.
    pub(crate) folds: Vec<String>,
    /// A query for the keys of earlier rows that go.
    pub(crate) replaces: Option<String>,
    /// Columns of which nearly every value differs.
    pub(crate) unique: Vec<String>,
    /// Columns by contract; empty when the header lists none.
    pub(crate) columns: Vec<ColumnContract>,
    /// The whole text: header and query.
    text: String,
}

impl Model {
    /// Reads a model.
    ///
    /// # Errors
    /// InvalidInput with file and line for a header or a query that cannot be read.
    pub(crate) fn parse(name: TableName, file: &str, text: &str) -> Result<Self> {
        let mut model = Self {
            name,
            file: file.to_owned(),
            purpose: String::new(),
            strategy: Strategy::Full,
            key: Vec::new(),
            folds: Vec::new(),
            replaces: None,
            unique: Vec::new(),
            columns: Vec::new(),
            text: text.to_owned(),
        };
        let mut in_columns = false;
        for (index, line) in text.lines().enumerate() {
            let Some(comment) = line.strip_prefix("--") else { break };
            model.header_line(index + 1, comment.strip_prefix(' ').unwrap_or(comment), &mut in_columns)?;
        }
        model.purpose = model.purpose.trim().to_owned();
        model.check_header()?;
        model.statement(true)?;
        model.statement(false)?;
        Ok(model)
    }

    /// The same model, of another table.
    pub(crate) fn named(&self, name: TableName) -> Self {
        Self { name, ..self.clone() }
    }

    fn header_line(&mut self, number: usize, line: &str, in_columns: &mut bool) -> Result<()> {
        if *in_columns && line.starts_with("  ") {
            return self.column_line(number, line);
        }
        let list =
            |value: &str| value.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
        match line.split_once(':') {
            Some(("key", value)) => self.key = list(value),
            Some(("strategy", value)) => self.strategy = self.strategy_named(number, value.trim())?,
            Some(("fold", value)) => self.folds = list(value),
            Some(("replaces", value)) => self.replaces = Some(value.trim().to_owned()),
            Some(("unique", value)) => self.unique = list(value),
            Some(("columns", "")) => *in_columns = true,
            _ => {
                self.purpose.push_str(line);
                self.purpose.push('\n');
            }
        }
        Ok(())
    }

    fn column_line(&mut self, number: usize, line: &str) -> Result<()> {
        let mut words = line.split_whitespace();
        let (Some(name), Some(type_name)) = (words.next(), words.next()) else {
            return Err(self.error(number, "a column line says name, type and meaning"));
        };
        let data_type = types::arrow_type(type_name).ok_or_else(|| {
            self.error(
                number,
                format!("column `{name}` has the unknown type `{type_name}`: use one of {}", types::NAMES.join(", ")),
            )
        })?;
        let description = words.collect::<Vec<_>>().join(" ");
        self.columns.push(ColumnContract {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            data_type,
            description,
        });
        Ok(())
    }

    fn strategy_named(&self, number: usize, name: &str) -> Result<Strategy> {
        Ok(match name {
            "view" => Strategy::View,
            "full" => Strategy::Full,
            "step" => Strategy::Step,
            "scratch" => Strategy::Scratch,
            "append" => Strategy::Append,
            "history" => Strategy::History,
            "fold" => Strategy::Fold,
            "merge" => Strategy::Merge,
            other => {
                return Err(self.error(
                    number,
                    format!(
                        "unknown strategy `{other}`: use view, full, step, scratch, append, history, fold or merge"
                    ),
                ));
            }
        })
    }

    fn check_header(&self) -> Result<()> {
        if self.strategy == Strategy::Merge && self.key.is_empty() {
            return Err(self.error(1, "strategy `merge` needs a `-- key:` line"));
        }
        if self.strategy == Strategy::Fold && (self.key.is_empty() || self.folds.is_empty()) {
            return Err(self.error(1, "strategy `fold` needs a `-- key:` and a `-- fold:` line"));
        }
        if self.strategy == Strategy::History && self.columns.is_empty() {
            return Err(self.error(1, "strategy `history` needs `-- columns:`"));
        }
        if let Some(column) = self
            .key
            .iter()
            .find(|column| !self.columns.is_empty() && !self.columns.iter().any(|known| &known.name == *column))
        {
            return Err(self.error(1, format!("key column `{column}` is not among the columns")));
        }
        Ok(())
    }

    /// The query, as it runs on everything or only on what is new.
    pub(crate) fn sql(&self, incremental: bool) -> String {
        counting_lines(&self.text, incremental)
    }

    /// The schema that the header promises, or `None` when it lists no columns.
    pub(crate) fn schema(&self) -> Option<Schema> {
        if self.columns.is_empty() {
            return None;
        }
        Some(Schema::new(
            self.columns
                .iter()
                .map(|column| Field::new(&column.name, column.data_type.clone(), true))
                .collect::<Vec<_>>(),
        ))
    }

    /// The query that folds all rows of a key into one.
    pub(crate) fn fold_sql(&self) -> String {
        let key = self.key.join(", ");
        let folds: Vec<String> = self.folds.iter().map(|fold| format!("{fold} as {}", fold_column(fold))).collect();
        format!("select {key}, {} from {} group by {key}", folds.join(", "), self.name)
    }

    /// What the model reads, be it on everything or only on what is new.
    pub(crate) fn references(&self) -> Result<BTreeSet<Reference>> {
        let mut references = references_of(&self.statement(true)?)?;
        references.extend(references_of(&self.statement(false)?)?);
        if let Some(replaces) = &self.replaces {
            references.extend(references_in(replaces).map_err(|error| self.error(1, error))?);
        }
        Ok(references)
    }

    fn statement(&self, incremental: bool) -> Result<Statement> {
        bounds::parsed(&self.sql(incremental)).map_err(|error| EngineError::invalid(format!("{}: {error}", self.file)))
    }

    /// An error at a line of the file.
    pub(crate) fn error(&self, line: usize, message: impl std::fmt::Display) -> EngineError {
        EngineError::invalid(format!("{}:{line}: {message}", self.file))
    }
}

fn fold_column(fold: &str) -> &str {
    fold.split_once('(').map_or(fold, |(_, rest)| rest.trim_end_matches(')'))
}

/// Which rows of a table a model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slice {
    /// All, as this refresh leaves them.
    Current,
    /// Those that this refresh added.
    New,
    /// All, as the last generation had them; only on an incremental refresh.
    Previous,
    /// All, as the last generation had them, on a full refresh too; none before the first.
    Last,
}

impl Slice {
    /// True for what the last generation holds: it is there before any model runs.
    pub(crate) fn is_earlier(self) -> bool {
        matches!(self, Self::Previous | Self::Last)
    }
}

/// A table that a model reads, and which rows of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    /// The table.
    pub(crate) name: TableName,
    /// Its rows.
    pub(crate) slice: Slice,
}

/// The lines of a query that count when it runs only on what is new, or on everything.
pub(crate) fn counting_lines(text: &str, incremental: bool) -> String {
    let mut is_left_out = false;
    let mut sql = String::with_capacity(text.len());
    for line in text.lines() {
        match line.trim() {
            "-- if incremental" => is_left_out = !incremental,
            "-- if full" => is_left_out = incremental,
            "-- end" => is_left_out = false,
            _ if !is_left_out => sql.push_str(line),
            _ => {}
        }
        sql.push('\n'); // Lines keep their numbers, so that errors name the right one.
    }
    sql
}

/// The query with `new.<schema>.<table>` as the whole table.
pub(crate) fn everything(sql: &str) -> Result<String> {
    let mut statement = bounds::parsed(sql)?;
    if let Statement::Statement(statement) = &mut statement {
        let _ = visit_relations_mut(statement.as_mut(), |relation| {
            let is_new = relation.0.first().and_then(|part| part.as_ident()).is_some_and(|part| part.value == "new");
            if is_new && relation.0.len() == 3 {
                relation.0.remove(0);
            }
            ControlFlow::<()>::Continue(())
        });
    }
    Ok(statement.to_string())
}

/// What a query reads.
pub(crate) fn references_in(sql: &str) -> Result<BTreeSet<Reference>> {
    references_of(&bounds::parsed(sql)?)
}

fn references_of(statement: &Statement) -> Result<BTreeSet<Reference>> {
    let (tables, _) = resolve_table_references(statement, true)?;
    let mut references = BTreeSet::new();
    for table in tables {
        let (name, slice) = match &table {
            TableReference::Full { catalog, schema, table } => {
                let slice = match catalog.as_ref() {
                    "new" => Slice::New,
                    "previous" => Slice::Previous,
                    "last" => Slice::Last,
                    other => {
                        return Err(EngineError::invalid(format!(
                            "unknown catalog `{other}` in `{table}`: only `new`, `previous` and `last` may be named"
                        )));
                    }
                };
                (TableName::new(schema.as_ref(), table.as_ref()), slice)
            }
            TableReference::Partial { schema, table } => {
                (TableName::new(schema.as_ref(), table.as_ref()), Slice::Current)
            }
            // `connected_components(...)` reads as a table without a schema.
            TableReference::Bare { .. } => continue,
        };
        references.insert(Reference { name, slice });
    }
    Ok(references)
}
