//! One object at a URL, written as its bytes come: it is there whole or not at all.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::sync::oneshot::{self, Receiver};
use tokio::task::{JoinError, JoinSet};
use url::Url;

use super::durable::DurableFileSystem;
use super::s3_store;
use crate::error::{EngineError, ErrorKind, Result};

/// An object of fewer bytes is put in one request, a longer one in parts of so many. S3 takes 10,000 parts.
const PART_BYTES: usize = 10 << 20;
/// Parts that are sent at once.
const PARTS_AT_ONCE: usize = 4;

/// Writes `pieces` to a `file://` or an `s3://bucket/key` URL, and returns how many bytes they are. `storage_options` hold
/// what the environment says about the store. If the caller drops the future, nothing stays of a long object.
///
/// # Errors
/// AlreadyExists if there is such an object; InvalidInput for a URL that is not understood; the error of a piece; what the
/// store reports.
pub(crate) async fn write_object(
    url: &str,
    storage_options: &HashMap<String, String>,
    pieces: impl Stream<Item = Result<Bytes>> + Send + 'static,
) -> Result<u64> {
    let (store, path) = locate(url, storage_options)?;
    let object = Object { url: url.to_owned(), store, path };
    object.refuse_if_there().await?;
    // A task of its own outlives a caller who goes. Parts that nobody makes an object of stay at the store unseen, and cost
    // money.
    let (caller, gone) = oneshot::channel();
    let pieces = Pieces { pieces: pieces.boxed(), rest: BytesMut::new() };
    let written = tokio::spawn(object.write(pieces, gone)).await;
    drop(caller);
    written.map_err(unfinished)?
}

/// What is written, cut into parts.
struct Pieces {
    pieces: BoxStream<'static, Result<Bytes>>,
    rest: BytesMut,
}

impl Pieces {
    /// The next part. A shorter one, which may be empty, is the last.
    async fn part(&mut self) -> Result<Bytes> {
        while self.rest.len() < PART_BYTES {
            match self.pieces.next().await {
                Some(piece) => self.rest.extend_from_slice(&piece?),
                None => break,
            }
        }
        Ok(self.rest.split_to(self.rest.len().min(PART_BYTES)).freeze())
    }
}

/// Where it is written to.
struct Object {
    url: String,
    store: Arc<dyn ObjectStore>,
    path: Path,
}

impl Object {
    async fn refuse_if_there(&self) -> Result<()> {
        match self.store.head(&self.path).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            Ok(_) => Err(self.is_there()),
            Err(error) => Err(error.into()),
        }
    }

    fn is_there(&self) -> EngineError {
        let message = format!("`{}` is there already: remove it, or write to another name", self.url);
        EngineError::new(ErrorKind::AlreadyExists, message)
    }

    /// Writes until the end, or until the caller is `gone`.
    async fn write(self, mut pieces: Pieces, mut gone: Receiver<()>) -> Result<u64> {
        let first = tokio::select! {
            part = pieces.part() => part?,
            _ = &mut gone => return Err(abandoned()),
        };
        if first.len() < PART_BYTES {
            return self.put(first).await;
        }
        let upload = self.store.put_multipart(&self.path).await?;
        self.put_parts(upload, first, pieces, gone).await
    }

    /// Puts a short object. Of two who put one at the same time, the second is refused.
    async fn put(&self, bytes: Bytes) -> Result<u64> {
        let payload = PutPayload::from(bytes.clone());
        match self.store.put_opts(&self.path, payload, PutOptions::from(PutMode::Create)).await {
            Ok(_) => Ok(bytes.len() as u64),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                if self.holds(&bytes).await { Ok(bytes.len() as u64) } else { Err(self.is_there()) }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// True if the object is these bytes: then it is likely ours. A request whose reply was lost is sent again, and refused.
    async fn holds(&self, bytes: &Bytes) -> bool {
        match self.store.get(&self.path).await {
            Ok(found) if found.meta.size == bytes.len() as u64 => found.bytes().await.is_ok_and(|found| found == bytes),
            _ => false,
        }
    }

    /// Puts a long object, or throws away what was sent of it.
    async fn put_parts(
        &self,
        mut upload: Box<dyn MultipartUpload>,
        first: Bytes,
        pieces: Pieces,
        gone: Receiver<()>,
    ) -> Result<u64> {
        let written = tokio::select! {
            written = self.send_parts(upload.as_mut(), first, pieces) => written,
            _ = gone => Err(abandoned()),
        };
        if written.is_err() {
            // What was sent is of no use; that it cannot be thrown away does not matter beside why.
            drop(upload.abort().await);
        }
        written
    }

    async fn send_parts(&self, upload: &mut dyn MultipartUpload, first: Bytes, mut pieces: Pieces) -> Result<u64> {
        let (mut part, mut written, mut sending) = (first, 0, JoinSet::new());
        loop {
            let length = part.len();
            written += length as u64;
            if length > 0 {
                sending.spawn(upload.put_part(PutPayload::from(part)));
            }
            if length < PART_BYTES {
                break;
            }
            if sending.len() >= PARTS_AT_ONCE {
                sent(sending.join_next().await)?;
            }
            part = pieces.part().await?;
        }
        while !sending.is_empty() {
            sent(sending.join_next().await)?;
        }
        // Stores make an object of parts whether there is one or not. Who looks again here loses none but one that is
        // finished in the same instant.
        self.refuse_if_there().await?;
        upload.complete().await?;
        Ok(written)
    }
}

fn sent(part: Option<Result<object_store::Result<()>, JoinError>>) -> Result<()> {
    Ok(part.transpose().map_err(unfinished)?.transpose().map(drop)?)
}

fn unfinished(error: JoinError) -> EngineError {
    EngineError::internal(format!("the writing of an object did not end: {error}"))
}

fn abandoned() -> EngineError {
    EngineError::new(ErrorKind::Cancelled, "the object is not written: whoever asked for it has gone")
}

fn locate(url: &str, storage_options: &HashMap<String, String>) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let wrong =
        || EngineError::invalid(format!("`{url}` names no object: write s3://bucket/key or file:///absolute/path"));
    let parsed = Url::parse(url).map_err(|_| wrong())?;
    let path = Path::from_url_path(parsed.path()).map_err(|_| wrong())?;
    match (parsed.scheme(), parsed.host_str()) {
        _ if path.as_ref().is_empty() || url.ends_with('/') => Err(wrong()),
        ("s3", Some(bucket)) => Ok((Arc::new(s3_store(bucket, storage_options)?), path)),
        ("file", None) if parsed.to_file_path().is_ok_and(|path| path.is_dir()) => {
            Err(EngineError::invalid(format!("`{url}` is a folder: name a file in it")))
        }
        ("file", None) => Ok((Arc::new(DurableFileSystem::default()), path)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use object_store::memory::InMemory;
    use object_store::{PutResult, UploadPart};
    use tokio::sync::Barrier;

    use super::*;

    async fn write(url: &str, pieces: Vec<Result<Bytes>>) -> Result<u64> {
        write_object(url, &HashMap::new(), futures::stream::iter(pieces)).await
    }

    #[tokio::test]
    async fn test_an_object_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let url = |name: &str| Url::from_file_path(folder.path().join(name)).unwrap().to_string();
        let pieces = || vec![Ok(Bytes::from_static(b"one ")), Ok(Bytes::from_static(b"two"))];
        assert_eq!(write(&url("new/a b.csv"), pieces()).await.unwrap(), 7);
        assert_eq!(std::fs::read_to_string(folder.path().join("new/a b.csv")).unwrap(), "one two");
        let again = write(&url("new/a b.csv"), pieces()).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        let broken = vec![Ok(Bytes::from_static(b"one ")), Err(EngineError::invalid("broken"))];
        assert_eq!(write(&url("other.csv"), broken).await.unwrap_err().to_string(), "broken");
        assert!(!folder.path().join("other.csv").exists());
    }

    #[tokio::test]
    async fn test_a_long_object_is_written_in_parts_and_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_file_path(folder.path().join("long")).unwrap().to_string();
        for length in [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 6 * PART_BYTES + 7] {
            let content: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
            let pieces = content.chunks(3 << 20).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            assert_eq!(write(&url, pieces).await.unwrap(), length as u64);
            let written = std::fs::read(folder.path().join("long")).unwrap();
            assert!(written == content, "{length}");
            std::fs::remove_file(folder.path().join("long")).unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left beside it");
    }

    #[tokio::test]
    async fn test_of_two_writers_at_the_same_time_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_file_path(folder.path().join("one")).unwrap().to_string();
        let (url, options) = (url.as_str(), HashMap::new());
        let options = &options;
        let both_began = Arc::new(Barrier::new(2));
        let write = |content: &'static [u8]| {
            let both_began = Arc::clone(&both_began);
            let piece = async move {
                both_began.wait().await;
                Ok(Bytes::from_static(content))
            };
            async move { write_object(url, options, futures::stream::once(piece)).await }
        };
        let (left, right) = tokio::join!(write(b"left"), write(b"right"));
        let written = std::fs::read_to_string(folder.path().join("one")).unwrap();
        let (winner, other) = if written == "left" { (left, right) } else { (right, left) };
        assert_eq!(winner.unwrap(), written.len() as u64);
        assert_eq!(other.unwrap_err().kind(), ErrorKind::AlreadyExists);
    }

    /// What was done to an upload.
    #[derive(Debug, Clone, Default)]
    struct Recorded(Arc<Mutex<Vec<&'static str>>>);

    impl Recorded {
        fn note(&self, what: &'static str) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what);
        }

        fn notes(&self) -> Vec<&'static str> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    }

    #[async_trait::async_trait]
    impl MultipartUpload for Recorded {
        fn put_part(&mut self, _: PutPayload) -> UploadPart {
            self.note("part");
            Box::pin(std::future::ready(Ok(())))
        }

        async fn complete(&mut self) -> object_store::Result<PutResult> {
            self.note("complete");
            Ok(PutResult { e_tag: None, version: None })
        }

        async fn abort(&mut self) -> object_store::Result<()> {
            self.note("abort");
            Ok(())
        }
    }

    #[tokio::test]
    async fn test_parts_become_an_object_or_are_thrown_away() {
        let part = Bytes::from(vec![0; PART_BYTES]);
        let upload = async |pieces: BoxStream<'static, Result<Bytes>>, gone| {
            let object = Object { url: String::new(), store: Arc::new(InMemory::new()), path: Path::from("a") };
            let recorded = Recorded::default();
            let pieces = Pieces { pieces, rest: BytesMut::new() };
            let written = object.put_parts(Box::new(recorded.clone()), part.clone(), pieces, gone).await;
            (written.map_err(|error| error.kind()), recorded.notes())
        };
        let (caller, gone) = oneshot::channel();
        let last = futures::stream::iter([Ok(Bytes::from_static(b"last"))]).boxed();
        let (written, notes) = upload(last, gone).await;
        assert_eq!((written, notes), (Ok(PART_BYTES as u64 + 4), vec!["part", "part", "complete"]));
        drop(caller);

        let (caller, gone) = oneshot::channel();
        let broken = futures::stream::iter([Err(EngineError::invalid("broken"))]).boxed();
        assert_eq!(upload(broken, gone).await, (Err(ErrorKind::InvalidInput), vec!["part", "abort"]));
        drop(caller);

        let (caller, gone) = oneshot::channel::<()>();
        drop(caller);
        let endless = futures::stream::pending().boxed();
        let (written, notes) = upload(endless, gone).await;
        assert_eq!((written, notes.last()), (Err(ErrorKind::Cancelled), Some(&"abort")));
    }

    #[tokio::test]
    async fn test_a_caller_who_goes_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_file_path(folder.path().join("long")).unwrap().to_string();
        let part = futures::stream::iter([Ok(Bytes::from(vec![0; PART_BYTES]))]);
        let (options, pieces) = (HashMap::new(), part.chain(futures::stream::pending()));
        let count = || std::fs::read_dir(folder.path()).unwrap().count();
        let begun = async {
            while count() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = write_object(&url, &options, pieces) => unreachable!(),
            () = begun => {}
        }
        while count() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn test_what_names_no_object_is_refused() {
        for url in ["", "members.csv", "ftp://a/b", "s3://bucket", "s3://bucket/", "file:///tmp/", "file://host/a"] {
            assert_eq!(write(url, Vec::new()).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{url}");
        }
        let folder = tempfile::tempdir().unwrap();
        let refused = write(Url::from_file_path(folder.path()).unwrap().as_str(), Vec::new()).await.unwrap_err();
        assert!(refused.to_string().ends_with("is a folder: name a file in it"), "{refused}");
    }
}
