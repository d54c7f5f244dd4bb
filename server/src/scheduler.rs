//! Scheduled refreshes: waits for the instants of the schedules. When one is due is `tessera_engine::Timetable`'s to say.

use std::time::Duration;

use tessera_engine::{Engine, EngineError, ErrorKind, Micros, QueryLimits, RefreshOptions, Schedule, Timetable};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::refreshes::{Refreshes, State};

/// The longest sleep: the machine's clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// Whoever finds another refresh running looks again after so long.
const RETRY: Duration = Duration::from_secs(2);
/// What cannot be reached now may be reached after so many seconds: a refresh that a night waits for is not to fail for a minute.
const PAUSES: [u64; 5] = [5, 30, 120, 300, 900];
/// So far may the clocks of two machines differ, in microseconds.
const CLOCK_SKEW: Micros = 30_000_000;
/// Runs between two instants that failed. One that was stopped, as by a server that ends, is not done: somebody has to do it.
const FAILED: &str = "
    select refresh_id from ops.refreshes
    where name is null and state = 'failed' and error not like 'the refresh was stopped%'
        and cast(started_at as bigint) between cast($1 as bigint) and cast($2 as bigint)";

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
            refresh_once(engine, refreshes, schedule, due).await;
            done = Some(due);
        }
        let now = engine.clock().now();
        let wait = timetable.next_after(now).map_or(SLEEP_MAX, |next| micros(next - now).min(SLEEP_MAX));
        tokio::time::sleep(wait).await;
    }
}

/// Sees to it that a refresh has begun at `due` or later, here or elsewhere. One that fails because the store could not be
/// reached is repeated a few times; any other would fail again, here or elsewhere, and waits for the schedule's next instant.
async fn refresh_once(engine: &Engine, refreshes: &Refreshes, schedule: &Schedule, due: Micros) {
    let mut pauses = PAUSES.iter();
    // Our own failure is not to keep us from repeating it.
    let mut is_first = true;
    while let Some(kind) = refresh_now(engine, refreshes, schedule, due, is_first).await {
        is_first = false;
        let Some(&seconds) = pauses.next().filter(|_| kind == ErrorKind::Unavailable) else { return };
        tracing::info!(schedule = schedule.name, seconds, "the store could not be reached: the refresh is tried again");
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

/// The same once. Gives what kind of failure it ended with, if it did.
async fn refresh_now(
    engine: &Engine,
    refreshes: &Refreshes,
    schedule: &Schedule,
    due: Micros,
    is_first: bool,
) -> Option<ErrorKind> {
    let options = RefreshOptions { full: schedule.full, allow_merges: false, unless_started_since: Some(due) };
    loop {
        // A store that cannot be read now is the refresh's to tell.
        if is_first && has_failed(engine, schedule, due).await.unwrap_or(false) {
            tracing::info!(
                schedule = schedule.name,
                "a refresh has failed since: not repeated before the next instant"
            );
            return None;
        }
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
                tracing::error!(schedule = schedule.name, error = error.without_values(), "scheduled refresh failed");
                return Some(error.kind());
            }
        }
    }
}

/// Whether a refresh that does what the schedule asks for began at `due` or later and failed, whoever started it: it would fail
/// here, too. That is looked for before the lease is taken, so one that fails in the moment between is repeated.
async fn has_failed(engine: &Engine, schedule: &Schedule, due: Micros) -> Result<bool, EngineError> {
    // One that began in what is still to come had a wrong clock.
    let until = engine.clock().now() + CLOCK_SKEW;
    // An incremental refresh does not stand for a full one.
    let query = format!("{FAILED} {} limit 1", if schedule.full { "and is_full" } else { "" });
    let logs = engine.logs().await?;
    let failed = engine.rows(&logs, &query, &[&due.to_string(), &until.to_string()], QueryLimits::default()).await?;
    Ok(failed.iter().any(|batch| batch.num_rows() > 0))
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use tessera_engine::Progress;

    use super::*;
    use crate::project;

    const CONFIG: &str = "version = 1\n[[source]]\nname = 'web'\nformat = 'segment'\ntouchpoint = 'web'\n";

    #[tokio::test(flavor = "multi_thread")]
    async fn test_a_refresh_that_failed_elsewhere_is_done_and_one_that_was_stopped_is_not() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(project::CONFIG_FILE), CONFIG).unwrap();
        let engine = project::open(folder.path()).unwrap();
        let schedule = |full| Schedule {
            name: "nightly".to_owned(),
            cron: "0 2 * * *".to_owned(),
            time_zone: "UTC".to_owned(),
            full,
        };
        let due = engine.clock().now();
        assert!(!has_failed(&engine, &schedule(false), due).await.unwrap(), "there is no log yet");
        let run = engine.begin_refresh(RefreshOptions::default()).await.unwrap().unwrap();
        let stopped = engine.run_refresh(run, &Progress::none(), std::future::ready(())).await.unwrap_err();
        assert_eq!(stopped.kind(), ErrorKind::Cancelled, "{stopped}");
        assert!(!has_failed(&engine, &schedule(false), due).await.unwrap());

        std::fs::write(folder.path().join("corrections.toml"), "nonsense").unwrap();
        engine.refresh(RefreshOptions::default(), &Progress::none()).await.unwrap_err();
        assert!(has_failed(&engine, &schedule(false), due).await.unwrap());
        assert!(!has_failed(&engine, &schedule(true), due).await.unwrap(), "it was not to be a full one");
        let now = engine.clock().now();
        assert!(!has_failed(&engine, &schedule(false), now).await.unwrap());
    }
}
