//! Answers as files, piece by piece: memory does not grow with the answer.

use std::io::Write;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder};
use arrow::csv::WriterBuilder as CsvWriterBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::LineDelimitedWriter;
use arrow::json::writer::{EncoderOptions, make_encoder};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tessera_engine::{Engine, EngineError, QueryResult};
use url::Url;

/// The most bytes of a piece. A group of rows of Parquet or a batch of wide rows is more than clients of gRPC take in one
/// message: 4 MiB, unless they are told otherwise.
const PIECE_BYTES_MAX: usize = 1 << 20;
/// Rows and bytes of a row group of Parquet, about: a writer holds one until it is complete. As in the files of the lake.
const ROW_GROUP_ROWS: usize = 256 << 10;
const ROW_GROUP_BYTES: usize = 64 << 20;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FileFormat {
    Csv,
    Ndjson,
    Parquet,
}

impl FileFormat {
    /// What a file of this name or URL is by its ending; `None` for other endings.
    pub(crate) fn of_name(file: &str) -> Option<Self> {
        let ending = Path::new(file).extension()?.to_str()?;
        <Self as clap::ValueEnum>::from_str(ending, true).ok()
    }
}

/// Makes a file of batches.
pub(crate) trait Encoder: Send {
    /// What a batch adds to the file.
    ///
    /// # Errors
    /// What the format's writer reports.
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>>;

    /// What the file ends with.
    ///
    /// # Errors
    /// What the format's writer reports.
    fn end(self: Box<Self>) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

/// Begins a file of batches of `schema`, and returns what it begins with.
///
/// # Errors
/// For columns that the format cannot have.
pub(crate) fn begin(format: FileFormat, schema: &SchemaRef) -> Result<(Box<dyn Encoder>, Vec<u8>)> {
    Ok(match format {
        FileFormat::Csv => (Box::new(Csv), csv(&RecordBatch::new_empty(Arc::clone(schema)), true)?),
        FileFormat::Ndjson => (Box::new(Ndjson), Vec::new()),
        FileFormat::Parquet => {
            let pieces = Pieces::default();
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(Default::default()))
                .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
                .build();
            let writer = ArrowWriter::try_new(pieces.clone(), Arc::clone(schema), Some(properties))?;
            (Box::new(Parquet { writer, pieces }), Vec::new())
        }
    })
}

/// The file of an answer in pieces, none of them empty or longer than 1 MiB.
///
/// # Errors
/// For columns that the format cannot have. The error of a piece is the engine's where a batch has one.
pub(crate) fn pieces(result: QueryResult, format: FileFormat) -> Result<BoxStream<'static, Result<Bytes>>> {
    let (encoder, beginning) = begin(format, &result.schema)?;
    let rest = futures::stream::try_unfold((result.batches, Some(encoder)), |(mut batches, encoder)| async move {
        let Some(mut encoder) = encoder else { return Ok(None) };
        match batches.try_next().await? {
            Some(batch) => Ok(Some((encoder.encode(&batch)?, (batches, Some(encoder))))),
            None => Ok(Some((encoder.end()?, (batches, None)))),
        }
    });
    let all = futures::stream::iter([anyhow::Ok(beginning)]).chain(rest);
    Ok(all.map_ok(|encoded| futures::stream::iter(cut(encoded).map(Ok))).try_flatten().boxed())
}

/// Cuts what was encoded; nothing gives no piece.
fn cut(encoded: Vec<u8>) -> impl Iterator<Item = Bytes> {
    let mut rest = Bytes::from(encoded);
    std::iter::from_fn(move || {
        let piece = rest.split_to(rest.len().min(PIECE_BYTES_MAX));
        (!piece.is_empty()).then_some(piece)
    })
}

/// Writes a file at a URL at which nothing is yet, and returns its bytes.
///
/// # Errors
/// As [`Engine::write_file`]; FailedPrecondition for a path of this machine at which no file can be made.
pub(crate) async fn write(
    engine: &Engine,
    url: &str,
    pieces: BoxStream<'static, Result<Bytes>>,
) -> Result<u64, EngineError> {
    check_url(url)?;
    check_path(url).await?;
    let error = |error: anyhow::Error| error.downcast::<EngineError>().unwrap_or_else(unwritable);
    engine.write_file(url, pieces.map_err(error).boxed()).await
}

/// Refuses a URL of which a part would not be in the name of the file.
///
/// # Errors
/// InvalidInput.
pub(crate) fn check_url(url: &str) -> Result<(), EngineError> {
    match Url::parse(url) {
        Ok(parsed) if parsed.query().is_some() || parsed.fragment().is_some() => Err(EngineError::invalid(format!(
            "`{url}` has a `?` or a `#`, which end the name of a file in a URL; write them as %3F and %23"
        ))),
        _ => Ok(()), // whoever writes the file says what else is wrong
    }
}

/// Refuses a path of this machine at which no file can be made. To whoever writes there it would look like a store that does
/// not answer, or one that has to be tried for ever, as `/proc` is.
async fn check_path(url: &str) -> Result<(), EngineError> {
    let path = Url::parse(url).ok().filter(|parsed| parsed.scheme() == "file" && !url.ends_with('/'));
    let Some(path) = path.and_then(|parsed| parsed.to_file_path().ok()) else { return Ok(()) };
    if path.components().any(|part| part == Component::ParentDir) {
        return Ok(()); // such a URL is refused, and nothing shall be made elsewhere
    }
    // Files are called nearly so until they are whole.
    let mut beside = path.into_os_string();
    beside.push("#0");
    let tried = tokio::task::spawn_blocking(move || make_and_remove(Path::new(&beside))).await;
    tried.map_err(|error| EngineError::internal(error.to_string()))?.map_err(|error| {
        EngineError::failed_precondition(format!(
            "`{url}` cannot be written: {error}; name a path at which a file can be made"
        ))
    })
}

fn make_and_remove(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match std::fs::File::create_new(path) {
        Ok(_) => std::fs::remove_file(path),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()), // somebody else tries
        Err(error) => Err(error),
    }
}

/// Why a file cannot be written that has nothing to do with the query.
pub(crate) fn unwritable(error: anyhow::Error) -> EngineError {
    EngineError::invalid(format!("the file cannot be written: {error:#}"))
}

struct Csv;

impl Encoder for Csv {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        csv(batch, false)
    }
}

struct Ndjson;

impl Encoder for Ndjson {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        ndjson(batch)
    }
}

struct Parquet {
    writer: ArrowWriter<Pieces>,
    pieces: Pieces,
}

impl Encoder for Parquet {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        self.writer.write(batch)?;
        Ok(self.pieces.take())
    }

    fn end(self: Box<Self>) -> Result<Vec<u8>> {
        self.writer.close().context("the end of the file")?;
        Ok(self.pieces.take())
    }
}

/// A batch as CSV. It is formatted in memory and then written: the CSV writer would turn the reason of a failed write into
/// text.
///
/// # Errors
/// What the format's writer reports.
pub(crate) fn csv(batch: &RecordBatch, with_header: bool) -> Result<Vec<u8>> {
    let mut writer = CsvWriterBuilder::new().with_header(with_header).build(Vec::new());
    writer.write(&flattened(batch)?)?;
    Ok(writer.into_inner())
}

fn ndjson(batch: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer: LineDelimitedWriter<_> =
        arrow::json::WriterBuilder::new().with_explicit_nulls(true).build(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// CSV has no lists: they are JSON in it, which tells their values apart.
fn flattened(batch: &RecordBatch) -> Result<RecordBatch> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if !column.data_type().is_nested() {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
            continue;
        }
        let mut encoder = make_encoder(field, column.as_ref(), &options)?;
        let mut texts = StringBuilder::new();
        for row in 0..column.len() {
            let mut json = Vec::new();
            if column.is_valid(row) {
                encoder.encode(row, &mut json);
            }
            texts.append_option(column.is_valid(row).then(|| String::from_utf8(json)).transpose()?);
        }
        fields.push(Field::new(field.name(), DataType::Utf8, true));
        columns.push(Arc::new(texts.finish()));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// What a writer has written and nobody has taken yet.
#[derive(Debug, Clone, Default)]
struct Pieces(Arc<Mutex<Vec<u8>>>);

impl Pieces {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::ListBuilder;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;

    #[test]
    fn test_lists_in_csv_are_json() {
        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.append_value([Some("x, y"), Some("z")]);
        lists.append_value([Some("x"), None, Some("\"")]);
        lists.append_null();
        let batch = RecordBatch::try_from_iter([("tags", Arc::new(lists.finish()) as ArrayRef)]).unwrap();
        let expected = "tags\n\"[\"\"x, y\"\",\"\"z\"\"]\"\n\"[\"\"x\"\",null,\"\"\\\"\"\"\"]\"\n\"\"\n";
        assert_eq!(String::from_utf8(csv(&batch, true).unwrap()).unwrap(), expected);
    }

    #[test]
    fn test_a_long_parquet_file_has_several_row_groups() {
        let rows = ROW_GROUP_ROWS + 1;
        let numbers: ArrayRef = Arc::new(arrow::array::Int64Array::from_iter_values(0..rows as i64));
        let batch = RecordBatch::try_from_iter([("number", numbers)]).unwrap();
        let (mut encoder, mut file) = begin(FileFormat::Parquet, &batch.schema()).unwrap();
        file.extend(encoder.encode(&batch).unwrap());
        assert!(file.len() > 64 << 10, "a complete group is handed on before the file ends: {}", file.len());
        file.extend(encoder.end().unwrap());
        let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
        let groups: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(groups, [ROW_GROUP_ROWS as i64, 1]);
    }

    #[test]
    fn test_pieces_are_short_and_nothing_is_lost() {
        let encoded: Vec<u8> = (0..PIECE_BYTES_MAX * 2 + 1).map(|place| (place % 251) as u8).collect();
        let pieces: Vec<Bytes> = cut(encoded.clone()).collect();
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [PIECE_BYTES_MAX, PIECE_BYTES_MAX, 1]);
        assert!(pieces.concat() == encoded);
        assert_eq!(cut(Vec::new()).count(), 0);
    }

    #[tokio::test]
    async fn test_a_path_at_which_no_file_can_be_made_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let url = |name: &str| Url::from_file_path(folder.path().join(name)).unwrap().to_string();
        std::fs::write(folder.path().join("file"), "").unwrap();
        for wrong in [url("file/a.csv"), url(&"x".repeat(300))] {
            let refused = check_path(&wrong).await.unwrap_err();
            assert_eq!(refused.kind(), tessera_engine::ErrorKind::FailedPrecondition);
            assert!(refused.to_string().starts_with(&format!("`{wrong}` cannot be written: ")), "{refused}");
        }
        for right in [url("new/a.csv"), url("file"), "s3://bucket/a.csv".to_owned(), "no URL".to_owned()] {
            assert!(check_path(&right).await.is_ok(), "{right}");
        }
        assert!(check_path(&url("new/..%2fb.csv").replace("%25", "%")).await.is_ok());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left but the new folder");
        assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 0);
    }

    #[test]
    fn test_a_url_is_a_name_and_nothing_more() {
        for wrong in ["file:///tmp/a?b=c.csv", "file:///tmp/a#b.csv", "s3://bucket/a?", "s3://bucket/a#"] {
            assert!(check_url(wrong).unwrap_err().to_string().contains("%3F"), "{wrong}");
        }
        for right in ["file:///tmp/a%3Fb%23.csv", "s3://bucket/a b.csv", "no URL"] {
            assert!(check_url(right).is_ok(), "{right}");
        }
    }
}
