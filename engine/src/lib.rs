//! Tessera's engine: lands customer data in an object store, resolves who is who, builds profiles, behaviour and
//! segments, and answers SQL over them.
//!
//! A record's journey, and the modules in its order:
//!
//! ```text
//!  files ──► landing ──► staging ──► identity ──► profile ──► segment
//!            (landing)      │        (identity)   (profile)   (segment)
//!                           └───────► behavior ──────┘
//!                                    (behavior)
//!            after landing, SQL models of `sql/` make the tables, run by `model` over tables of `store` in the
//!            order that `refresh` finds in the SQL; only traits and members of segments are computed in Rust, by
//!            `evaluation`; all tables are published together as one generation
//! ```
//!
//! Callers use [`Engine`]. The engine knows nothing of networks, command lines, environment variables or consoles, and
//! inside it an arrow points one way only:
//!
//! ```text
//! error, ids, clock, config, decimal, json_text, salesforce_id, limits, progress <- store <- query <- project, model <- expression <- evaluation <- landing, identity, profile, behavior, segment <- refresh, lookup <- snapshot <- engine
//! ```
//!
//! What always holds:
//!
//! * What was acknowledged is never lost and counts once; bad input is in `landing.quarantine` with its reason.
//! * A reader sees one generation, whole. A refresh that fails or is killed leaves the last one served.
//! * An incremental refresh gives the same tables as a full one, ids included.

mod behavior;
mod clock;
mod config;
mod decimal;
mod engine;
mod error;
mod evaluation;
mod expression;
mod identity;
mod ids;
mod json_text;
mod landing;
mod limits;
mod lookup;
mod model;
mod profile;
mod progress;
mod project;
mod query;
mod refresh;
mod salesforce_id;
mod segment;
mod snapshot;
mod store;

pub use clock::{Clock, Micros};
pub use config::corrections::{Correction, Verdict};
pub use config::*;
pub use engine::personas::{Division, Persona, Personas};
pub use engine::segments::{Breakdown, ComparedColumn, Comparison, SegmentEstimate, SegmentMember, SegmentReading};
pub use engine::uploaded_lists::ListSummary;
pub use engine::{Engine, EngineOptions, QueryResult};
pub use error::{EngineError, ErrorKind, Result};
pub use identity::explain::{ExplainedLink, Explanation};
pub use identity::{keep_graph as keep_identity_graph, session as identity_session};
pub use landing::{BatchReport, Input};
pub use lookup::{ProfileCard, ProfileKey};
pub use progress::{Event, Progress};
pub use query::limited::QueryLimits;
pub use refresh::report::{RefreshReport, StepReport};
pub use refresh::run::{RefreshOptions, RefreshRun};
pub use refresh::schedule::Timetable;
pub use refresh::simulate::Simulation;
pub use segment::saved::{SavedSegment, SavedSegments, SegmentContent};
pub use snapshot::{Snapshot, Statement, TableInfo};
