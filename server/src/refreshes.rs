//! The refreshes of this server: starts them, follows them, and remembers the last ones. Older ones, and those of other
//! processes, are in `ops.refreshes`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tessera_engine::{Engine, EngineError, ErrorKind, Event, Micros, Progress, RefreshOptions, RefreshRun, StepReport};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::project;

/// How many refreshes are remembered.
const REMEMBERED: usize = 50;

/// How a refresh goes, or went.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum State {
    /// It runs.
    Running,
    /// It published this generation.
    Published(u64),
    /// It published nothing, for this reason.
    Failed(String, ErrorKind),
}

/// A refresh of this server.
#[derive(Debug, Clone)]
pub(crate) struct Refresh {
    pub(crate) refresh_id: String,
    pub(crate) started_at: Micros,
    pub(crate) full: bool,
    pub(crate) state: State,
    pub(crate) seconds: f64,
    pub(crate) current_step: String,
    pub(crate) steps: Vec<StepReport>,
}

/// Starts and follows refreshes.
#[derive(Clone, Debug)]
pub(crate) struct Refreshes {
    engine: Engine,
    stop: CancellationToken,
    tasks: TaskTracker,
    runs: Arc<Mutex<VecDeque<watch::Receiver<Refresh>>>>,
}

impl Refreshes {
    /// None yet. Once `stop` is cancelled they stop, and `tasks` is done when they have.
    pub(crate) fn new(engine: Engine, stop: CancellationToken, tasks: TaskTracker) -> Self {
        Self { engine, stop, tasks, runs: Arc::default() }
    }

    /// Starts a refresh, which goes on whoever listens. `None` if somebody else has done it already.
    ///
    /// # Errors
    /// Conflict while another refresh runs, here or elsewhere; FailedPrecondition if the configuration has changed.
    pub(crate) async fn start(&self, options: RefreshOptions) -> Result<Option<watch::Receiver<Refresh>>, EngineError> {
        // Whoever goes away meanwhile must not leave a lease behind that nobody renews and everybody waits for.
        let this = self.clone();
        let started = self.tasks.spawn(async move { this.begin(options).await }.in_current_span());
        started.await.map_err(|error| EngineError::internal(format!("the start of a refresh ended: {error}")))?
    }

    async fn begin(&self, options: RefreshOptions) -> Result<Option<watch::Receiver<Refresh>>, EngineError> {
        project::check_unchanged(&self.engine)?;
        let Some(run) = self.engine.begin_refresh(options).await? else { return Ok(None) };
        let refresh = Refresh {
            refresh_id: run.id().to_owned(),
            started_at: run.started_at(),
            full: options.full,
            state: State::Running,
            seconds: 0.0,
            current_step: String::new(),
            steps: Vec::new(),
        };
        tracing::info!(refresh_id = refresh.refresh_id, full = refresh.full, "refresh started");
        let (sender, receiver) = watch::channel(refresh);
        {
            let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
            runs.push_front(receiver.clone());
            runs.truncate(REMEMBERED);
        }
        let this = self.clone();
        let span = tracing::info_span!("refresh", refresh_id = run.id());
        self.tasks.spawn(async move { this.run(run, sender).await }.instrument(span));
        Ok(Some(receiver))
    }

    async fn run(&self, run: RefreshRun, sender: watch::Sender<Refresh>) {
        let (sender, clock, started_at) = (Arc::new(sender), self.engine.clock().clone(), run.started_at());
        let seconds = move || (clock.now() - started_at) as f64 / 1e6;
        let (listener, elapsed) = (Arc::clone(&sender), seconds.clone());
        let progress = Progress::new(move |event| {
            listener.send_modify(|refresh| {
                refresh.seconds = elapsed();
                note(refresh, event);
            });
        });
        let stop = self.stop.clone();
        let result = self.engine.run_refresh(run, &progress, async move { stop.cancelled().await }).await;
        let outcome = if result.is_ok() { "published" } else { "failed" };
        metrics::counter!("tessera_refreshes_total", "state" => outcome).increment(1);
        metrics::histogram!("tessera_refresh_seconds").record(seconds());
        let state = match result {
            Ok(report) => {
                tracing::info!(generation = report.generation, seconds = report.seconds, "refresh published");
                if let Err(error) = self.engine.reload().await {
                    tracing::error!(error = error.without_values(), "the new generation cannot be opened");
                }
                State::Published(report.generation)
            }
            Err(error) => {
                // Who may read logs and lists of refreshes need not be allowed to see a person's data.
                let (error, kind) = (error.without_values().to_owned(), error.kind());
                tracing::error!(error, "refresh failed");
                State::Failed(error, kind)
            }
        };
        sender.send_modify(|refresh| {
            refresh.seconds = seconds();
            refresh.state = state;
            refresh.current_step.clear();
        });
    }

    /// The remembered refreshes, the newest first.
    pub(crate) fn list(&self) -> Vec<Refresh> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|run| run.borrow().clone()).collect()
    }

    /// A remembered refresh.
    pub(crate) fn get(&self, refresh_id: &str) -> Option<watch::Receiver<Refresh>> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.iter().find(|run| run.borrow().refresh_id == refresh_id).cloned()
    }
}

fn note(refresh: &mut Refresh, event: Event<'_>) {
    match event {
        Event::Step(name) => refresh.current_step = name.to_owned(),
        Event::StepDone { name, rows, bytes, seconds, ran } => {
            metrics::gauge!("tessera_refresh_table_seconds", "table" => name.to_owned()).set(seconds);
            refresh.steps.push(StepReport { name: name.to_owned(), rows, bytes, seconds, ran });
        }
        Event::Read { .. } => {}
    }
}
