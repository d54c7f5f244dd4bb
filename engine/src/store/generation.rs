//! Generations: what one refresh published. A generation is a small JSON object, created with put-if-absent, that names
//! one version of every table. Its creation is the only moment at which anything a refresh wrote becomes visible.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::delta::{Table, Version};
use super::{Lake, TableName, layout};
use crate::clock::Micros;
use crate::error::{EngineError, Result};

/// What one refresh published.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Generation {
    /// 1, 2, 3, ...
    pub(crate) number: u64,
    /// The refresh that made it.
    pub(crate) refresh_id: String,
    /// When that refresh began, microseconds since 1970 UTC.
    #[serde(default)]
    pub(crate) started_at: Micros,
    /// When the last refresh began that computed everything anew, microseconds since 1970 UTC.
    #[serde(default)]
    pub(crate) full_started_at: Micros,
    /// When it was published, microseconds since 1970 UTC.
    pub(crate) published_at: Micros,
    /// The instant to which windows such as "the last 30 days" refer, microseconds since 1970 UTC.
    pub(crate) as_of: Micros,
    /// Landing and derived tables by `schema.table`.
    pub(crate) tables: BTreeMap<String, PublishedTable>,
    /// Views: `schema.table` and SQL, each after those that it reads.
    pub(crate) views: Vec<(String, String)>,
    /// What the tables were computed with: when it differs, everything is computed anew.
    pub(crate) fingerprint: String,
    /// The digest of the corrections of identity that they were computed with.
    #[serde(default)]
    pub(crate) corrections: String,
}

/// One table of a generation.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct PublishedTable {
    /// The Delta version.
    pub(crate) version: u64,
    /// Rows in it.
    pub(crate) rows: u64,
    /// Bytes in it.
    pub(crate) bytes: u64,
    /// Rows of its base: what the last full write or compaction left. Grows stale when appends outnumber it.
    pub(crate) base_rows: u64,
}

impl PublishedTable {
    /// Opens table `name` as it was published.
    ///
    /// # Errors
    /// Corrupt if it is not there, or not all of it: who restores a lake may leave out a log, and a disk that was full or lost
    /// its power may hold an entry of one as an empty file.
    pub(crate) async fn open(&self, lake: &Lake, name: &TableName) -> Result<Version> {
        let number = self.version;
        let Some(version) = Table::new(lake, name).open(Some(number)).await? else {
            return Err(EngineError::corrupt(format!(
                "the lake does not hold table `{name}`, which a generation names"
            )));
        };
        if version.rows() != self.rows {
            return Err(EngineError::corrupt(format!(
                "version {number} of table `{name}` was published with {} rows, and its log tells of {}: entries of it are damaged or gone",
                self.rows,
                version.rows()
            )));
        }
        Ok(version)
    }

    /// Opens table `name`, which can be made anew; `None` if it is not there, or its log ends before the version that was
    /// published.
    ///
    /// # Errors
    /// What the store reports; whatever else is wrong with the log.
    pub(crate) async fn open_if_there(&self, lake: &Lake, name: &TableName) -> Result<Option<Version>> {
        let table = Table::new(lake, name);
        let opened = table.open(Some(self.version)).await;
        let Err(error) = opened else { return opened };
        match table.open(None).await {
            Ok(Some(newest)) if newest.number < self.version => {
                tracing::warn!(table = %name, "the newest entries of the table's log are gone");
                Ok(None)
            }
            _ => Err(error),
        }
    }
}

/// The newest generation, or `None` before the first refresh.
pub(crate) async fn latest(lake: &Lake) -> Result<Option<Generation>> {
    match latest_number(lake).await? {
        Some(number) => read(lake, number).await.map(Some),
        None => Ok(None),
    }
}

/// The newest generation's number, or `None` before the first refresh.
pub(crate) async fn latest_number(lake: &Lake) -> Result<Option<u64>> {
    Ok(numbers(lake).await?.last().copied())
}

/// Generation `number`.
///
/// # Errors
/// NotFound, naming those that exist.
pub(crate) async fn read(lake: &Lake, number: u64) -> Result<Generation> {
    match lake.get(&layout::generation(&lake.prefix, number)).await? {
        Some(content) => serde_json::from_slice(&content)
            .map_err(|error| EngineError::corrupt(format!("generation {number} cannot be read: {error}"))),
        None => {
            let known = numbers(lake).await?;
            Err(EngineError::not_found(match (known.first(), known.last()) {
                (Some(first), Some(last)) => {
                    format!("generation {number} does not exist: the lake holds {first} to {last}")
                }
                _ => {
                    format!("generation {number} does not exist: nothing has been refreshed yet; run `tessera refresh`")
                }
            }))
        }
    }
}

/// All generations, ascending.
pub(crate) async fn numbers(lake: &Lake) -> Result<Vec<u64>> {
    lake.numbers(&layout::generations(&lake.prefix)).await
}

/// Publishes `generation`: true if it is now the newest, false if another refresh published that number.
pub(crate) async fn publish(lake: &Lake, generation: &Generation) -> Result<bool> {
    lake.put_if_absent(&layout::generation(&lake.prefix, generation.number), serde_json::to_vec_pretty(generation)?)
        .await
}
