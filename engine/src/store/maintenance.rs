//! Deleting what no kept generation names: old generations, data files of refreshes that failed, were killed or have been
//! superseded, and what the logs of tables say of versions that are no more.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt};

use super::delta::Table;
use super::generation::{self, Generation};
use super::{Lake, TableName, layout};
use crate::clock::Micros;
use crate::error::{EngineError, Result};
use crate::limits;

/// The schema of the tables that belong to no generation.
const LOGS: &str = "ops";

const MICROS_PER_HOUR: Micros = 3_600_000_000;

/// Cleans derived tables, also those of `made` that no generation has yet: refreshes that failed may have left files of them.
/// `leased` is when the lease was last known to be held, by the store's clock, which says how old files are: this machine's may be
/// days ahead. What is younger may be an uncommitted file of whoever took it since. Landing tables and the logs of `ops` are
/// appended to at any time: there only files go that are older than that by [`limits::ORPHAN_HOURS`].
/// Returns the number of data files deleted.
pub(crate) async fn clean<'m>(
    lake: &Lake,
    made: impl Iterator<Item = &'m TableName>,
    leased: DateTime<Utc>,
    now: Micros,
) -> Result<usize> {
    let mut kept: BTreeMap<String, HashSet<u64>> = made.map(|name| (name.to_string(), HashSet::new())).collect();
    // No generation names the logs: they are always read as they are.
    let logs = lake.root.list_with_delimiter(Some(&layout::schema(lake, LOGS))).await?.common_prefixes;
    kept.extend(logs.iter().filter_map(|folder| Some((format!("{LOGS}.{}", folder.filename()?), HashSet::new()))));
    for Generation { tables, .. } in kept_generations(lake, now).await? {
        for (name, table) in tables {
            kept.entry(name).or_default().insert(table.version);
        }
    }
    let cleaning = kept.into_iter().map(|(name, versions)| clean_table(lake, name, versions, leased));
    let deleted: Vec<usize> = stream::iter(cleaning).buffer_unordered(limits::STORE_READS).try_collect().await?;
    Ok(deleted.into_iter().sum())
}

/// Deletes old generations, and reads the others.
async fn kept_generations(lake: &Lake, now: Micros) -> Result<Vec<Generation>> {
    let numbers = generation::numbers(lake).await?;
    let beyond = numbers.len().saturating_sub(limits::GENERATIONS_KEPT as usize);
    let oldest = now - limits::GENERATION_HOURS_MIN * MICROS_PER_HOUR;
    let reading = numbers.into_iter().map(|number| generation::read(lake, number));
    let generations: Vec<_> = stream::iter(reading).buffered(limits::STORE_READS).try_collect().await?;
    let mut kept = Vec::new();
    for (place, generation) in generations.into_iter().enumerate() {
        if place < beyond && generation.published_at < oldest {
            lake.root.delete(&layout::generation(&lake.prefix, generation.number)).await?;
        } else {
            kept.push(generation);
        }
    }
    Ok(kept)
}

/// Of what may still be committed, only files go that are long orphaned.
async fn clean_table(lake: &Lake, name: String, versions: HashSet<u64>, leased: DateTime<Utc>) -> Result<usize> {
    let orphaned = leased - TimeDelta::hours(limits::ORPHAN_HOURS);
    let name = TableName::parse(&name)?;
    let table = Table::new(lake, &name);
    let oldest_version = versions.iter().min().copied().unwrap_or(u64::MAX);
    let is_appended_to = name.schema == "landing" || name.schema == LOGS;
    let is_published = !versions.is_empty();
    let (held, oldest) = match held(&table, versions, is_appended_to).await? {
        Some(held) if is_appended_to => (held, orphaned),
        // Outside readers open the latest version, which may be one that lost: its files go with the next commit.
        Some(held) => (held, leased),
        // Before its first version a table has no more than what refreshes had begun.
        None if !is_published && !is_appended_to => (HashSet::new(), orphaned),
        None => {
            tracing::warn!(table = %name, "of a table that is kept the log is gone, or a part of it: none of its files is deleted");
            return Ok(0);
        }
    };
    let folder = layout::table(lake, &name);
    let objects: Vec<_> = lake.root.list(Some(&folder)).try_collect().await?;
    let (mut deleted, mut entries) = (0, 0);
    for object in objects {
        let Some(file) = object.location.filename() else { continue };
        if object.location.prefix_match(&folder).is_none_or(|parts| parts.count() > 1) {
            entries += 1;
        } else if file.ends_with(".parquet") && !held.contains(file) && object.last_modified < oldest {
            lake.root.delete(&object.location).await?;
            deleted += 1;
        }
    }
    // Every opening of the table lists them.
    if entries > limits::LOG_ENTRIES_MAX {
        table.trim_log(oldest_version, orphaned).await?;
    }
    Ok(deleted + delete_staged(lake, &name, orphaned.into()).await?)
}

/// The files that versions of a table hold, and the newest one; `None` if its log does not tell.
async fn held(table: &Table, versions: HashSet<u64>, is_appended_to: bool) -> Result<Option<HashSet<String>>> {
    // Of what is appended to the newest version holds all that an earlier one did.
    let newest = versions.iter().max().copied().filter(|_| is_appended_to);
    table.files_held(&newest.map_or(versions, |newest| HashSet::from([newest]))).await
}

/// Deletes what writers that were killed had begun. In a folder a large file is written as `<name>.parquet#<number>` until it
/// is whole, which no listing of the store shows. In a bucket such parts are its owner's to expire.
async fn delete_staged(lake: &Lake, name: &TableName, oldest: SystemTime) -> Result<usize> {
    if lake.url.scheme() != "file" {
        return Ok(0);
    }
    let folder = layout::table_url(lake, name)
        .to_file_path()
        .map_err(|()| EngineError::internal(format!("table `{name}` is not in a folder")))?;
    let deleting = tokio::task::spawn_blocking(move || {
        let mut deleted = 0;
        // What cannot be deleted now is found by a later refresh.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_staged = name.to_str().is_some_and(|name| name.contains(".parquet#"));
            let is_old = || entry.metadata().and_then(|file| file.modified()).is_ok_and(|at| at < oldest);
            if is_staged && is_old() && std::fs::remove_file(entry.path()).is_ok() {
                deleted += 1;
            }
        }
        deleted
    });
    deleting.await.map_err(|error| EngineError::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;
    use std::time::Duration;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::super::delta::DataFile;
    use super::super::generation::PublishedTable;
    use super::super::unsteady::unsteady_lake;
    use super::super::writer::FileWriter;
    use super::*;

    const MINUTE: Micros = 60_000_000;

    fn name() -> TableName {
        TableName::new("profile", "numbers")
    }

    /// Replaces the table's rows by one, and publishes that.
    async fn publish(lake: &Lake, number: u64, published_at: Micros) {
        let schema = Arc::new(Schema::new(vec![Field::new("number", DataType::Int64, true)]));
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let mut writer = FileWriter::new(lake, &name(), &format!("run{number}"), 0, &schema, &[]);
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap()).await.unwrap();
        let files = writer.finish().await.unwrap();
        let version = Table::new(lake, &name()).commit_exact(&schema, &files, None).await.unwrap();
        let table = PublishedTable { version, rows: 1, bytes: files[0].bytes, base_rows: 1 };
        let generation = Generation {
            number,
            refresh_id: format!("run{number}"),
            started_at: published_at,
            full_started_at: published_at,
            published_at,
            as_of: published_at,
            tables: BTreeMap::from([(name().to_string(), table)]),
            views: Vec::new(),
            fingerprint: String::new(),
            corrections: String::new(),
        };
        assert!(generation::publish(lake, &generation).await.unwrap());
    }

    /// Cleans as who has just taken the lease.
    async fn clean_now(lake: &Lake, made: &[TableName], now: Micros) -> Result<usize> {
        clean(lake, made.iter(), Utc::now(), now).await
    }

    fn data_files(lake: &Lake) -> usize {
        let folder = layout::table_url(lake, &name()).to_file_path().unwrap();
        let is_file = |entry: &std::fs::DirEntry| entry.file_type().unwrap().is_file();
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).filter(is_file).count()
    }

    #[tokio::test]
    async fn test_generations_stay_by_number_and_by_age() {
        let (_folder, lake, _) = unsteady_lake();
        for number in 1..=25 {
            publish(&lake, number, number as Micros * MINUTE).await;
        }
        assert_eq!(clean_now(&lake, &[], 26 * MINUTE).await.unwrap(), 0);
        assert_eq!(generation::numbers(&lake).await.unwrap().len(), 25, "all are of this hour");
        // An hour after the second there are more than 20 that are younger.
        assert_eq!(clean_now(&lake, &[], 62 * MINUTE).await.unwrap(), 1);
        assert_eq!(generation::numbers(&lake).await.unwrap(), (2..=25).collect::<Vec<_>>());
        assert_eq!(clean_now(&lake, &[], 1_000 * MINUTE).await.unwrap(), 4);
        assert_eq!(generation::numbers(&lake).await.unwrap(), (6..=25).collect::<Vec<_>>());
        assert_eq!(data_files(&lake), 20);
    }

    #[tokio::test]
    async fn test_of_a_table_that_is_in_no_generation_the_newest_version_stays() {
        let (_folder, lake, _) = unsteady_lake();
        for number in 1..=3 {
            publish(&lake, number, 0).await;
            lake.root.delete(&layout::generation(&lake.prefix, number)).await.unwrap();
        }
        assert_eq!(clean_now(&lake, &[], 0).await.unwrap(), 0, "nobody makes it any more");
        assert_eq!(clean_now(&lake, &[name()], 0).await.unwrap(), 2);
        assert_eq!(data_files(&lake), 1);
        assert_eq!(Table::new(&lake, &name()).open(None).await.unwrap().unwrap().rows(), 1);
        // Without a log, what is younger than a day stays.
        let log = layout::table_url(&lake, &name()).to_file_path().unwrap().join("_delta_log");
        std::fs::remove_dir_all(log).unwrap();
        assert_eq!(clean_now(&lake, &[name()], 0).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn test_the_age_of_a_file_is_judged_by_the_clock_that_dated_it() {
        let (_folder, lake, _) = unsteady_lake();
        publish(&lake, 1, 0).await;
        let hours_ago = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3_600);
        let waits = layout::table_url(&lake, &name()).to_file_path().unwrap().join("a-00-0000.parquet#1");
        File::create(&waits).unwrap().set_modified(hours_ago(26)).unwrap();
        // The store's clock is three hours behind: by it the file is of 23 hours ago.
        clean(&lake, [].iter(), hours_ago(3).into(), 0).await.unwrap();
        assert!(waits.exists());
    }

    #[tokio::test]
    async fn test_who_stood_still_deletes_nothing_of_who_took_over() {
        let (_folder, lake, _) = unsteady_lake();
        publish(&lake, 1, 0).await;
        let leased = Utc::now();
        let folder = layout::table_url(&lake, &name()).to_file_path().unwrap();
        for (file, minutes) in [("failed-new-00-0000.parquet", -1), ("later-new-00-0000.parquet", 1)] {
            let modified = leased + TimeDelta::minutes(minutes);
            File::create(folder.join(file)).unwrap().set_modified(modified.into()).unwrap();
        }
        assert_eq!(clean(&lake, [].iter(), leased, 0).await.unwrap(), 1);
        assert!(folder.join("later-new-00-0000.parquet").exists());
    }

    #[tokio::test]
    async fn test_what_killed_writers_had_begun_goes_after_a_day() {
        let (_folder, lake, _) = unsteady_lake();
        publish(&lake, 1, 0).await;
        let folder = layout::table_url(&lake, &name()).to_file_path().unwrap();
        let old = SystemTime::now() - Duration::from_secs(25 * 3_600);
        for (file, modified) in [("a-00-0000.parquet#1", old), ("b-00-0000.parquet#1", SystemTime::now())] {
            File::create(folder.join(file)).unwrap().set_modified(modified).unwrap();
        }
        File::create(folder.join("notes#1")).unwrap().set_modified(old).unwrap();
        assert_eq!(clean_now(&lake, &[], 0).await.unwrap(), 1);
        assert!(!folder.join("a-00-0000.parquet#1").exists());
        assert_eq!(data_files(&lake), 3);
    }

    #[tokio::test]
    async fn test_of_a_long_log_stays_what_kept_versions_need() {
        let (_folder, lake, _) = unsteady_lake();
        let logs = TableName::new(LOGS, "numbers");
        let table = Table::new(&lake, &logs);
        let schema = Schema::new(vec![Field::new("number", DataType::Int64, true)]);
        table.create_if_absent(&schema, &[]).await.unwrap();
        let newest = limits::LOG_ENTRIES_MAX as u64 + 10;
        for number in 1..=newest {
            let path = format!("run-00-{number:04}.parquet");
            let file = DataFile { path, bytes: 1, rows: 1, partition: Vec::new() };
            assert!(table.replace_as(number, &[], &[file]).await.unwrap());
        }
        let folder = layout::table_url(&lake, &logs).to_file_path().unwrap().join("_delta_log");
        let entries = || std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let count = entries().count();
        clean_now(&lake, &[], 0).await.unwrap();
        assert_eq!(entries().count(), count, "readers may still be at any version of today");
        let old = SystemTime::now() - Duration::from_secs(25 * 3_600);
        entries().for_each(|entry| File::options().append(true).open(entry).unwrap().set_modified(old).unwrap());
        clean_now(&lake, &[], 0).await.unwrap();
        assert!(entries().count() < limits::COMMITS_PER_CHECKPOINT as usize + 10, "{} of {count}", entries().count());
        let version = table.open(None).await.unwrap().unwrap();
        assert_eq!((version.number, version.rows()), (newest, newest));
        assert!(table.open(Some(newest - 1)).await.unwrap().is_some());
    }
}
