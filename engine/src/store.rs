//! The lake: Delta tables under one URL, and the generations that name one version of each.
//!
//! * [`layout`] knows where things are; nothing else builds a path.
//! * [`delta`] opens a table at a version and commits an exact set of files.
//! * [`writer`] turns a stream of batches into Parquet files.
//! * [`scan`] reads a pinned version as a plain Parquet scan with statistics.
//! * [`kept_files`] keeps files in memory that are read again and again.
//! * [`keyed`] finds the rows with a key in a pinned version without a scan.
//! * [`generation`] publishes and reads generations.
//! * [`lease`] lets one refresh at a time through.
//! * [`maintenance`] deletes what no kept generation names.
//! * [`object`] writes one object elsewhere: a file for somebody else.
//! * [`durable`] is the store of a lake in a folder: what it acknowledged survives a power cut.
//!
//! **Invariant:** readers never open "latest" of a derived table; they open the version that a generation names.

pub(crate) mod delta;
mod durable;
pub(crate) mod generation;
pub(crate) mod kept_files;
pub(crate) mod keyed;
pub(crate) mod layout;
pub(crate) mod lease;
pub(crate) mod maintenance;
pub(crate) mod object;
pub(crate) mod scan;
#[cfg(test)]
mod unsteady;
pub(crate) mod writer;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::object_store::ObjectStoreUrl;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::sync::OnceCell;
use url::Url;

use self::durable::DurableFileSystem;
use crate::error::{EngineError, ErrorKind, Result};

/// An open lake: the object store, and the prefix in it under which everything lies.
#[derive(Clone)]
pub(crate) struct Lake {
    /// The lake's own URL, with a trailing slash.
    pub(crate) url: Url,
    /// The whole file system or bucket.
    pub(crate) root: Arc<dyn ObjectStore>,
    /// The name under which DataFusion finds `root`.
    pub(crate) root_url: ObjectStoreUrl,
    /// Where the lake begins inside `root`.
    pub(crate) prefix: Path,
    /// Set once the store is known to keep the condition of writes.
    keeps_conditions: Arc<OnceCell<()>>,
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Lake({})", self.url)
    }
}

impl Lake {
    /// Opens the lake at `location`: a path relative to `project`, a `file://` URL or an `s3://bucket/prefix` URL.
    /// `storage_options` hold what the environment says about the store (`AWS_REGION`, `AWS_ENDPOINT_URL`, ...).
    ///
    /// # Errors
    /// InvalidInput for a location that is not understood or options that do not fit the store.
    pub(crate) fn open(
        location: &str,
        project: &std::path::Path,
        storage_options: &HashMap<String, String>,
    ) -> Result<Self> {
        match Url::parse(location) {
            Ok(url) if url.scheme() == "s3" => Self::open_s3(url, storage_options),
            Ok(url) if url.scheme() == "file" => {
                let path = url.to_file_path().map_err(|()| {
                    EngineError::invalid(format!(
                        "`{location}` is not a path on this machine: write file:///absolute/path"
                    ))
                })?;
                Self::open_local(&path)
            }
            Ok(url) if url.scheme().len() > 1 => Err(EngineError::invalid(format!(
                "lake url `{location}`: scheme `{}` is not supported: use a folder, file:// or s3://",
                url.scheme()
            ))),
            _ => Self::open_local(&project.join(location)),
        }
    }

    fn open_local(path: &std::path::Path) -> Result<Self> {
        // The whole path: a project is often `.`.
        let absolute = std::path::absolute(path)?;
        check_path(&absolute)?;
        durable::create_folder(&absolute).map_err(|error| {
            EngineError::from(error).context(format!("cannot create the lake folder `{}`", path.display()))
        })?;
        Self::in_folder(path, Arc::new(DurableFileSystem::default()))
    }

    /// A lake in a folder for temporary files: nobody looks for it after a power cut.
    ///
    /// # Errors
    /// InvalidInput for a folder that is not there.
    pub(crate) fn scratch(folder: &std::path::Path) -> Result<Self> {
        Self::in_folder(folder, Arc::new(LocalFileSystem::new()))
    }

    fn in_folder(folder: &std::path::Path, root: Arc<dyn ObjectStore>) -> Result<Self> {
        let path = folder.canonicalize()?;
        check_path(&path)?; // where a link leads
        let url = Url::from_directory_path(&path)
            .map_err(|()| EngineError::invalid(format!("`{}` is not an absolute path", path.display())))?;
        Ok(Self {
            url,
            root,
            root_url: ObjectStoreUrl::local_filesystem(),
            prefix: Path::from_absolute_path(&path).map_err(|error| EngineError::invalid(error.to_string()))?,
            // `durable` makes files with hard links, which cannot overwrite.
            keeps_conditions: Arc::new(OnceCell::new_with(Some(()))),
        })
    }

    fn open_s3(mut url: Url, options: &HashMap<String, String>) -> Result<Self> {
        let bucket = url
            .host_str()
            .ok_or_else(|| EngineError::invalid(format!("lake url `{url}` names no bucket: write s3://bucket/prefix")))?
            .to_owned();
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let store = s3_store(&bucket, options)?;
        let prefix = Path::from_url_path(url.path()).map_err(|error| EngineError::invalid(error.to_string()))?;
        let root_url = ObjectStoreUrl::parse(format!("s3://{bucket}"))?;
        Ok(Self { url, root: Arc::new(store), root_url, prefix, keeps_conditions: Arc::default() })
    }

    /// Refuses a store on which the second of two "create if absent" writes succeeds: on such a store, commits of
    /// concurrent writers would silently overwrite each other. The store is asked once.
    ///
    /// # Errors
    /// FailedPrecondition when the store does not hold the condition; Unavailable when it cannot be reached.
    pub(crate) async fn verify_conditional_put(&self) -> Result<()> {
        self.keeps_conditions.get_or_try_init(async || self.try_conditional_put().await).await.copied()
    }

    async fn try_conditional_put(&self) -> Result<()> {
        let path = layout::probe(&self.prefix);
        match self.root.put_opts(&path, PutPayload::from_static(b"1"), PutOptions::from(PutMode::Create)).await {
            // Where the reply to the first try was lost, the client's second one finds what the first wrote.
            Ok(_) | Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let second = self.root.put_opts(&path, PutPayload::from_static(b"2"), PutOptions::from(PutMode::Create)).await;
        self.root.delete(&path).await?;
        match second {
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(()),
            Ok(_) => Err(EngineError::failed_precondition(format!(
                "the store of lake `{}` ignores `If-None-Match`: two writers would overwrite each other and lose data; use a store with conditional writes",
                self.url
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a small object that must not exist yet. Returns false when another one does: no two writers have the same
    /// content.
    pub(crate) async fn put_if_absent(&self, path: &Path, content: impl Into<Bytes>) -> Result<bool> {
        let content: Bytes = content.into();
        let payload = PutPayload::from_bytes(content.clone());
        let Err(error) = self.root.put_opts(path, payload, PutOptions::from(PutMode::Create)).await else {
            return Ok(true);
        };
        // It may be there all the same: the client gives up a write whose reply it waits for in vain, and finds its own
        // object where it repeats one whose reply was lost.
        match (self.get(path).await, error) {
            (Ok(Some(found)), _) => Ok(found == content),
            (Ok(None), object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(false)
            }
            (_, error) => Err(error.into()),
        }
    }

    /// The numbers of the objects in a folder of numbered ones, ascending.
    pub(crate) async fn numbers(&self, folder: &Path) -> Result<Vec<u64>> {
        let objects = self.root.list(Some(folder));
        let mut numbers: Vec<u64> = objects
            .try_filter_map(|object| async move { Ok(layout::number_of(&object.location)) })
            .try_collect()
            .await?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Reads a small object; `None` when there is none.
    pub(crate) async fn get(&self, path: &Path) -> Result<Option<Bytes>> {
        match self.root.get(path).await {
            Ok(object) => Ok(Some(object.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A table's name: `schema.table`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TableName {
    /// The schema: a stage of the journey.
    pub(crate) schema: String,
    /// The table.
    pub(crate) table: String,
}

impl TableName {
    /// `schema.table`.
    pub(crate) fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { schema: schema.into(), table: table.into() }
    }

    /// Parses `schema.table`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text.split_once('.') {
            Some((schema, table)) if !schema.is_empty() && !table.is_empty() && !table.contains('.') => {
                Ok(Self::new(schema, table))
            }
            _ => Err(EngineError::new(
                ErrorKind::InvalidInput,
                format!("`{text}` is not a table name: write `schema.table`"),
            )),
        }
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.schema, self.table)
    }
}

/// Refuses paths that the libraries which write and read a table understand in two ways.
fn check_path(path: &std::path::Path) -> Result<()> {
    let path = path.to_string_lossy();
    let is_digits = |after: &str| after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if path.contains(|sign: char| sign == '\\' || sign.is_control()) || path.split('%').skip(1).any(is_digits) {
        return Err(EngineError::invalid(format!(
            "a lake cannot be in `{}`: its path has a backslash, a control character, or `%` before two digits, as in `%20`; rename \
             the folder, or set `[lake] url`",
            path.escape_debug()
        )));
    }
    Ok(())
}

/// A bucket, with what the environment says about the store.
fn s3_store(bucket: &str, options: &HashMap<String, String>) -> Result<AmazonS3> {
    let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
    for (key, value) in options {
        if let Ok(key) = key.to_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    Ok(builder.build()?)
}

#[cfg(test)]
mod tests {
    use super::unsteady::unsteady_lake;
    use super::*;

    #[test]
    fn test_paths_that_libraries_read_in_two_ways_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a%20b", "a%2Fb", "a\\b", "a\nb"] {
            let error = Lake::open("lake", &folder.path().join(name), &HashMap::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(!folder.path().join(name).exists());
        }
        for name in ["a b", "50%", "%zz", "é#?&*"] {
            Lake::open("lake", &folder.path().join(name), &HashMap::new()).unwrap();
        }
        std::fs::create_dir(folder.path().join("b%20c")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("b%20c"), folder.path().join("link")).unwrap();
        assert!(Lake::open("link", folder.path(), &HashMap::new()).is_err());
    }

    #[tokio::test]
    async fn test_a_write_whose_reply_is_lost_counts() {
        let (_folder, lake, store) = unsteady_lake();
        let path = layout::generation(&lake.prefix, 1);
        store.lose_replies(1);
        assert!(lake.put_if_absent(&path, "ours").await.unwrap());
        assert!(lake.put_if_absent(&path, "ours").await.unwrap(), "the client may have repeated it");
        store.lose_replies(1);
        assert!(!lake.put_if_absent(&path, "theirs").await.unwrap());
        store.refuse_writes(1);
        let refused = lake.put_if_absent(&layout::generation(&lake.prefix, 2), "ours").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert_eq!(lake.numbers(&layout::generations(&lake.prefix)).await.unwrap(), [1]);
    }
}
