//! Corrections of identity, by the rules of the project: the file `corrections.toml`, and what was decided while serving,
//! as the relation `config.corrections(verdict, a, b, decided_by, decided_at, reason)` of SQL, `a` the more trusted
//! identifier. Of two identifiers the file has the last word: it is the one that is reviewed.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;

use super::correction_log::{self, Entry};
use super::normalize::Normalizer;
use crate::config::IdentityConfig;
use crate::config::corrections::{Correction, parse_corrections};
use crate::error::{EngineError, Result};
use crate::project::Project;

const FILE: &str = "corrections.toml";

/// The corrections of a project, in a total order.
#[derive(Debug, Default)]
pub(crate) struct Corrections {
    /// Their identifiers are normalised.
    in_force: Vec<Correction>,
    /// Those of the lake with an identifier that the configuration drops by now, as they are stored.
    unusable: Vec<Correction>,
}

impl Corrections {
    /// Reads the project's file, which need not be there, and the log of the lake.
    ///
    /// # Errors
    /// InvalidInput with file and line for an identifier that cannot be used, or two corrections of the same two; what the
    /// store reports.
    pub(crate) async fn load(project: &Project) -> Result<Self> {
        let config = &project.config.identity;
        let mut all = Self::of_file(&project.folder, config)?.in_force;
        let normalizer = Normalizer::new(config)?;
        let mut decided: HashSet<[String; 2]> = all.iter().map(|correction| correction.identifiers.clone()).collect();
        let mut unusable = Vec::new();
        // Of two identifiers the newest row counts. Which are the same two is a question of the rules of today: they may have
        // changed since a row was written.
        for entry in correction_log::newest_first(project).await? {
            let normalized = normalized(&entry.identifiers, &normalizer, config);
            let (Ok(identifiers) | Err(identifiers)) = normalized.as_ref().map_err(|_| &entry.identifiers);
            let (true, Some(verdict)) = (decided.insert(identifiers.clone()), entry.verdict) else { continue };
            let (is_usable, identifiers) = (normalized.is_ok(), identifiers.clone());
            let Entry { decided_by, decided_at, reason, .. } = entry;
            let correction = Correction { line: None, verdict, identifiers, decided_by, decided_at, reason };
            if is_usable { &mut all } else { &mut unusable }.push(correction);
        }
        if !unusable.is_empty() {
            let count = unusable.len();
            tracing::warn!(count, "corrections of ops.corrections name identifiers that the configuration drops");
        }
        all.sort_by(|left, right| left.identifiers.cmp(&right.identifiers));
        Ok(Self { in_force: all, unusable })
    }

    /// The corrections themselves, also those that wait for another configuration.
    pub(crate) fn into_vec(self) -> Vec<Correction> {
        let mut all = self.in_force;
        all.extend(self.unusable);
        all.sort_by(|left, right| left.identifiers.cmp(&right.identifiers));
        all
    }

    /// Two identifiers in the form of their namespaces, the more trusted first.
    ///
    /// # Errors
    /// InvalidInput for an identifier that cannot be used.
    pub(crate) fn normalized(written: &[String; 2], config: &IdentityConfig) -> Result<[String; 2]> {
        normalized(written, &Normalizer::new(config)?, config).map_err(EngineError::invalid)
    }

    fn of_file(folder: &Path, config: &IdentityConfig) -> Result<Self> {
        let text = match std::fs::read_to_string(folder.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(EngineError::invalid(format!("`{FILE}` is not UTF-8; save it as UTF-8")));
            }
            Err(error) => return Err(EngineError::from(error).context(format!("`{FILE}` cannot be read"))),
        };
        let normalizer = Normalizer::new(config)?;
        let mut corrections = parse_corrections(&text, FILE)?;
        let mut problems = Vec::new();
        for correction in &mut corrections {
            match normalized(&correction.identifiers, &normalizer, config) {
                Ok(identifiers) => correction.identifiers = identifiers,
                Err(message) => problems.push((correction.line, message)),
            }
        }
        corrections.sort_by(|left, right| (&left.identifiers, left.line).cmp(&(&right.identifiers, right.line)));
        for twice in corrections.windows(2).filter(|pair| pair[0].identifiers == pair[1].identifiers) {
            let line = twice[0].line.unwrap_or_default();
            let message = format!("line {line} says something of these two identifiers, too; keep one");
            problems.push((twice[1].line, message));
        }
        if problems.is_empty() {
            return Ok(Self { in_force: corrections, unusable: Vec::new() });
        }
        problems.sort();
        let lines: Vec<String> = problems
            .into_iter()
            .map(|(line, message)| format!("{FILE}:{}: {message}", line.unwrap_or_default()))
            .collect();
        Err(EngineError::invalid(lines.join("\n")))
    }

    /// Tells other corrections from these.
    pub(crate) fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for correction in &self.in_force {
            // Where it stands in the file says nothing.
            hasher.update(format!("{:?}", Correction { line: None, ..correction.clone() }).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The relation.
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn relation(&self) -> Result<Arc<dyn TableProvider>> {
        let text = |value: fn(&Correction) -> &str| -> ArrayRef {
            Arc::new(self.in_force.iter().map(|correction| Some(value(correction))).collect::<StringArray>())
        };
        let days: TimestampMicrosecondArray =
            self.in_force.iter().map(|correction| Some(correction.decided_at)).collect();
        let columns = vec![
            text(|correction| correction_log::word(correction.verdict)),
            text(|correction| &correction.identifiers[0]),
            text(|correction| &correction.identifiers[1]),
            text(|correction| &correction.decided_by),
            Arc::new(days.with_timezone("UTC")),
            text(|correction| &correction.reason),
        ];
        let batch = RecordBatch::try_new(schema(), columns)?;
        Ok(Arc::new(MemTable::try_new(schema(), vec![vec![batch]])?))
    }
}

fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        text("verdict"),
        text("a"),
        text("b"),
        text("decided_by"),
        Field::new("decided_at", instant, false),
        text("reason"),
    ]))
}

/// Two identifiers in the form of their namespaces, the more trusted first.
fn normalized(
    written: &[String; 2],
    normalizer: &Normalizer,
    config: &IdentityConfig,
) -> std::result::Result<[String; 2], String> {
    let mut found = Vec::with_capacity(2);
    for (identifier, which) in written.iter().zip(["the first identifier", "the second identifier"]) {
        let (namespace, value) = normalizer.read(which, identifier)?;
        found.push((config.priority_of(namespace), namespace, value));
    }
    found.sort();
    if found[0] == found[1] {
        return Err("both identifiers are the same; name two".to_owned());
    }
    let text = |(_, namespace, value): &(usize, &str, std::borrow::Cow<'_, str>)| format!("{namespace}:{value}");
    Ok([text(&found[0]), text(&found[1])])
}
