//! The engine's one error type: sorted by whose fault it is and what the caller can do.

use std::error::Error as StdError;
use std::fmt;

/// In the place of what a library says of values.
const NOT_WRITTEN_DOWN: &str = "a value of the data is wrong for the query; which one is not written down: the command line prints it, as `tessera refresh` does";

/// A result whose error is an [`EngineError`].
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// What went wrong, by remedy. Servers map each kind to one status code, the command line to an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller's text, file, configuration or SQL is wrong: mend it.
    InvalidInput,
    /// The named thing does not exist.
    NotFound,
    /// The named thing exists already.
    AlreadyExists,
    /// The lake is not in a state that allows this: do something else first.
    FailedPrecondition,
    /// Somebody else did it at the same time: try again.
    Conflict,
    /// A limit (memory, disk, size) was reached.
    Exhausted,
    /// It took longer than it may.
    DeadlineExceeded,
    /// The object store did not answer: try again.
    Unavailable,
    /// The caller went away.
    Cancelled,
    /// Stored data contradict themselves.
    DataCorrupt,
    /// A bug of ours.
    Internal,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::InvalidInput,
        Self::NotFound,
        Self::AlreadyExists,
        Self::FailedPrecondition,
        Self::Conflict,
        Self::Exhausted,
        Self::DeadlineExceeded,
        Self::Unavailable,
        Self::Cancelled,
        Self::DataCorrupt,
        Self::Internal,
    ];
}

/// An error that says what, where, and what to do. `Display` prints the message; the cause is in [`StdError::source`].
pub struct EngineError {
    kind: ErrorKind,
    message: String,
    /// The message without what it quotes of the data; `None` if it quotes nothing.
    without_values: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl EngineError {
    /// An error of `kind` with `message` (lower case, no full stop, names in backticks).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), without_values: None, source: None }
    }

    /// An error whose message is a library's and may quote values of the data.
    fn quoting(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { without_values: Some(NOT_WRITTEN_DOWN.to_owned()), ..Self::new(kind, message) }
    }

    /// The caller's input is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// The named thing does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// Something else has to be done first.
    pub fn failed_precondition(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::FailedPrecondition, message)
    }

    /// Stored data contradict themselves.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::DataCorrupt, message)
    }

    /// A table names a file that is not there: to the caller that is not "what you asked for does not exist".
    fn data_file_gone(path: &str) -> Self {
        Self::corrupt(format!(
            "data file `{path}` is gone: something other than Tessera removed it; bring it back, or write the derived tables anew with `tessera refresh --full`"
        ))
    }

    /// A bug of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The same error, of the same kind, saying first where it happened.
    #[must_use]
    pub fn context(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self.without_values = self.without_values.map(|message| format!("{place}: {message}"));
        self
    }

    /// The message for logs and tables, which quotes no value of the data: that may be somebody's address.
    pub fn without_values(&self) -> &str {
        self.without_values.as_deref().unwrap_or(&self.message)
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl fmt::Debug for EngineError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.kind, self.message)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for EngineError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<std::io::Error> for EngineError {
    fn from(error: std::io::Error) -> Self {
        Self::new(kind_of_io(&error), error.to_string())
    }
}

impl From<arrow::error::ArrowError> for EngineError {
    fn from(error: arrow::error::ArrowError) -> Self {
        match error {
            arrow::error::ArrowError::ExternalError(source) => from_external(source),
            error => Self::quoting(ErrorKind::Internal, error.to_string()),
        }
    }
}

impl From<parquet::errors::ParquetError> for EngineError {
    fn from(error: parquet::errors::ParquetError) -> Self {
        match error {
            parquet::errors::ParquetError::External(source) => match source.downcast_ref() {
                Some(object_store::Error::NotFound { path, .. }) => Self::data_file_gone(path),
                _ => from_external(source),
            },
            error => Self::corrupt(error.to_string()),
        }
    }
}

impl From<object_store::Error> for EngineError {
    fn from(error: object_store::Error) -> Self {
        Self::new(kind_of_store(&error), error.to_string())
    }
}

impl From<deltalake_core::DeltaTableError> for EngineError {
    fn from(error: deltalake_core::DeltaTableError) -> Self {
        use deltalake_core::DeltaTableError as Delta;
        match &error {
            // Others were first, again and again.
            Delta::Transaction { .. } | Delta::VersionAlreadyExists(_) => {
                Self::new(ErrorKind::Unavailable, error.to_string())
            }
            // Entries of logs have minima and maxima of columns.
            _ => match kind_of_cause(&error) {
                Some(kind) => Self::new(kind, error.to_string()),
                None => Self::quoting(ErrorKind::DataCorrupt, error.to_string()),
            },
        }
    }
}

impl From<serde_json::Error> for EngineError {
    fn from(error: serde_json::Error) -> Self {
        Self::quoting(ErrorKind::DataCorrupt, error.to_string())
    }
}

/// On the way through a query that an operator or a function of ours is part of.
impl From<EngineError> for datafusion::error::DataFusionError {
    fn from(error: EngineError) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<datafusion::error::DataFusionError> for EngineError {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        let mut error = of_query(error);
        error.message = with_our_names(&error.message);
        error.without_values = error.without_values.as_deref().map(with_our_names);
        error
    }
}

/// What the query engine calls its settings, and what they are called here. One of them is none here; one it does not name.
const SETTINGS: [(&str, &str); 4] = [
    (
        "Additional allocation failed for",
        "there is not enough memory: ask for less at once, or raise `memory_limit` in [engine] of tessera.toml; more is needed by",
    ),
    (", or decreasing the config: 'datafusion.execution.sort_spill_reservation_bytes'", ""),
    ("'datafusion.runtime.memory_limit'", "`memory_limit` in [engine] of tessera.toml"),
    (
        "Please try increasing the config: `datafusion.runtime.max_temp_directory_size`",
        "Ask for less, or raise `memory_limit` in [engine] of tessera.toml",
    ),
];

fn with_our_names(message: &str) -> String {
    SETTINGS.iter().fold(message.to_owned(), |message, (theirs, ours)| message.replace(theirs, ours))
}

fn of_query(error: datafusion::error::DataFusionError) -> EngineError {
    use datafusion::error::DataFusionError;
    match error {
        DataFusionError::Context(context, inner) => of_query(*inner).context(context),
        DataFusionError::Diagnostic(_, inner) => of_query(*inner),
        DataFusionError::External(source) => from_external(source),
        DataFusionError::ObjectStore(source) => (*source).into(),
        DataFusionError::IoError(source) => of_temporary(source),
        DataFusionError::ParquetError(source) => (*source).into(),
        DataFusionError::ArrowError(source, _) => of_kernel(*source),
        error if may_quote_values(&error) => EngineError::quoting(kind_of(&error), error.strip_backtrace()),
        error => EngineError::new(kind_of(&error), error.strip_backtrace()),
    }
}

/// What a kernel reports inside a query: mostly what the query asks of its values, such as a division by zero.
fn of_kernel(error: arrow::error::ArrowError) -> EngineError {
    use arrow::error::ArrowError;
    match error {
        ArrowError::ExternalError(_) => error.into(),
        ArrowError::IoError(_, source) => of_temporary(source),
        ArrowError::ParquetError(message) => EngineError::corrupt(message),
        error => EngineError::quoting(ErrorKind::InvalidInput, error.to_string()),
    }
}

/// The lake is read and written by an object store, so other files are those that a query has no memory for.
fn of_temporary(error: std::io::Error) -> EngineError {
    let error = EngineError::from(error);
    if error.kind() != ErrorKind::Exhausted {
        return error;
    }
    let folder = std::env::temp_dir();
    error.context(format!(
        "the folder for temporary files, `{}`, is full: make room, or set TMPDIR to another",
        folder.display()
    ))
}

/// True for errors that computing values gives. The others name tables, columns, files and limits.
fn may_quote_values(error: &datafusion::error::DataFusionError) -> bool {
    use datafusion::error::DataFusionError;
    !matches!(
        error.find_root(),
        DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::Configuration(_)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::ResourcesExhausted(_)
            | DataFusionError::ObjectStore(_)
            | DataFusionError::IoError(_)
    )
}

fn kind_of(error: &datafusion::error::DataFusionError) -> ErrorKind {
    use datafusion::error::DataFusionError;
    match error.find_root() {
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::Configuration(_)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Execution(_)
        | DataFusionError::ArrowError(..) => ErrorKind::InvalidInput,
        DataFusionError::ResourcesExhausted(_) => ErrorKind::Exhausted,
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// An engine error that travelled through a library comes out as itself.
fn from_external(source: Box<dyn StdError + Send + Sync>) -> EngineError {
    match source.downcast::<EngineError>() {
        Ok(error) => *error,
        Err(source) => match source.downcast::<datafusion::error::DataFusionError>() {
            Ok(error) => (*error).into(),
            Err(source) => match source.downcast::<object_store::Error>() {
                Ok(error) => (*error).into(),
                Err(source) if kind_of_cause(source.as_ref()) == Some(ErrorKind::Exhausted) => {
                    EngineError::new(ErrorKind::Exhausted, source.to_string())
                }
                // A pattern that the query gives, or finds.
                Err(source) if source.is::<regex::Error>() => {
                    EngineError::quoting(ErrorKind::InvalidInput, source.to_string())
                }
                Err(source) => EngineError::quoting(ErrorKind::Internal, source.to_string()),
            },
        },
    }
}

fn kind_of_io(error: &std::io::Error) -> ErrorKind {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound => ErrorKind::NotFound,
        Io::StorageFull | Io::QuotaExceeded => ErrorKind::Exhausted,
        Io::InvalidData | Io::UnexpectedEof => ErrorKind::InvalidInput,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::FailedPrecondition,
        _ => ErrorKind::Unavailable,
    }
}

fn kind_of_store(error: &object_store::Error) -> ErrorKind {
    use object_store::Error;
    match error {
        Error::NotFound { .. } => ErrorKind::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ErrorKind::FailedPrecondition,
        Error::Generic { source, .. } => match kind_of_cause(source.as_ref()) {
            Some(kind @ (ErrorKind::Exhausted | ErrorKind::FailedPrecondition)) => kind,
            _ => ErrorKind::Unavailable,
        },
        _ => ErrorKind::Unavailable,
    }
}

/// Of what the store or the system reported, if either is an error's cause.
fn kind_of_cause(error: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<object_store::Error>() {
            return Some(kind_of_store(error));
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return Some(kind_of_io(error));
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::error::ArrowError;
    use datafusion::error::DataFusionError;

    use super::*;

    const ADDRESS: &str = "ada@example.com";

    #[test]
    fn test_what_is_written_down_quotes_no_value() {
        let cast = || ArrowError::CastError(format!("Cannot cast string '{ADDRESS}' to value of Int64 type"));
        let in_query = || DataFusionError::ArrowError(Box::new(cast()), None);
        let no_pattern = regex::Regex::new(&format!("{ADDRESS}(")).unwrap_err();
        for (error, kind) in [
            (EngineError::from(cast()), ErrorKind::Internal),
            (EngineError::from(in_query()), ErrorKind::InvalidInput),
            (EngineError::from(in_query().context("while casting")), ErrorKind::InvalidInput),
            (EngineError::from(DataFusionError::Shared(Arc::new(in_query()))), ErrorKind::InvalidInput),
            (EngineError::from(DataFusionError::Execution(ADDRESS.to_owned())), ErrorKind::InvalidInput),
            (EngineError::from(DataFusionError::External(Box::new(in_query()))), ErrorKind::InvalidInput),
            (DataFusionError::from(EngineError::from(in_query()).context("inside")).into(), ErrorKind::InvalidInput),
            (DataFusionError::External(Box::new(no_pattern)).into(), ErrorKind::InvalidInput),
        ] {
            let error = error.context("models/my/table.sql");
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(ADDRESS), "{error}");
            let written = error.without_values();
            assert!(!written.contains(ADDRESS), "{written}");
            assert!(written.starts_with("models/my/table.sql: ") && written.contains("`tessera refresh`"), "{written}");
        }
    }

    #[test]
    fn test_what_quotes_nothing_is_written_down_as_it_is() {
        for error in [
            EngineError::failed_precondition("a check failed"),
            DataFusionError::Plan("No field named x".to_owned()).into(),
            DataFusionError::ResourcesExhausted("too much".to_owned()).context("a sort").into(),
        ] {
            let error = error.context("models/my/table.sql");
            assert_eq!(error.without_values(), error.to_string());
        }
    }

    #[test]
    fn test_what_the_store_reports_is_told_from_what_is_damaged() {
        use deltalake_core::DeltaTableError as Delta;
        let io = |kind: std::io::ErrorKind| object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(std::io::Error::from(kind)),
        };
        let cut = || serde_json::from_str::<u32>("{").unwrap_err();
        let broken = || Delta::InvalidJsonLog { json_err: cut(), line: ADDRESS.to_owned(), version: 3 };
        for (error, kind) in [
            (io(std::io::ErrorKind::QuotaExceeded).into(), ErrorKind::Exhausted),
            (io(std::io::ErrorKind::PermissionDenied).into(), ErrorKind::FailedPrecondition),
            (io(std::io::ErrorKind::TimedOut).into(), ErrorKind::Unavailable),
            (Delta::ObjectStore { source: io(std::io::ErrorKind::StorageFull) }.into(), ErrorKind::Exhausted),
            (Delta::GenericError { source: Box::new(io(std::io::ErrorKind::TimedOut)) }.into(), ErrorKind::Unavailable),
            (Delta::InvalidVersion(7).into(), ErrorKind::DataCorrupt),
            (broken().into(), ErrorKind::DataCorrupt),
        ] {
            let error: EngineError = error;
            assert_eq!(error.kind(), kind, "{error}");
            assert!(!error.without_values().contains(ADDRESS));
        }
    }

    #[test]
    fn test_a_full_temporary_folder_is_not_taken_for_a_full_lake() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        for error in [
            DataFusionError::IoError(full()),
            DataFusionError::ArrowError(Box::new(ArrowError::IoError(String::new(), full())), None),
        ] {
            let error = EngineError::from(error);
            assert_eq!(error.kind(), ErrorKind::Exhausted);
            assert!(error.to_string().contains("TMPDIR"), "{error}");
        }
        assert!(!EngineError::from(full()).to_string().contains("TMPDIR"));
    }

    #[test]
    fn test_settings_have_the_names_that_they_have_here() {
        let exhausted = || DataFusionError::ResourcesExhausted("more is needed".to_owned());
        let advice = "Consider increasing the memory limit config: 'datafusion.runtime.memory_limit', or decreasing the config: 'datafusion.execution.sort_spill_reservation_bytes'.";
        let disk = "Please try increasing the config: `datafusion.runtime.max_temp_directory_size`.";
        for error in [
            exhausted().context(advice),
            DataFusionError::Shared(Arc::new(exhausted().context(advice))),
            DataFusionError::External(Box::new(exhausted().context(advice).context("a sort"))),
            DataFusionError::ResourcesExhausted(advice.to_owned()),
            DataFusionError::IoError(std::io::Error::other(disk)),
        ] {
            let error = EngineError::from(error);
            assert!(!error.to_string().contains("datafusion"), "{error}");
            assert!(error.to_string().contains("`memory_limit` in [engine]"), "{error}");
            assert_eq!(error.without_values(), error.to_string());
        }
    }
}
