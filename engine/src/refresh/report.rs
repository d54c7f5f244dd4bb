//! What a refresh tells of itself.

/// What a refresh did.
#[derive(Debug, Clone)]
pub struct RefreshReport {
    /// The generation that it published.
    pub generation: u64,
    /// True if everything was computed anew.
    pub full: bool,
    /// Seconds from start to publication.
    pub seconds: f64,
    /// What was done, in order: models, segments, checks.
    pub steps: Vec<StepReport>,
}

/// One step of a refresh.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// The table or check.
    pub name: String,
    /// Rows that the step wrote.
    pub rows: u64,
    /// Bytes that the step wrote.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// False if nothing had changed for it.
    pub ran: bool,
}
