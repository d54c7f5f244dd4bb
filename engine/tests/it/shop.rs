//! A project in a temporary folder, and a dump of its tables that can be compared.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tempfile::TempDir;
use tessera_engine::{BatchReport, Clock, Engine, EngineOptions, Input, Progress, ProjectConfig, RefreshOptions};

/// 2026-06-01T00:00:00Z.
pub(crate) const START_MICROS: i64 = 1_780_272_000_000_000;

pub(crate) const CONFIG: &str = r#"
version = 1
[[source]]
name = "web"
format = "segment"
touchpoint = "web"

[[source]]
name = "crm"
format = "csv"
touchpoint = "crm"
key = "id"
updated_at = "updated"
deleted = "deleted"
identifiers = { crm_id = "id", email = "email" }
attributes = { first_name = "first_name", country = "country" }

[[source]]
name = "till"
format = "csv"
kind = "events"
touchpoint = "pos"
event = "Order Completed"
occurred_at = "at"
identifiers = { customer_id = "customer" }
revenue = "amount"

[identity]
namespaces = [
  { name = "crm_id" }, { name = "user_id" }, { name = "customer_id" },
  { name = "email", normalize = "email" }, { name = "anonymous_id" },
]
"#;

/// As `CONFIG`, but a person has only so many contacts, logins and addresses, what is linked to six others links nobody, and
/// attributes have rules.
pub(crate) fn limited() -> String {
    let limited = CONFIG
        .replace(
            r#"{ name = "crm_id" }, { name = "user_id" }"#,
            r#"{ name = "crm_id", unique = true }, { name = "user_id", unique = true }"#,
        )
        .replace(r#"{ name = "email", "#, r#"{ name = "email", limit = 2, "#);
    let rules = [("plan", "most_frequent"), ("age", "all"), ("first_name", "first"), ("country", "longest")];
    let rules: String =
        rules.iter().map(|(name, rule)| format!("[[attribute]]\nname = '{name}'\nrule = '{rule}'\n")).collect();
    let limited = format!("{limited}links_max = 5\n{rules}");
    assert_eq!(limited.matches("unique = true").count() + limited.matches("limit = 2").count(), 3);
    limited
}

/// A project with its engine, which keeps from refresh to refresh what a server does; the folder goes with it. Its clock moves only when told.
pub(crate) struct Shop {
    pub(crate) folder: TempDir,
    pub(crate) engine: Engine,
    clock: Arc<AtomicI64>,
}

fn open(folder: &TempDir, config: &str, clock: &Arc<AtomicI64>) -> Engine {
    let told = Arc::clone(clock);
    Engine::open(EngineOptions {
        project: folder.path().to_owned(),
        config: ProjectConfig::parse(config, "tessera.toml").unwrap(),
        storage_options: HashMap::new(),
        memory_bytes: 512 << 20,
        threads: 2,
        clock: Clock::from_fn(move || told.load(Ordering::SeqCst)),
    })
    .unwrap()
}

impl Shop {
    pub(crate) fn new(config: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(AtomicI64::new(START_MICROS));
        let engine = open(&folder, config, &clock).with_memory_of_refreshes();
        Self { folder, engine, clock }
    }

    /// The same with an engine that keeps nothing from refresh to refresh, as a command line does.
    pub(crate) fn forgetful(self, config: &str) -> Self {
        Self { engine: open(&self.folder, config, &self.clock), ..self }
    }

    /// Goes on with another configuration.
    pub(crate) fn configure(&mut self, config: &str) {
        self.engine = open(&self.folder, config, &self.clock).with_memory_of_refreshes();
    }

    /// Another engine of the same project, whose clock is ahead.
    pub(crate) fn engine_ahead(&self, config: &str, micros: i64) -> Engine {
        let ahead = Arc::new(AtomicI64::new(self.clock.load(Ordering::SeqCst) + micros));
        open(&self.folder, config, &ahead)
    }

    pub(crate) fn advance_days(&self, days: i64) {
        self.clock.fetch_add(days * 86_400_000_000, Ordering::SeqCst);
    }

    pub(crate) fn advance_minutes(&self, minutes: i64) {
        self.clock.fetch_add(minutes * 60_000_000, Ordering::SeqCst);
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) async fn land(&self, source: &str, text: &str) -> BatchReport {
        self.try_land(source, text).await.unwrap()
    }

    pub(crate) async fn try_land(&self, source: &str, text: &str) -> tessera_engine::Result<BatchReport> {
        let reader = Box::new(std::io::Cursor::new(text.as_bytes().to_vec()));
        let input = Input::Reader { name: "test".to_owned(), reader };
        let mut reports = Vec::new();
        let mut landed = |report| reports.push(report);
        self.engine.ingest(source, vec![input], &Progress::none(), &mut landed).await?;
        Ok(reports.remove(0))
    }

    pub(crate) async fn refresh(&self, full: bool) -> tessera_engine::RefreshReport {
        self.engine.refresh(RefreshOptions { full, ..Default::default() }, &Progress::none()).await.unwrap()
    }

    /// A segment as a query.
    pub(crate) async fn segment_sql(&self, expression: &str) -> String {
        let snapshot = self.engine.reload().await.unwrap();
        self.engine.read_segment(&snapshot, expression).await.unwrap().sql
    }

    /// The answer's rows as text, sorted.
    pub(crate) async fn rows(&self, query: &str) -> Vec<String> {
        text_rows(&self.engine.collect(query, &[], None).await.unwrap_or_else(|error| panic!("{query}: {error:?}")))
    }

    /// All rows of all derived tables, sorted; what is history by its nature is left out.
    pub(crate) async fn dump(&self) -> BTreeMap<String, Vec<String>> {
        let names = self
            .rows("select table_schema || '.' || table_name from information_schema.tables where table_schema in ('staging', 'identity', 'profile', 'behavior')")
            .await;
        let mut dump = BTreeMap::new();
        for name in names {
            // Steps and scratch tables tell what one refresh worked on; states are compared folded, through the views over them.
            let skipped = [
                "staging.suspects",
                "identity.components",
                "identity.crowded",
                "identity.crowded_sets",
                "identity.replayed",
                "identity.moved",
                "identity.causes",
                "identity.changed",
                "identity.changed_components",
                "identity.touched",
                "identity.touched_sets",
                "identity.touched_profiles",
                "identity.moves",
                "identity.event_sets",
                "identity.record_landings",
                "identity.sets",
                "behavior.measures",
                "behavior.defined_measures",
                "behavior.instants",
                "behavior.measure_definitions",
                "behavior.touched_measures",
            ];
            if !skipped.contains(&name.as_str()) {
                dump.insert(name.clone(), self.rows(&format!("select * from {name}")).await);
            }
        }
        dump.insert(
            "segment members".to_owned(),
            self.rows("select segment, profile_id from segment.memberships").await,
        );
        dump
    }
}

/// The rows as text, sorted.
pub(crate) fn text_rows(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = ordered_text_rows(batches);
    rows.sort();
    rows
}

/// The rows as text, as they come.
pub(crate) fn ordered_text_rows(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
        rows.extend(
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" | ")),
        );
    }
    rows
}
