//! The SQL that comes with the engine: every file of `sql/`, embedded by the build script.

include!(concat!(env!("OUT_DIR"), "/sql.rs"));
