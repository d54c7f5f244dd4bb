//! Where the bytes of a batch come from: a file or a stream, plain or compressed.

use std::fs::File;
use std::io::{Chain, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{EngineError, Result};

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
/// Of a frame of data, and of one that is skipped, with which `pzstd` begins: the first byte of that is any from 0x50 on.
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const ZSTD_SKIPPED_MAGIC: &[u8] = &[0x2a, 0x4d, 0x18];
const PARQUET_MAGIC: &[u8] = b"PAR1";

/// One batch to land.
pub enum Input {
    /// A file of the local file system.
    File(PathBuf),
    /// A stream, standard input for example. `name` stands for the file's name in messages and in quarantine.
    Reader {
        /// How the stream is called.
        name: String,
        /// Its bytes.
        reader: Box<dyn Read + Send>,
    },
}

impl Input {
    /// What messages and `landing.quarantine` call this input: the path as given, or the stream's name.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Reader { name, .. } => name.clone(),
        }
    }

    /// The file's path; None for a stream.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Reader { .. } => None,
        }
    }

    /// Opens the input and finds out, from its first bytes, how it is compressed.
    pub(crate) fn open(self) -> Result<OpenInput> {
        let name = self.name();
        let raw: Box<dyn Read + Send> = match self {
            Self::File(path) => {
                Box::new(File::open(path).map_err(|error| EngineError::from(error).context(format!("`{name}`")))?)
            }
            Self::Reader { reader, .. } => reader,
        };
        OpenInput::new(name, raw)
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Input({})", self.name())
    }
}

/// An input being read: `text` yields its decompressed bytes, `raw` knows what was read of it as given.
pub(crate) struct OpenInput {
    pub(crate) name: String,
    pub(crate) text: Box<dyn Read + Send>,
    pub(crate) raw: RawBytes,
    compression: Option<&'static str>,
}

impl OpenInput {
    fn new(name: String, raw: Box<dyn Read + Send>) -> Result<Self> {
        let counter = RawBytes::default();
        let mut counted = CountedReader { reader: raw, counter: counter.clone() };
        let mut magic = Vec::with_capacity(4);
        counted
            .by_ref()
            .take(4)
            .read_to_end(&mut magic)
            .map_err(|error| EngineError::from(error).context(format!("`{name}`")))?;
        if magic == PARQUET_MAGIC {
            return Err(EngineError::invalid(format!(
                "`{name}` is a Parquet file; set `format = \"parquet\"` in its source"
            )));
        }
        let is_gzip = magic.starts_with(GZIP_MAGIC);
        let is_zstd = magic == ZSTD_MAGIC
            || magic.first().is_some_and(|first| (0x50..0x60).contains(first)) && magic[1..] == *ZSTD_SKIPPED_MAGIC;
        let whole: Chain<Cursor<Vec<u8>>, CountedReader> = Cursor::new(magic).chain(counted);
        let (text, compression): (Box<dyn Read + Send>, _) = if is_gzip {
            let buffered = std::io::BufReader::with_capacity(256 * 1024, whole);
            (Box::new(flate2::bufread::MultiGzDecoder::new(buffered)), Some("gzip"))
        } else if is_zstd {
            (Box::new(zstd::stream::read::Decoder::new(whole)?), Some("zstd"))
        } else {
            (Box::new(whole), None)
        };
        Ok(Self { name, text, raw: counter, compression })
    }

    /// What a failed read means, and what to do.
    pub(crate) fn read_error(&self, error: std::io::Error, last_line: u64) -> EngineError {
        let place = format!("`{}` cannot be read after line {last_line}", self.name);
        match self.compression {
            Some(compression) if !self.raw.has_failed() => EngineError::invalid(format!(
                "{place}: its {compression} data are cut off or damaged ({error}); get a whole copy and land that"
            )),
            _ => EngineError::from(error).context(place),
        }
    }
}

/// Counts and hashes the bytes of an input as given.
#[derive(Clone, Default)]
pub(crate) struct RawBytes(Arc<Mutex<RawState>>);

#[derive(Default)]
struct RawState {
    hasher: blake3::Hasher,
    bytes: u64,
    has_failed: bool,
}

impl RawBytes {
    /// Bytes read so far.
    pub(crate) fn count(&self) -> u64 {
        self.lock().bytes
    }

    /// BLAKE3 of the bytes read so far, in hex.
    pub(crate) fn content_hash(&self) -> String {
        self.lock().hasher.finalize().to_hex().to_string()
    }

    fn has_failed(&self) -> bool {
        self.lock().has_failed
    }

    /// Takes note of more bytes.
    pub(crate) fn add(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.hasher.update(bytes);
        state.bytes += bytes.len() as u64;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, RawState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct CountedReader {
    reader: Box<dyn Read + Send>,
    counter: RawBytes,
}

impl Read for CountedReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.reader.read(buffer) {
            Ok(length) => {
                self.counter.add(&buffer[..length]);
                Ok(length)
            }
            Err(error) => {
                if error.kind() != std::io::ErrorKind::Interrupted {
                    self.counter.lock().has_failed = true;
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_what_begins_with_a_frame_to_skip_is_compressed_too() {
        let data = zstd::encode_all(&b"one line\n"[..], 1).unwrap();
        // As `pzstd` writes it: the frame to skip has the size of the one that follows.
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0], &(data.len() as u32).to_le_bytes()[..]].concat();
        for content in [data.clone(), [skipped, data].concat()] {
            let reader = Box::new(Cursor::new(content));
            let mut open = Input::Reader { name: "a.zst".to_owned(), reader }.open().unwrap();
            let mut text = String::new();
            open.text.read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), open.compression), ("one line\n", Some("zstd")));
        }
    }
}
