//! Where long work has got to, told to whoever wants to know.

use std::sync::Arc;

/// Where long work has got to.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A refresh began a step.
    Step(&'a str),
    /// A refresh ended a step.
    StepDone {
        /// The table or check.
        name: &'a str,
        /// Rows written.
        rows: u64,
        /// Bytes written.
        bytes: u64,
        /// How long it took.
        seconds: f64,
        /// False if nothing had changed for it.
        ran: bool,
    },
    /// An ingest read so many more bytes and rows of an input.
    Read {
        /// The input's name.
        input: &'a str,
        /// More bytes read.
        bytes: u64,
        /// More rows accepted.
        rows: u64,
    },
}

/// Is told where long work has got to.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Event<'_>) + Send + Sync>);

impl Progress {
    /// Calls `listen` for each event, from any thread.
    pub fn new(listen: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listen))
    }

    /// Tells nobody.
    pub fn none() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn step(&self, name: &str) {
        (self.0)(Event::Step(name));
    }

    pub(crate) fn step_done(&self, name: &str, rows: u64, bytes: u64, seconds: f64, ran: bool) {
        (self.0)(Event::StepDone { name, rows, bytes, seconds, ran });
    }

    pub(crate) fn read(&self, input: &str, bytes: u64, rows: u64) {
        (self.0)(Event::Read { input, bytes, rows });
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Progress")
    }
}
