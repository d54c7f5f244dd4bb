//! A store that behaves as networks do, for tests: replies are lost, writes are refused or slow, listings are out of date.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use super::Lake;

/// A lake in a folder of its own, and the store between the two.
pub(crate) fn unsteady_lake() -> (tempfile::TempDir, Lake, Arc<Unsteady>) {
    let folder = tempfile::tempdir().unwrap();
    let mut lake = Lake::open("lake", folder.path(), &HashMap::new()).unwrap();
    let store = Arc::new(Unsteady {
        inner: Arc::clone(&lake.root),
        replies_lost: AtomicUsize::new(0),
        writes_refused: AtomicUsize::new(0),
        listings_hidden: AtomicUsize::new(0),
        write_millis: AtomicU64::new(0),
        aborted: Arc::default(),
    });
    lake.root = Arc::clone(&store) as Arc<dyn ObjectStore>;
    (folder, lake, store)
}

/// A store and what becomes of the next calls.
#[derive(Debug)]
pub(crate) struct Unsteady {
    inner: Arc<dyn ObjectStore>,
    replies_lost: AtomicUsize,
    writes_refused: AtomicUsize,
    listings_hidden: AtomicUsize,
    write_millis: AtomicU64,
    aborted: Arc<AtomicUsize>,
}

impl Unsteady {
    /// The next writes are done, and nobody learns of it.
    pub(crate) fn lose_replies(&self, count: usize) {
        self.replies_lost.store(count, Ordering::SeqCst);
    }

    /// The next writes are not done.
    pub(crate) fn refuse_writes(&self, count: usize) {
        self.writes_refused.store(count, Ordering::SeqCst);
    }

    /// The next listings show nothing.
    pub(crate) fn hide_listings(&self, count: usize) {
        self.listings_hidden.store(count, Ordering::SeqCst);
    }

    /// Writes take so long, and are done also if nobody waits for them any more.
    pub(crate) fn delay_writes(&self, pause: Duration) {
        self.write_millis.store(u64::try_from(pause.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// How many uploads were thrown away.
    pub(crate) fn aborted(&self) -> usize {
        self.aborted.load(Ordering::SeqCst)
    }
}

/// Whether it is one of the next calls that are counted down.
fn is_one_of(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn timed_out() -> Error {
    Error::Generic { store: "unsteady", source: "operation timed out".into() }
}

impl fmt::Display for Unsteady {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Unsteady({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Unsteady {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if is_one_of(&self.writes_refused) {
            return Err(timed_out());
        }
        let (inner, location) = (Arc::clone(&self.inner), location.clone());
        let pause = Duration::from_millis(self.write_millis.load(Ordering::SeqCst));
        let writing = tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            inner.put_opts(&location, payload, options).await
        });
        let written = writing.await.unwrap();
        if is_one_of(&self.replies_lost) { Err(timed_out()) } else { written }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(Upload { inner, aborted: Arc::clone(&self.aborted) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if is_one_of(&self.listings_hidden) { futures::stream::empty().boxed() } else { self.inner.list(prefix) }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// An upload in parts.
#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    aborted: Arc<AtomicUsize>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.aborted.fetch_add(1, Ordering::SeqCst);
        self.inner.abort().await
    }
}
