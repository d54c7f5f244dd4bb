//! Every limit of the engine that is not a setting, with its unit in its name and its reason.

/// How often a commit is tried again when other writers were first. Each try is one small read and one small write.
pub(crate) const COMMIT_ATTEMPTS_MAX: usize = 200;

/// After so many commits the Delta log is folded into a checkpoint, so that opening a table stays cheap.
pub(crate) const COMMITS_PER_CHECKPOINT: u64 = 10;

/// Models of a refresh that run at the same time. Two keep the processors busy while one of them reads or ends; more would
/// only hold more memory.
pub(crate) const MODELS_AT_ONCE: usize = 2;

/// How many generations stay readable with `--as-of`.
pub(crate) const GENERATIONS_KEPT: u64 = 20;

/// A generation stays readable for so long after it was published, however many followed: a query may still read it.
pub(crate) const GENERATION_HOURS_MIN: i64 = 1;

/// Objects or tables that are read at once where many have to be: on an object store each takes a while to answer.
pub(crate) const STORE_READS: usize = 16;

/// Entries of one table's log that are read at once, while other tables are read too.
pub(crate) const LOG_READS: usize = 4;

/// Rows of a row group: small enough that statistics rule some out, large enough to compress.
pub(crate) const ROW_GROUP_ROWS: usize = 256 * 1024;

/// Bytes of a row group, about: a writer holds one until it is complete.
pub(crate) const ROW_GROUP_BYTES: usize = 64 * 1024 * 1024;

/// The same where rows are sets of 100 KB each: they are read whole, and one group is a task for one thread.
pub(crate) const SETS_GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Rows of a batch of sets.
pub(crate) const SETS_BATCH_ROWS: usize = 64;

/// What was written stays in memory for who reads it next, up to so many bytes.
pub(crate) const KEPT_IN_MEMORY_BYTES: usize = 256 * 1024 * 1024;

/// Rows of a page in tables that are looked into row by row: a look-up reads whole pages.
pub(crate) const PAGE_ROWS: usize = 1024;

/// A column's dictionary in such a table: a look-up reads it beside the page.
pub(crate) const PAGE_DICTIONARY_BYTES: usize = 16 * 1024;

/// What a page of all columns that a look-up reads takes in memory, about.
pub(crate) const BLOCK_BYTES: usize = 128 * 1024;

/// A file with pages of more rows was written for scans only: look-ups that read them would be no faster.
pub(crate) const BLOCK_ROWS_MAX: usize = 16 * PAGE_ROWS;

/// Bytes of a list that is uploaded: one cell of a table holds it.
pub(crate) const LIST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most links of one profile that are shown as its graph.
pub(crate) const GRAPH_LINKS_MAX: u64 = 10_000;

/// What hangs together by more links is not explained: to find a chain among them takes too long.
pub(crate) const EXPLAINED_LINKS_MAX: u64 = 1_000_000;

/// A person with more events is looked up by a scan: ordering so many takes as long.
pub(crate) const LOOKUP_ROWS_MAX: usize = 100_000;

/// A look-up that needs more blocks of a table is done by a scan, whose memory is bounded.
pub(crate) const LOOKUP_BLOCKS_MAX: usize = 128;

/// Files or blocks that one look-up, or the opening of a table for look-ups, reads at once.
pub(crate) const LOOKUP_READS: usize = 8;

/// Blocks that all look-ups together read at once.
pub(crate) const BLOCK_READS_MAX: usize = 32;

/// Bytes at the end of a file that are read at first: most footers are shorter.
pub(crate) const FOOTER_BYTES: usize = 64 * 1024;

/// The share of the memory for queries that look-ups may hold unless [serve] says otherwise.
pub(crate) const LOOKUP_MEMORY_SHARE: usize = 4;

/// The share of the memory for queries that the identity graph may hold which a server keeps from refresh to refresh.
pub(crate) const GRAPH_MEMORY_SHARE: usize = 8;

/// The share of it that files may hold which a server's refreshes read again and again.
pub(crate) const KEPT_FILES_MEMORY_SHARE: usize = 8;

/// What an identifier takes in the graph, about.
pub(crate) const GRAPH_IDENTIFIER_BYTES: usize = 128;

/// Rows with more stored bytes count as wide.
pub(crate) const WIDE_ROW_BYTES: u64 = 48;

/// Rows of a data file; a stream that is longer goes on in the next file. Merges rewrite whole files.
pub(crate) const FILE_ROWS_MAX: u64 = 2 * 1024 * 1024;

/// A refresh that did not renew its lease for so long counts as dead.
pub(crate) const LEASE_SECONDS: i64 = 30;

/// How far the clock of a lease's holder may be ahead. A lease that was renewed further in the future counts as dead: it would be
/// fresh for as long as that clock is wrong. A holder who is that far ahead loses a lease that it still renews, as does one
/// who is [`LEASE_SECONDS`] behind; both find out before they publish.
pub(crate) const LEASE_SKEW_SECONDS: i64 = 30;

/// How often a refresh renews its lease.
pub(crate) const LEASE_RENEWAL_SECONDS: u64 = 5;

/// A file of a landing table that no commit names is deleted after so long: a running ingest may still commit it.
pub(crate) const ORPHAN_HOURS: i64 = 24;

/// With more files than this in the log of a table, those are deleted that no kept version needs.
pub(crate) const LOG_ENTRIES_MAX: usize = 256;

/// A state that is appended to is rewritten when its appended rows outnumber its base by this share.
pub(crate) const COMPACTION_SHARE: f64 = 0.5;

/// A file with fewer rows counts as small.
pub(crate) const SMALL_FILE_ROWS: u64 = 64 * 1024;

/// With more small files than this, the next refresh of the table writes them together.
pub(crate) const SMALL_FILES_MAX: usize = 16;

/// With so many replaced keys for each file of a keyed table, no file is free of them unless rows lie in the keys' order;
/// looking for one is not worth a scan.
pub(crate) const REPLACED_KEYS_PER_FILE: usize = 1024;

/// A state in more files than this is folded, however small they are.
pub(crate) const STATE_FILES_MAX: usize = 64;

/// Attributes that get a column of their own in `profile.profiles`; the others are in `profile.attributes` only.
pub(crate) const ATTRIBUTE_COLUMNS_MAX: usize = 200;

/// Batches of an answer that wait for a client: enough to keep a query busy, few enough to let it wait for a slow one.
pub(crate) const BATCHES_IN_FLIGHT: usize = 4;

/// A query that finds all places taken is refused after so long.
pub(crate) const QUERY_WAIT_SECONDS: u64 = 10;

/// Queries that run at once unless [serve] says otherwise: each holds memory, and more of them only wait for processors.
pub(crate) const QUERIES_MAX: usize = 16;

/// Older generations that stay open for those who page through them.
pub(crate) const SNAPSHOTS_OPEN_MAX: usize = 4;

/// Text of an input parsed at once: large enough to spread the cost of a hand-over, small enough that a few fit in any memory.
pub(crate) const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// What quarantine keeps of a row's text: enough to see what it was.
pub(crate) const QUARANTINE_RAW_BYTES_MAX: usize = 64 * 1024;

/// Calls in one batch call. SDKs send at most some hundreds; more is an attack or a mistake.
pub(crate) const BATCH_ELEMENTS_MAX: usize = 65_535;

/// A line with a batch call may be so many times longer than one event may be.
pub(crate) const BATCH_EVENTS_FACTOR: usize = 8;

/// Depth of nested JSON, the same as serde_json's own: readers of the stored text must not overflow their stacks.
pub(crate) const JSON_DEPTH_MAX: usize = 128;

/// Text of rows that are handed on at once, about: what a chunk becomes may be many times longer than the chunk, and one array
/// holds less than 2 GiB.
pub(crate) const PART_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Rows of a Parquet input read at once.
pub(crate) const PARQUET_BATCH_ROWS: usize = 1024;

/// What they may take if all have the largest size that lands: one array holds less than 2 GiB.
pub(crate) const PARQUET_BATCH_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Values of a column that are told apart where people are counted by it; all others are counted together.
pub(crate) const VALUES_SHOWN: usize = 50;

/// Operators of one expression of a query, those of the expressions inside it included: each makes the tree deeper that the
/// query is parsed and planned as, and who walks a tree needs stack. Long expressions take long to plan, too.
pub(crate) const QUERY_OPERATORS_MAX: usize = 2_000;

/// `union`, `intersect` and `except` of a query: they make its tree deeper.
pub(crate) const QUERY_SET_OPERATIONS_MAX: usize = 1_000;

/// Words and signs that the parser reads of a query. It reads arguments of functions twice, those of functions in arguments
/// four times, and so on; it reads about a million in a second.
pub(crate) const QUERY_TOKENS_READ_MAX: u64 = 2_000_000;

/// Bytes of a saved segment's title, purpose or description.
pub(crate) const SEGMENT_WORDS_BYTES_MAX: usize = 4 * 1024;

/// What a function such as `repeat` or `range` adds to one batch of rows at most, in bytes: no operator reserves it.
pub(crate) const FUNCTION_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes that `||` makes of one batch of rows at most, those included that it is given: it is often part of another.
pub(crate) const CONCATENATED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Bytes of a delimiter of `string_agg`, which is behind each row of a batch before its size is asked.
pub(crate) const DELIMITER_BYTES_MAX: usize = 1024;

/// Tables of a query as it is planned, see `query::bounds`: so many take a second or two.
pub(crate) const QUERY_TABLES_MAX: u64 = 1_000;

/// Stack of a thread that parses, plans or drops queries. The deepest that the limits above let through took 48 MiB where
/// nothing is optimised, and 32 MiB where it is. It is memory of the machine only where it is used.
pub(crate) const QUERY_STACK_BYTES: usize = 128 * 1024 * 1024;
