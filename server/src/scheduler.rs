//! Scheduled refreshes: waits for the instants of the schedules. When one is due is `tessera_engine::Timetable`'s to say.

use std::time::Duration;

use tessera_engine::{Engine, EngineError, ErrorKind, Micros, RefreshOptions, Schedule, Timetable};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::refreshes::{Refreshes, State};

/// The longest sleep: the machine's clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// Whoever finds another refresh running looks again after so long.
const RETRY: Duration = Duration::from_secs(2);
/// What cannot be reached now may be reached after so many seconds: a refresh that a night waits for is not to fail for a minute.
const PAUSES: [u64; 5] = [5, 30, 120, 300, 900];

/// Starts a task for each schedule of the project. They end once `stop` is cancelled.
///
/// # Errors
/// InvalidInput for a schedule that cannot be read.
pub(crate) fn start(
    engine: &Engine,
    refreshes: &Refreshes,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<(), EngineError> {
    for schedule in &engine.config().schedules {
        let timetable = Timetable::new(schedule)?;
        let (engine, refreshes, schedule) = (engine.clone(), refreshes.clone(), schedule.clone());
        let stop = stop.clone();
        tasks.spawn(async move {
            stop.run_until_cancelled(follow(&engine, &refreshes, &schedule, &timetable)).await;
        });
    }
    Ok(())
}

async fn follow(engine: &Engine, refreshes: &Refreshes, schedule: &Schedule, timetable: &Timetable) {
    // A server that starts does what was missed, if nobody else has.
    let mut done = None;
    loop {
        let now = engine.clock().now();
        // What was done in what is still to come, was done before the clock was set right.
        let is_open = |due: &Micros| done.is_none_or(|done| *due > done || done > now);
        if let Some(due) = timetable.last_until(now).filter(is_open) {
            refresh_once(refreshes, schedule, due).await;
            done = Some(due);
        }
        let now = engine.clock().now();
        let wait = timetable.next_after(now).map_or(SLEEP_MAX, |next| micros(next - now).min(SLEEP_MAX));
        tokio::time::sleep(wait).await;
    }
}

/// Sees to it that a refresh has begun at `due` or later, here or elsewhere. One that fails because the store could not be
/// reached is repeated a few times; any other would fail again, and waits for the schedule's next instant.
async fn refresh_once(refreshes: &Refreshes, schedule: &Schedule, due: Micros) {
    let mut pauses = PAUSES.iter();
    while let Some(kind) = refresh_now(refreshes, schedule, due).await {
        let Some(&seconds) = pauses.next().filter(|_| kind == ErrorKind::Unavailable) else { return };
        tracing::info!(schedule = schedule.name, seconds, "the store could not be reached: the refresh is tried again");
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

/// The same once. Gives what kind of failure it ended with, if it did.
async fn refresh_now(refreshes: &Refreshes, schedule: &Schedule, due: Micros) -> Option<ErrorKind> {
    let options = RefreshOptions { full: schedule.full, allow_merges: false, unless_started_since: Some(due) };
    loop {
        match refreshes.start(options).await {
            Ok(Some(mut run)) => {
                // Only a dropped sender ends this with an error, and then the run has ended too.
                let ended = run.wait_for(|refresh| refresh.state != State::Running).await;
                return match ended.map(|refresh| refresh.state.clone()) {
                    Ok(State::Failed(_, kind)) => Some(kind),
                    _ => None,
                };
            }
            Ok(None) => {
                tracing::info!(schedule = schedule.name, "refreshed already");
                return None;
            }
            Err(error) if error.kind() == ErrorKind::Conflict => tokio::time::sleep(RETRY).await,
            Err(error) => {
                tracing::error!(schedule = schedule.name, %error, "scheduled refresh failed");
                return Some(error.kind());
            }
        }
    }
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
