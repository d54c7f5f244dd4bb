//! An open project: what every stage needs of the world.

pub(crate) mod log;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{TableFunctionImpl, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

use crate::clock::Clock;
use crate::config::{Consent, Party, ProjectConfig, Source};
use crate::error::Result;
use crate::query::catalog::register;
use crate::query::relation::Relations;
use crate::query::session::{CATALOG, Functions, QueryRuntime};
use crate::store::{Lake, TableName};

/// Why the identifiers of one row name no person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// None can be used: each is blocked or has not the form of its namespace.
    Nobody,
    /// There are more values of a namespace than one person has.
    Several {
        /// The namespace.
        namespace: String,
        /// How many different ones there are.
        values: usize,
        /// How many a person has at most.
        values_max: u32,
    },
}

impl Refusal {
    /// The code of [`Refusal::Nobody`].
    pub(crate) const NOBODY: &str = "no_identifier";
    /// The code of [`Refusal::Several`].
    pub(crate) const SEVERAL: &str = "several_persons";

    /// The reason in `landing.quarantine` and `identity.refused`.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Nobody => Self::NOBODY,
            Self::Several { .. } => Self::SEVERAL,
        }
    }
}

/// How many different identifiers the pairs of namespace and value of one row are, or why they name no person.
pub(crate) type JudgeIdentifiers =
    Arc<dyn for<'a> Fn(&[(Cow<'a, str>, Cow<'a, str>)]) -> Result<usize, Refusal> + Send + Sync>;

/// A project's folder, configuration and lake, and the means to query it.
pub(crate) struct Project {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// What `tessera.toml` says.
    pub(crate) config: ProjectConfig,
    /// The lake.
    pub(crate) lake: Lake,
    /// The time.
    pub(crate) clock: Clock,
    /// Threads of one query or one ingest.
    pub(crate) threads: usize,
    /// Whether identifiers name a person: the stages share the rules of identity without naming its module.
    pub(crate) judge_identifiers: JudgeIdentifiers,
    /// What all queries share.
    pub(crate) runtime: QueryRuntime,
    /// The stages' functions.
    pub(crate) functions: Functions,
    /// The stages' relations.
    pub(crate) relations: Relations,
    /// The stages' functions that ask a generation something, by name: for queries, not for models.
    pub(crate) table_functions: Vec<(&'static str, Arc<dyn TableFunctionImpl>)>,
}

impl Project {
    /// A session with our functions and the configuration's relations, and no table yet.
    pub(crate) fn session(&self) -> Result<SessionContext> {
        let session = self.runtime.session(&self.functions, &self.relations)?;
        register(&session, CATALOG, &TableName::new("config", "sources"), sources_relation(&self.config)?)?;
        register(&session, CATALOG, &TableName::new("config", "consents"), consents_relation(&self.config)?)?;
        register_known_names(&session, &[])?;
        Ok(session)
    }
}

/// Registers `config.known_names(kind, name)`: attributes (`attribute`) and purposes of consent (`purpose`) that expressions may
/// name whether or not anybody tells them, and words (`word`) that they name if they are told.
pub(crate) fn register_known_names(session: &SessionContext, names: &[(&str, String)]) -> Result<()> {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("kind", DataType::Utf8, false),
        Field::new("name", DataType::Utf8, false),
    ]));
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(names.iter().map(|(kind, _)| Some(*kind)).collect::<StringArray>()),
            Arc::new(names.iter().map(|(_, name)| Some(name.as_str())).collect::<StringArray>()),
        ],
    )?;
    let table = MemTable::try_new(schema, vec![vec![batch]])?;
    register(session, CATALOG, &TableName::new("config", "known_names"), Arc::new(table))
}

/// `config.sources(source, touchpoint, party, keep_links, has_updated_at)`.
fn sources_relation(config: &ProjectConfig) -> Result<Arc<dyn TableProvider>> {
    let sources = &config.sources;
    let text = |value: fn(&Source) -> &str| {
        Arc::new(sources.iter().map(|source| Some(value(source))).collect::<StringArray>())
    };
    let flag = |value: fn(&Source) -> bool| {
        Arc::new(sources.iter().map(|source| Some(value(source))).collect::<BooleanArray>())
    };
    let party = |source: &Source| match source.party {
        Party::First => "first",
        Party::Third => "third",
    };
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("source", DataType::Utf8, false),
        Field::new("touchpoint", DataType::Utf8, false),
        Field::new("party", DataType::Utf8, false),
        Field::new("keep_links", DataType::Boolean, false),
        Field::new("has_updated_at", DataType::Boolean, false),
    ]));
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            text(|source| &source.name),
            text(|source| &source.touchpoint),
            Arc::new(sources.iter().map(|source| Some(party(source))).collect::<StringArray>()),
            flag(|source| source.keep_links),
            flag(|source| source.updated_at.is_some()),
        ],
    )?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

/// `config.consents(attribute, purpose, is_granted)`: for each attribute that tells consent, what its `yes` means; nulls for
/// a purpose that no attribute tells.
fn consents_relation(config: &ProjectConfig) -> Result<Arc<dyn TableProvider>> {
    let mut rows: Vec<(Option<&str>, &str, Option<bool>)> = Vec::new();
    for Consent { purpose, granted, withdrawn } in &config.consents {
        rows.extend(granted.iter().map(|attribute| (Some(attribute.as_str()), purpose.as_str(), Some(true))));
        rows.extend(withdrawn.iter().map(|attribute| (Some(attribute.as_str()), purpose.as_str(), Some(false))));
        if granted.is_empty() && withdrawn.is_empty() {
            rows.push((None, purpose, None));
        }
    }
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("attribute", DataType::Utf8, true),
        Field::new("purpose", DataType::Utf8, false),
        Field::new("is_granted", DataType::Boolean, true),
    ]));
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(rows.iter().map(|(attribute, ..)| *attribute).collect::<StringArray>()),
            Arc::new(rows.iter().map(|(_, purpose, _)| Some(*purpose)).collect::<StringArray>()),
            Arc::new(rows.iter().map(|(.., is_granted)| *is_granted).collect::<BooleanArray>()),
        ],
    )?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}
