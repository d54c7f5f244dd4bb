//! Look-ups: the rows with a key in a pinned version of a table, without a scan.
//!
//! * [`keys`] names the tables and their keys; the writer gives those tables small pages.
//! * [`index`] says in which rows of a file a key is, in memory.
//! * [`file`] is a data file with its indexes; [`reader`] gets its bytes.
//! * [`cache`] keeps files open and blocks of rows, within the memory that look-ups may hold.
//! * [`table`] finds the rows.

pub(crate) mod cache;
mod file;
mod index;
pub(crate) mod keys;
mod reader;
pub(crate) mod table;
