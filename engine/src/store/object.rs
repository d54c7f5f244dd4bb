//! One object at a URL, written as its bytes come: it is there whole or not at all.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use super::s3_store;
use crate::error::{EngineError, ErrorKind, Result};

/// Writes `pieces` to a `file://` or an `s3://bucket/key` URL, and returns how many bytes they are. `storage_options` hold
/// what the environment says about the store.
///
/// # Errors
/// AlreadyExists if there is such an object; InvalidInput for a URL that is not understood; the error of a piece; what the
/// store reports.
pub(crate) async fn write_object(
    url: &str,
    storage_options: &HashMap<String, String>,
    pieces: impl Stream<Item = Result<Bytes>> + Send,
) -> Result<u64> {
    let (store, path) = locate(url, storage_options)?;
    match store.head(&path).await {
        Err(object_store::Error::NotFound { .. }) => {}
        Ok(_) => {
            return Err(EngineError::new(
                ErrorKind::AlreadyExists,
                format!("`{url}` is there already: remove it, or write to another name"),
            ));
        }
        Err(error) => return Err(error.into()),
    }
    let mut writer = BufWriter::new(store, path);
    let mut pieces = std::pin::pin!(pieces);
    let mut written = 0;
    while let Some(piece) = pieces.next().await {
        let put = match piece {
            Ok(piece) => {
                written += piece.len() as u64;
                writer.put(piece).await.map_err(EngineError::from)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = put {
            // What was begun is of no use; that it cannot be thrown away does not matter beside why.
            drop(writer.abort().await);
            return Err(error);
        }
    }
    tokio::io::AsyncWriteExt::shutdown(&mut writer).await?;
    Ok(written)
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
        ("file", None) => Ok((Arc::new(LocalFileSystem::new()), path)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
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
    async fn test_what_names_no_object_is_refused() {
        for url in ["", "members.csv", "ftp://a/b", "s3://bucket", "s3://bucket/", "file:///tmp/", "file://host/a"] {
            assert_eq!(write(url, Vec::new()).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{url}");
        }
        let folder = tempfile::tempdir().unwrap();
        let refused = write(Url::from_file_path(folder.path()).unwrap().as_str(), Vec::new()).await.unwrap_err();
        assert!(refused.to_string().ends_with("is a folder: name a file in it"), "{refused}");
    }
}
