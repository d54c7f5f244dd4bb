//! One person by an identifier or by id, with all that hangs on it: from the indexes of the tables, without a scan.
//!
//! The same by SQL, for whoever has no indexes, is in `engine::lookup`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch};

use crate::error::{EngineError, Result};
use crate::query::functions::text;
use crate::store::delta::Version;
use crate::store::keyed::cache::LookupCache;
use crate::store::keyed::table::KeyedTable;
use crate::store::{Lake, TableName};

/// Whose profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileKey {
    /// The profile with this id.
    ProfileId(String),
    /// The profile to which an identifier belongs, normalised.
    Identifier {
        /// Its namespace.
        namespace: String,
        /// Its value.
        value: String,
    },
}

/// One person: rows of the tables, with the columns that `docs/DATA.md` describes.
#[derive(Debug, Clone)]
pub struct ProfileCard {
    /// The profile's id.
    pub profile_id: String,
    /// One row of `profile.profiles`.
    pub profile: Vec<RecordBatch>,
    /// Its rows of `identity.identities`, by namespace and value.
    pub identifiers: Vec<RecordBatch>,
    /// Its rows of `profile.attributes`, by name, the current first.
    pub attributes: Vec<RecordBatch>,
    /// Its rows of `segment.memberships`, by segment.
    pub segments: Vec<RecordBatch>,
    /// Its latest rows of `staging.events`, the newest first, with the columns that tell what happened.
    pub events: Vec<RecordBatch>,
}

/// What an index answers.
pub(crate) enum Found {
    /// The person.
    Card(ProfileCard),
    /// Nobody has the key.
    Nobody,
    /// Somebody with so many rows that a scan is the better way.
    TooMuch,
}

/// The tables of one generation that hold persons, open for look-ups.
pub(crate) struct ProfileLookup {
    identities: KeyedTable,
    profiles: KeyedTable,
    attributes: KeyedTable,
    events: KeyedTable,
}

/// Numbers of the keys of `identity.identities`; the other tables have one.
const BY_IDENTIFIER: usize = 0;
const BY_PROFILE_ID: usize = 1;
const ONLY_KEY: usize = 0;

const ASCENDING: SortOptions = SortOptions { descending: false, nulls_first: false };
const DESCENDING: SortOptions = SortOptions { descending: true, nulls_first: true };

impl ProfileLookup {
    /// Opens the tables among `versions`.
    ///
    /// # Errors
    /// NotFound if one of them is not stored as a table; Exhausted if the indexes need more memory than they may have.
    pub(crate) async fn open(lake: &Lake, versions: &[Version], cache: &Arc<LookupCache>) -> Result<Self> {
        let table = async |schema: &str, table: &str| {
            let name = TableName::new(schema, table);
            let version = versions.iter().find(|version| version.name == name);
            let version = version.ok_or_else(|| EngineError::not_found(format!("`{name}` is not stored")))?;
            KeyedTable::open(lake, version, cache).await
        };
        Ok(Self {
            identities: table("identity", "identities").await?,
            profiles: table("profile", "profiles").await?,
            attributes: table("profile", "attributes").await?,
            events: table("staging", "events").await?,
        })
    }

    /// The person that `key` names, with the `event_limit` latest events; without segments.
    ///
    /// # Errors
    /// What the store reports.
    pub(crate) async fn card(&self, key: &ProfileKey, event_limit: usize) -> Result<Found> {
        let profile_id = match key {
            ProfileKey::ProfileId(profile_id) => profile_id.clone(),
            ProfileKey::Identifier { namespace, value } => {
                let Some(rows) = self.identities.rows(BY_IDENTIFIER, &[namespace, value]).await? else {
                    return Ok(Found::TooMuch);
                };
                let Some(row) = rows.first() else { return Ok(Found::Nobody) };
                first_text(row, "profile_id")?
            }
        };
        let id = [profile_id.as_str()];
        let (identifiers, profile, attributes) = tokio::try_join!(
            self.identities.rows(BY_PROFILE_ID, &id),
            self.profiles.rows(ONLY_KEY, &id),
            self.attributes.rows(ONLY_KEY, &id),
        )?;
        let (Some(identifiers), Some(profile), Some(attributes)) = (identifiers, profile, attributes) else {
            return Ok(Found::TooMuch);
        };
        if profile.is_empty() {
            return Ok(Found::Nobody);
        }
        let Some(events) = self.events(&identifiers, event_limit).await? else { return Ok(Found::TooMuch) };
        let identifiers = sorted(&self.identities, identifiers, &[("namespace", ASCENDING), ("value", ASCENDING)])?;
        let by_name =
            [("name", ASCENDING), ("is_current", DESCENDING), ("updated_at", DESCENDING), ("source", ASCENDING)];
        let attributes = sorted(&self.attributes, attributes, &by_name)?;
        Ok(Found::Card(ProfileCard { profile_id, profile, identifiers, attributes, segments: Vec::new(), events }))
    }

    async fn events(&self, identifiers: &[RecordBatch], limit: usize) -> Result<Option<Vec<RecordBatch>>> {
        if limit == 0 {
            return Ok(Some(Vec::new()));
        }
        let keys = identifiers.iter().map(|row| Ok([first_text(row, "namespace")?, first_text(row, "value")?]));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let keys: Vec<[&str; 2]> = keys.iter().map(|[namespace, value]| [namespace.as_str(), value]).collect();
        self.events.latest(&keys, limit).await
    }
}

fn first_text(row: &RecordBatch, column: &str) -> Result<String> {
    let values = row.column_by_name(column).filter(|values| !values.is_empty());
    let values = values.ok_or_else(|| EngineError::internal(format!("a row has no `{column}`")))?;
    Ok(text(values)?.value(0).to_owned())
}

/// The rows in the order of their columns.
fn sorted(table: &KeyedTable, rows: Vec<RecordBatch>, by: &[(&str, SortOptions)]) -> Result<Vec<RecordBatch>> {
    if rows.len() < 2 {
        return Ok(rows);
    }
    let rows = concat_batches(table.schema(), &rows)?;
    let columns = by.iter().map(|(column, options)| {
        let values = rows.column_by_name(column);
        let values = values.ok_or_else(|| EngineError::internal(format!("rows have no `{column}`")))?;
        Ok(SortColumn { values: Arc::clone(values), options: Some(*options) })
    });
    let order = lexsort_to_indices(&columns.collect::<Result<Vec<_>>>()?, None)?;
    Ok(vec![take_record_batch(&rows, &order)?])
}
