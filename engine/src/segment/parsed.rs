//! Parsing of all segments. A process that evaluates them again and again keeps them parsed: most files are as they were.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::prelude::SessionContext;
use futures::future::try_join_all;

use crate::error::Result;
use crate::evaluation::column_type;
use crate::expression::{self, ColumnType, ReadSegments, SegmentDefinition, SourceFile};
use crate::query::cpu_runtime::joined;

/// Files that a thread parses before it does something else, which takes it about a millisecond.
const FILES_AT_ONCE: usize = 64;
/// What a parsed expression takes in memory for each byte of its text, about.
const BYTES_PER_TEXT_BYTE: usize = 16;

/// The columns that expressions may name, with their types.
type Columns = Vec<(String, ColumnType)>;
type Definitions = HashMap<SourceFile, Arc<SegmentDefinition>>;

/// The segments that were parsed last: an extension of a session.
pub(crate) struct ParsedSegments {
    held: MemoryReservation,
    last: Mutex<(Arc<Columns>, Arc<Definitions>)>,
}

impl fmt::Debug for ParsedSegments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ParsedSegments({} bytes)", self.held.size())
    }
}

impl ParsedSegments {
    /// None yet; they will take memory of `pool`.
    pub(crate) fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        Self { held: MemoryConsumer::new("parsed segments").register(pool), last: Mutex::default() }
    }

    /// Those that were parsed against the same columns.
    fn known(&self, columns: &Columns) -> Arc<Definitions> {
        let last = self.last();
        if *last.0 == *columns { Arc::clone(&last.1) } else { Arc::default() }
    }

    /// Keeps these in place of the last ones, if there is memory.
    fn keep(&self, columns: Arc<Columns>, definitions: Definitions) {
        let bytes = definitions.keys().map(|file| BYTES_PER_TEXT_BYTE * file.text.len()).sum();
        let mut last = self.last();
        let is_held = self.held.try_resize(bytes).is_ok();
        *last = if is_held { (columns, Arc::new(definitions)) } else { Default::default() };
        if !is_held {
            self.held.free();
        }
    }

    fn last(&self) -> MutexGuard<'_, (Arc<Columns>, Arc<Definitions>)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parses all files against the columns that profiles have now, in an order in which each comes after those it names.
///
/// # Errors
/// InvalidInput with file, line, column and the nearest known names, for all files that are wrong.
pub(crate) async fn parse(session: &SessionContext, files: &[SourceFile]) -> Result<Vec<SegmentDefinition>> {
    expression::parse_segments(files, &columns(session).await?)
}

/// The columns that expressions may name.
///
/// # Errors
/// What the catalog reports.
pub(crate) async fn columns(session: &SessionContext) -> Result<Columns> {
    let profiles = session.table("profile.profiles").await?;
    let known = profiles.schema().fields().iter();
    Ok(known.filter_map(|field| Some((field.name().clone(), column_type(field.data_type())?))).collect())
}

/// Parses each file for itself, by all threads, but for those that the session knows from before.
pub(super) async fn read(session: &SessionContext, files: &[SourceFile]) -> Result<ReadSegments> {
    let columns = Arc::new(columns(session).await?);
    let parsed = session.copied_config().get_extension::<ParsedSegments>();
    let known = parsed.as_ref().map_or_else(Arc::default, |parsed| parsed.known(&columns));
    let tasks = files.chunks(FILES_AT_ONCE).map(|some| {
        let (some, columns, known) = (some.to_vec(), Arc::clone(&columns), Arc::clone(&known));
        joined(SpawnedTask::spawn(async move {
            let read = |file: &SourceFile| match known.get(file) {
                Some(definition) => Ok(SegmentDefinition::clone(definition)),
                None => expression::parse_segment(file, &columns),
            };
            Ok(ReadSegments::new(&some, read))
        }))
    });
    let read: ReadSegments = try_join_all(tasks).await?.into_iter().collect();
    if let Some(parsed) = parsed {
        let right = files.iter().zip(read.definitions()).filter_map(|(file, definition)| Some((file, definition?)));
        let definitions = right.map(|(file, definition)| {
            let known = known.get(file).map_or_else(|| Arc::new(definition.clone()), Arc::clone);
            (file.clone(), known)
        });
        parsed.keep(columns, definitions.collect());
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    fn definitions(text: &str) -> (SourceFile, Definitions) {
        let file =
            SourceFile { name: "loyal".to_owned(), file: "segments/loyal.sql".to_owned(), text: text.to_owned() };
        let definition = expression::parse_segment(&file, &of_age()).unwrap();
        (file.clone(), HashMap::from([(file, Arc::new(definition))]))
    }

    fn of_age() -> Columns {
        vec![("age".to_owned(), ColumnType::Integer)]
    }

    #[test]
    fn test_only_the_same_file_over_the_same_columns_is_known() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1000));
        let parsed = ParsedSegments::new(&pool);
        let (file, of_file) = definitions("age > 30");
        parsed.keep(Arc::new(of_age()), of_file);
        assert!(parsed.known(&of_age()).contains_key(&file));
        assert!(!parsed.known(&of_age()).contains_key(&SourceFile { text: "age > 31".to_owned(), ..file.clone() }));
        assert!(parsed.known(&vec![("age".to_owned(), ColumnType::Text)]).is_empty());
        assert_eq!(pool.reserved(), BYTES_PER_TEXT_BYTE * "age > 30".len());
        // What has no room takes none.
        parsed.keep(Arc::new(of_age()), definitions(&["age > 30"; 10].join(" and ")).1);
        assert!(parsed.known(&of_age()).is_empty());
        assert_eq!(pool.reserved(), 0);
    }
}
