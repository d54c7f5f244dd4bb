//! Corrections of identity, by the rules of the project: the file `corrections.toml` as the relation
//! `config.corrections(verdict, a, b, decided_by, decided_at, reason)` of SQL, `a` the more trusted identifier.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;

use super::normalize::Normalizer;
use crate::config::IdentityConfig;
use crate::config::corrections::{Correction, Verdict, parse_corrections};
use crate::error::{EngineError, Result};

const FILE: &str = "corrections.toml";

/// The corrections of a project, their identifiers normalised, in a total order.
#[derive(Debug, Default)]
pub(crate) struct Corrections(Vec<Correction>);

impl Corrections {
    /// Reads the file of the project in `folder`; without one there are none.
    ///
    /// # Errors
    /// InvalidInput with file and line for an identifier that cannot be used, or two corrections of the same two.
    pub(crate) fn load(folder: &Path, config: &IdentityConfig) -> Result<Self> {
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
            let message = format!("line {} says something of these two identifiers, too; keep one", twice[0].line);
            problems.push((twice[1].line, message));
        }
        if problems.is_empty() {
            return Ok(Self(corrections));
        }
        problems.sort();
        let lines: Vec<String> =
            problems.into_iter().map(|(line, message)| format!("{FILE}:{line}: {message}")).collect();
        Err(EngineError::invalid(lines.join("\n")))
    }

    /// Tells other corrections from these.
    pub(crate) fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for correction in &self.0 {
            // Where it stands in the file says nothing.
            hasher.update(format!("{:?}", Correction { line: 0, ..correction.clone() }).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The relation.
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn relation(&self) -> Result<Arc<dyn TableProvider>> {
        let text = |value: fn(&Correction) -> &str| -> ArrayRef {
            Arc::new(self.0.iter().map(|correction| Some(value(correction))).collect::<StringArray>())
        };
        let days: TimestampMicrosecondArray = self.0.iter().map(|correction| Some(correction.decided_at)).collect();
        let columns = vec![
            text(|correction| match correction.verdict {
                Verdict::Never => "never",
                Verdict::Always => "always",
            }),
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
    for identifier in written {
        let Some((namespace, value)) = identifier.split_once(':') else {
            return Err(
                "an identifier has no namespace; write `namespace:value`, such as `email:ada@example.com`".to_owned()
            );
        };
        let Some(value) = normalizer.normalize(namespace, value) else {
            return Err(format!(
                "an identifier of `{namespace}` is blocked or has not the form of its namespace; write one as it arrives"
            ));
        };
        found.push((config.priority_of(namespace), namespace, value));
    }
    found.sort();
    if found[0] == found[1] {
        return Err("both identifiers are the same; name two".to_owned());
    }
    let text = |(_, namespace, value): &(usize, &str, std::borrow::Cow<'_, str>)| format!("{namespace}:{value}");
    Ok([text(&found[0]), text(&found[1])])
}
