//! Deleting what no kept generation names: old generations, and data files of refreshes that failed, were killed or
//! have been superseded.

use std::collections::{BTreeMap, HashSet};

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use super::delta::Table;
use super::generation::{self, Generation};
use super::{Lake, TableName, layout};
use crate::error::Result;
use crate::limits;

/// Cleans derived tables; call it while holding the lease, so that no running refresh owns an uncommitted file.
/// Landing tables are appended to at any time: there only files older than [`limits::ORPHAN_HOURS`] go.
/// Returns the number of data files deleted.
pub(crate) async fn clean(lake: &Lake) -> Result<usize> {
    let numbers = generation::numbers(lake).await?;
    let first_kept = numbers.len().saturating_sub(limits::GENERATIONS_KEPT as usize);
    for number in &numbers[..first_kept] {
        lake.root.delete(&layout::generation(&lake.prefix, *number)).await?;
    }
    let mut kept: BTreeMap<String, HashSet<u64>> = BTreeMap::new();
    for number in &numbers[first_kept..] {
        let Generation { tables, .. } = generation::read(lake, *number).await?;
        for (name, table) in tables {
            kept.entry(name).or_default().insert(table.version);
        }
    }
    let mut deleted = 0;
    for (name, versions) in kept {
        deleted += clean_table(lake, &TableName::parse(&name)?, &versions).await?;
    }
    Ok(deleted)
}

async fn clean_table(lake: &Lake, name: &TableName, versions: &HashSet<u64>) -> Result<usize> {
    let table = Table::new(lake, name);
    let mut named: HashSet<String> = HashSet::new();
    let is_landing = name.schema == "landing";
    for number in versions.iter().filter(|_| !is_landing).map(|number| Some(*number)).chain([None]) {
        if let Some(version) = table.open(number).await? {
            named.extend(version.files.into_iter().map(|file| file.path));
        }
    }
    // Outside readers open the latest version, which may be one that lost: its files go with the next commit.
    let oldest = chrono::Utc::now() - chrono::TimeDelta::hours(if is_landing { limits::ORPHAN_HOURS } else { 0 });
    let folder = layout::table(lake, name);
    let objects: Vec<_> = lake.root.list(Some(&folder)).try_collect().await?;
    let mut deleted = 0;
    for object in objects {
        let Some(file) = object.location.filename() else { continue };
        let is_data =
            file.ends_with(".parquet") && object.location.prefix_match(&folder).is_some_and(|parts| parts.count() == 1);
        if is_data && !named.contains(file) && object.last_modified < oldest {
            lake.root.delete(&object.location).await?;
            deleted += 1;
        }
    }
    Ok(deleted)
}
