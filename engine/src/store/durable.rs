//! A folder as a store whose writes survive a power cut. [`LocalFileSystem`] leaves it to the operating system when a file
//! goes to the disk: for half a minute it may be there by name only, empty.
//!
//! * A file gets its name when its content is on the disk. So a log entry, a checkpoint or a generation is there whole or
//!   not at all, whenever the power fails.
//! * Nothing is acknowledged before the name is on the disk, too. So data files are safe before the commit that names them
//!   begins, and a commit before anybody is told of it.
//! * Folders are synced in the one that holds them when they are made.
//!
//! Deletions are not synced: what comes back is what nobody names.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// All files of this machine.
#[derive(Debug, Default)]
pub(crate) struct DurableFileSystem {
    inner: LocalFileSystem,
}

impl std::fmt::Display for DurableFileSystem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Durable({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for DurableFileSystem {
    async fn put_opts(&self, location: &Location, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) || !options.attributes.is_empty() {
            // Files have neither versions nor attributes; the inner store says so.
            return self.inner.put_opts(location, payload, options).await;
        }
        let must_be_new = options.mode == PutMode::Create;
        let path = self.inner.path_to_filesystem(location)?;
        on_disk(path, move |path| write(path, &payload, must_be_new)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Location,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        on_disk(path.clone(), |path| create_folder(folder_of(path)?)).await?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(Upload { inner, path }))
    }

    async fn get_opts(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Location, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Location>>) -> BoxStream<'static, Result<Location>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Location>, offset: &Location) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Location>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Location, to: &Location, options: CopyOptions) -> Result<()> {
        let path = self.inner.path_to_filesystem(to)?;
        on_disk(path.clone(), |path| create_folder(folder_of(path)?)).await?;
        self.inner.copy_opts(from, to, options).await?;
        on_disk(path, sync).await
    }
}

/// A large file, written in parts.
#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        on_disk(self.path.clone(), sync_staged).await?;
        let completed = self.inner.complete().await?;
        on_disk(self.path.clone(), sync).await?;
        Ok(completed)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

/// Makes `folder`, and what it lies in, where they are not there yet.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder_of(folder)?;
    create_folder(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // Somebody else made it in this instant, or it is a file.
            if !folder.is_dir() {
                return Err(ErrorKind::NotADirectory.into());
            }
        }
        created => created?,
    }
    sync_folder(parent)
}

/// Writes a file beside where it shall be, and gives it its name when it is whole.
fn write(path: &Path, payload: &PutPayload, must_be_new: bool) -> io::Result<()> {
    let folder = folder_of(path)?;
    create_folder(folder)?;
    let (staged, mut file) = stage(path)?;
    let written = payload.iter().try_for_each(|bytes| file.write_all(bytes)).and_then(|()| file.sync_data());
    drop(file); // Some network file systems keep a file that is open from being renamed.
    // A link, unlike a new name, cannot take the place of another file.
    let named =
        written.and_then(|()| if must_be_new { fs::hard_link(&staged, path) } else { fs::rename(&staged, path) });
    if must_be_new || named.is_err() {
        // Nobody reads it, and maintenance deletes what stayed of data files.
        let _ = fs::remove_file(&staged);
    }
    named?;
    sync_folder(folder)
}

/// Begins `<path>#<number>`, as [`LocalFileSystem`] does, which shows such files to nobody.
fn stage(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut number = 1_u64;
    loop {
        let mut staged = path.as_os_str().to_owned();
        staged.push(format!("#{number}"));
        match File::create_new(&staged) {
            Ok(file) => return Ok((staged.into(), file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Brings to the disk what [`LocalFileSystem`] wrote of a file that has no name yet.
fn sync_staged(path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for entry in fs::read_dir(folder_of(path)?)? {
        let entry = entry?;
        let is_staged =
            entry.file_name().to_string_lossy().strip_prefix(name.as_ref()).is_some_and(|rest| rest.starts_with('#'));
        // What has gone was another writer's.
        if is_staged && let Ok(file) = File::open(entry.path()) {
            file.sync_data()?;
        }
    }
    Ok(())
}

/// Brings a file that has its name to the disk.
fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_data()?;
    sync_folder(folder_of(path)?)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // File systems that cannot sync a folder, such as some of networks, write names at once or leave it to their server.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it lies in no folder: name a file in one"))
}

/// Does what waits for the disk on a thread that may wait.
async fn on_disk(path: PathBuf, work: impl FnOnce(&Path) -> io::Result<()> + Send + 'static) -> Result<()> {
    tokio::task::spawn_blocking(move || {
        work(&path).map_err(|error| {
            let name = path.display().to_string();
            let kind = error.kind();
            let source = Box::new(io::Error::new(kind, format!("cannot write `{name}`: {error}")));
            match kind {
                ErrorKind::AlreadyExists => Error::AlreadyExists { path: name, source },
                _ => Error::Generic { store: "file", source },
            }
        })
    })
    .await?
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    fn at(folder: &tempfile::TempDir, name: &str) -> Location {
        Location::from_absolute_path(folder.path().join(name)).unwrap()
    }

    fn create() -> PutOptions {
        PutOptions::from(PutMode::Create)
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn test_files_are_written_and_nothing_stays_beside_them() {
        let (folder, store) = (tempfile::tempdir().unwrap(), DurableFileSystem::default());
        store.put(&at(&folder, "new/folder/put"), "first".into()).await.unwrap();
        store.put(&at(&folder, "new/folder/put"), "second".into()).await.unwrap();
        store.copy(&at(&folder, "new/folder/put"), &at(&folder, "new/copies/put")).await.unwrap();
        let mut upload = store.put_multipart(&at(&folder, "new/folder/parts")).await.unwrap();
        for part in ["one ", "two"] {
            upload.put_part(part.into()).await.unwrap();
        }
        upload.complete().await.unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join("new").join(name)).unwrap();
        assert_eq!([read("folder/put"), read("copies/put"), read("folder/parts")], ["second", "second", "one two"]);
        assert_eq!(names(&folder.path().join("new/folder")), ["parts", "put"]);
    }

    #[tokio::test]
    async fn test_what_is_there_is_not_created_again() {
        let (folder, store) = (tempfile::tempdir().unwrap(), DurableFileSystem::default());
        let entry = at(&folder, "entry");
        let writes = (0..8).map(|writer| store.put_opts(&entry, PutPayload::from(vec![writer]), create()));
        let written = futures::future::join_all(writes).await;
        let winner = written.iter().position(Result::is_ok).unwrap();
        assert_eq!(fs::read(folder.path().join("entry")).unwrap(), [u8::try_from(winner).unwrap()]);
        let refused = |result: &&Result<PutResult>| matches!(result, Err(Error::AlreadyExists { .. }));
        assert_eq!(written.iter().filter(refused).count(), 7);
        assert_eq!(names(folder.path()), ["entry"]);
    }

    #[tokio::test]
    async fn test_what_a_killed_writer_left_is_in_nobodys_way() {
        let (folder, store) = (tempfile::tempdir().unwrap(), DurableFileSystem::default());
        fs::write(folder.path().join("entry#1"), "ha").unwrap();
        store.put_opts(&at(&folder, "entry"), "whole".into(), create()).await.unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("entry")).unwrap(), "whole");
        assert_eq!(names(folder.path()), ["entry", "entry#1"]);
    }

    #[tokio::test]
    async fn test_a_file_in_place_of_a_folder_is_an_error_that_names_it() {
        let (folder, store) = (tempfile::tempdir().unwrap(), DurableFileSystem::default());
        fs::write(folder.path().join("file"), "").unwrap();
        let refused = store.put(&at(&folder, "file/entry"), "".into()).await.unwrap_err();
        assert!(matches!(refused, Error::Generic { .. }), "{refused:?}");
        assert!(refused.to_string().contains("file/entry`: not a directory"), "{refused}");
    }
}
