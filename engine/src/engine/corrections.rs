//! Corrections of identity while serving: which are in force, one more, one less. The next refresh applies them.

use std::sync::Arc;

use super::Engine;
use crate::config::corrections::{Correction, Verdict};
use crate::error::{EngineError, ErrorKind, Result};
use crate::identity::correction_log::{self, Entry};
use crate::identity::corrections::Corrections;
use crate::limits;

impl Engine {
    /// The corrections of the project's file and of the lake, by their identifiers: those that the next refresh will apply, and
    /// those of the lake that wait because the configuration drops an identifier of theirs.
    ///
    /// # Errors
    /// FailedPrecondition with file and line for a file that cannot be used; what the store reports.
    pub async fn corrections(&self) -> Result<Vec<Correction>> {
        let project = Arc::clone(&self.project);
        let loaded = self.cpu.run(async move { Ok(Corrections::load(&project).await?.into_vec()) }).await;
        loaded.map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => EngineError::failed_precondition(error.to_string()), // not the caller's
            _ => error,
        })
    }

    /// Says of two identifiers, `namespace:value` as they arrive, that they are always or never one person.
    ///
    /// # Errors
    /// InvalidInput for identifiers that cannot be used, or if nobody or no reason is named; AlreadyExists if a correction
    /// says something of these two.
    pub async fn add_correction(
        &self,
        verdict: Verdict,
        identifiers: [&str; 2],
        decided_by: &str,
        reason: &str,
    ) -> Result<Correction> {
        let identifiers = self.stored_pair(identifiers, decided_by, reason)?;
        let entry = self.entry(Some(verdict), identifiers, decided_by, reason);
        let decided = self.decide(entry, |known| match known {
            None => Ok(()),
            Some(Correction { line: Some(line), .. }) => Err(EngineError::new(
                ErrorKind::AlreadyExists,
                format!(
                    "the project says something of these two identifiers: change it there, corrections.toml:{line}"
                ),
            )),
            Some(_) => Err(EngineError::new(
                ErrorKind::AlreadyExists,
                "a correction says something of these two identifiers: remove it first",
            )),
        });
        let Entry { identifiers, decided_by, decided_at, reason, .. } = decided.await?;
        Ok(Correction { line: None, verdict, identifiers, decided_by, decided_at, reason })
    }

    /// Takes a correction back that was made while serving.
    ///
    /// # Errors
    /// As [`Engine::add_correction`]; NotFound if there is none of these two; FailedPrecondition if it is in the file.
    pub async fn remove_correction(&self, identifiers: [&str; 2], removed_by: &str, reason: &str) -> Result<()> {
        // One that the configuration has come to drop is known as it was written.
        let [a, b] = identifiers.map(str::to_owned);
        let written = [[a.clone(), b.clone()], [b, a]];
        let is_it = |known: &Correction| known.line.is_none() && written.contains(&known.identifiers);
        let known = self.corrections().await?.into_iter().find(is_it);
        let identifiers = match known {
            Some(known) => known.identifiers,
            None => self.stored_pair(identifiers, removed_by, reason)?,
        };
        let entry = self.entry(None, identifiers, removed_by, reason);
        let decided = self.decide(entry, |known| match known {
            None => Err(EngineError::not_found("no correction says anything of these two identifiers")),
            Some(Correction { line: Some(line), .. }) => Err(EngineError::failed_precondition(format!(
                "the correction of these two identifiers is in the project: remove it there, corrections.toml:{line}"
            ))),
            Some(_) => Ok(()),
        });
        decided.await.map(drop)
    }

    fn entry(&self, verdict: Option<Verdict>, identifiers: [String; 2], by: &str, reason: &str) -> Entry {
        let (decided_by, reason) = (by.to_owned(), reason.to_owned());
        Entry { verdict, identifiers, decided_by, decided_at: self.clock().now(), reason }
    }

    /// Adds a row to the log, if `may` lets it be so with what is in force of its two identifiers. That is asked again when
    /// somebody else was first. Returns the row as it was added.
    async fn decide(&self, mut entry: Entry, may: impl Fn(Option<&Correction>) -> Result<()>) -> Result<Entry> {
        self.check_lake().await?;
        for _ in 0..limits::COMMIT_ATTEMPTS_MAX {
            let project = Arc::clone(&self.project);
            let next = self.cpu.run(async move { correction_log::next(&project).await }).await?;
            let known = self.corrections().await?;
            may(known.iter().find(|known| known.identifiers == entry.identifiers))?;
            entry.decided_at = entry.decided_at.max(next.not_before);
            if correction_log::append(&self.project, next.version, &entry).await? {
                return Ok(entry);
            }
        }
        Err(EngineError::new(ErrorKind::Conflict, "corrections are being changed by too many others: try again"))
    }

    /// The two identifiers as they are stored, the more trusted first.
    fn stored_pair(&self, identifiers: [&str; 2], by: &str, reason: &str) -> Result<[String; 2]> {
        if by.trim().is_empty() || reason.trim().is_empty() {
            return Err(EngineError::invalid("say who decides it, and why"));
        }
        Corrections::normalized(&identifiers.map(str::to_owned), &self.config().identity)
    }
}
