//! One refresh at a time. A lease is a numbered object, created with put-if-absent; the holder renews it, and a lease
//! that was not renewed in time may be followed by the next number. The holder makes sure that it still holds the lease
//! right before it publishes; and two refreshes can never publish the same generation.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Lake, layout};
use crate::clock::{Clock, Micros};
use crate::error::{EngineError, ErrorKind, Result};
use crate::limits;

const MICROS_PER_SECOND: i64 = 1_000_000;

#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    refresh_id: String,
    host: String,
    /// See [`machine`]. Leases of earlier versions do not say it.
    #[serde(default)]
    machine: Option<String>,
    process: u32,
    renewed_at: Micros,
    released: bool,
}

/// The right to refresh. Renewed in the background until released or dropped.
pub(crate) struct Lease {
    lake: Lake,
    number: u64,
    refresh_id: String,
    clock: Clock,
    renewal: Renewal,
}

/// A task that renews a lease until `going` is dropped.
struct Renewal {
    going: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Lease {
    /// Takes the lease.
    ///
    /// # Errors
    /// Conflict while another refresh holds it.
    pub(crate) async fn acquire(lake: &Lake, refresh_id: &str, clock: &Clock) -> Result<Self> {
        let last = numbers(lake).await?.last().copied();
        if let Some(number) = last
            && let Some(content) = lake.get(&layout::lease(&lake.prefix, number)).await?
        {
            // A holder that died in the middle of its write is as dead as any other.
            if let Ok(holder) = serde_json::from_slice::<Holder>(&content)
                && holder.is_alive(clock.now())
            {
                return Err(busy(&holder));
            }
        }
        let number = last.map_or(1, |number| number + 1);
        let content = serde_json::to_vec(&Holder::new(refresh_id, clock.now(), false))?;
        let is_ours = lake.put_if_absent(&layout::lease(&lake.prefix, number), content).await?;
        // Since the first look the number may have been taken, followed by the next one, and deleted.
        let present = numbers(lake).await?;
        if !is_ours || present.iter().any(|other| *other > number) {
            return Err(EngineError::new(
                ErrorKind::Conflict,
                "another refresh has just started: wait for it, or try again",
            ));
        }
        for older in present.into_iter().filter(|other| *other < number) {
            // Older leases mean nothing any more; whoever finds one that stayed deletes it next time.
            let _ = lake.root.delete(&layout::lease(&lake.prefix, older)).await;
        }
        Ok(Self {
            lake: lake.clone(),
            number,
            refresh_id: refresh_id.to_owned(),
            clock: clock.clone(),
            renewal: renew(lake, number, refresh_id, clock, Duration::from_secs(limits::LEASE_RENEWAL_SECONDS)),
        })
    }

    /// Makes sure that nobody else took the lease meanwhile: whoever did may have deleted our uncommitted files. Returns when it was
    /// renewed, by the store's clock: whoever takes it later writes files that are younger.
    ///
    /// # Errors
    /// Conflict if a later lease exists, or this one is gone. The next number alone tells nothing: the one after deletes it.
    pub(crate) async fn confirm(&self) -> Result<DateTime<Utc>> {
        let leases = self.lake.root.list(Some(&layout::leases(&self.lake.prefix)));
        let dated = leases.map_ok(|lease| Some((layout::number_of(&lease.location)?, lease.last_modified)));
        let newest: Option<(u64, DateTime<Utc>)> =
            dated.try_fold(None, |newest, lease| async move { Ok(newest.max(lease)) }).await?;
        newest.filter(|(number, _)| *number == self.number).map(|(_, renewed)| renewed).ok_or_else(|| {
            EngineError::new(
                ErrorKind::Conflict,
                "this refresh stood still for too long and another one took over: run `tessera refresh` again",
            )
        })
    }

    /// Lets the next refresh in at once.
    pub(crate) async fn release(self) -> Result<()> {
        let Self { lake, number, refresh_id, clock, renewal: Renewal { going, task } } = self;
        drop(going);
        // A renewal that is on its way would overwrite the release. One that panicked is not.
        let _ = task.await;
        put(&lake, number, &Holder::new(&refresh_id, clock.now(), true)).await
    }
}

async fn numbers(lake: &Lake) -> Result<Vec<u64>> {
    lake.numbers(&layout::leases(&lake.prefix)).await
}

impl Holder {
    fn new(refresh_id: &str, now: Micros, released: bool) -> Self {
        Self {
            refresh_id: refresh_id.to_owned(),
            host: host(),
            machine: machine(),
            process: std::process::id(),
            renewed_at: now,
            released,
        }
    }

    fn is_alive(&self, now: Micros) -> bool {
        let age = now.saturating_sub(self.renewed_at);
        let fresh =
            age < limits::LEASE_SECONDS * MICROS_PER_SECOND && age > -limits::LEASE_SKEW_SECONDS * MICROS_PER_SECOND;
        !self.released && fresh && !self.has_ended()
    }

    /// On the same machine a process that has ended need not be waited for. On another one its number tells nothing.
    fn has_ended(&self) -> bool {
        self.machine.is_some()
            && self.machine == machine()
            && self.host == host()
            && !std::path::Path::new(&format!("/proc/{}", self.process)).is_dir()
    }
}

fn busy(holder: &Holder) -> EngineError {
    EngineError::new(
        ErrorKind::Conflict,
        format!(
            "a refresh is running already (process {} on {}): wait for it, then try again",
            holder.process, holder.host
        ),
    )
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

/// This boot of this machine, and the processes that can be seen from here: what `/proc/<process>` means. Names of hosts are
/// not enough: containers are often called the same. `None` where it cannot be read.
fn machine() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let processes = std::fs::read_link("/proc/self/ns/pid").ok()?; // Such as `pid:[4026531836]`.
    Some(format!("{} {}", boot.trim(), processes.display()))
}

async fn put(lake: &Lake, number: u64, holder: &Holder) -> Result<()> {
    lake.root.put(&layout::lease(&lake.prefix, number), serde_json::to_vec(holder)?.into()).await?;
    Ok(())
}

fn renew(lake: &Lake, number: u64, refresh_id: &str, clock: &Clock, pause: Duration) -> Renewal {
    let (lake, refresh_id, clock) = (lake.clone(), refresh_id.to_owned(), clock.clone());
    let (going, mut ended) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        while tokio::time::timeout(pause, &mut ended).await.is_err() {
            if let Err(error) = put(&lake, number, &Holder::new(&refresh_id, clock.now(), false)).await {
                tracing::warn!(%error, "lease not renewed");
            }
        }
    });
    Renewal { going, task }
}

#[cfg(test)]
mod tests {
    use super::super::unsteady::unsteady_lake;
    use super::*;

    async fn acquire(lake: &Lake, refresh_id: &str) -> Result<Lease> {
        Lease::acquire(lake, refresh_id, &Clock::system()).await
    }

    /// As if the process that holds it had stood still.
    async fn let_expire(lake: &Lake, number: u64) {
        put(lake, number, &Holder::new("asleep", 0, false)).await.unwrap();
    }

    /// A lease that was just renewed by a process of this machine that is no more: no process has such a number.
    fn ended() -> Holder {
        Holder { process: u32::MAX, ..Holder::new("ended", Clock::system().now(), false) }
    }

    /// Whether a refresh finds `holder` dead and takes the lease.
    async fn is_taken_from(holder: &Holder) -> bool {
        let (_folder, lake, _) = unsteady_lake();
        put(&lake, 1, holder).await.unwrap();
        match acquire(&lake, "next").await {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::Conflict => false,
            Err(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn test_a_process_that_ended_is_known_on_its_own_machine_only() {
        assert_eq!(is_taken_from(&ended()).await, machine().is_some());
        let other_boot = Some("00000000-0000-4000-8000-000000000000 pid:[4026531836]".to_owned());
        let processes_elsewhere = machine().map(|machine| machine.replace("pid:[", "pid:[1"));
        for elsewhere in [other_boot, processes_elsewhere, None] {
            let holder = Holder { machine: elsewhere, ..ended() };
            assert!(!is_taken_from(&holder).await, "{holder:?}");
            let old = Holder { renewed_at: holder.renewed_at - limits::LEASE_SECONDS * MICROS_PER_SECOND, ..holder };
            assert!(is_taken_from(&old).await, "{old:?}");
        }
    }

    #[test]
    fn test_a_lease_of_an_earlier_version_is_of_another_machine() {
        let mut lease = serde_json::to_value(ended()).unwrap();
        lease.as_object_mut().unwrap().remove("machine").unwrap();
        let holder: Holder = serde_json::from_value(lease).unwrap();
        assert!(holder.is_alive(holder.renewed_at));
        assert!(!holder.is_alive(holder.renewed_at + limits::LEASE_SECONDS * MICROS_PER_SECOND));
    }

    #[tokio::test]
    async fn test_a_clock_that_is_ahead_holds_the_lease_for_a_while_only() {
        for (seconds_ahead, is_taken) in
            [(limits::LEASE_SKEW_SECONDS / 2, false), (limits::LEASE_SKEW_SECONDS * 2, true)]
        {
            let now = Clock::system().now();
            let holder = Holder::new("ahead", now + seconds_ahead * MICROS_PER_SECOND, false);
            assert_eq!(is_taken_from(&holder).await, is_taken, "{seconds_ahead} s");
        }
    }

    #[tokio::test]
    async fn test_one_holds_it_at_a_time() {
        let (_folder, lake, _) = unsteady_lake();
        let first = acquire(&lake, "first").await.unwrap();
        assert_eq!(acquire(&lake, "second").await.err().unwrap().kind(), ErrorKind::Conflict);
        // The store's clock is three hours behind.
        let object = layout::lease(&lake.prefix, 1);
        let file = lake.url.join("_leases/").unwrap().to_file_path().unwrap().join(object.filename().unwrap());
        let renewed = std::time::SystemTime::now() - Duration::from_secs(3 * 3_600);
        std::fs::File::options().append(true).open(file).unwrap().set_modified(renewed).unwrap();
        assert_eq!(first.confirm().await.unwrap(), DateTime::<Utc>::from(renewed));
        first.release().await.unwrap();
        acquire(&lake, "second").await.unwrap().confirm().await.unwrap();
        assert_eq!(numbers(&lake).await.unwrap(), [2]);
    }

    #[tokio::test]
    async fn test_who_wakes_after_two_others_does_not_hold_it_any_more() {
        let (_folder, lake, _) = unsteady_lake();
        let asleep = acquire(&lake, "asleep").await.unwrap();
        let_expire(&lake, 1).await;
        acquire(&lake, "second").await.unwrap().release().await.unwrap();
        let third = acquire(&lake, "third").await.unwrap();
        assert_eq!(numbers(&lake).await.unwrap(), [3], "the second lease is gone");
        assert_eq!(asleep.confirm().await.unwrap_err().kind(), ErrorKind::Conflict);
        // It renews its own when it wakes, which tells the others nothing.
        let_expire(&lake, 1).await;
        third.confirm().await.unwrap();
        assert_eq!(acquire(&lake, "fourth").await.err().unwrap().kind(), ErrorKind::Conflict);
    }

    #[tokio::test]
    async fn test_who_looked_too_early_does_not_take_a_number_of_the_past() {
        let (_folder, lake, store) = unsteady_lake();
        acquire(&lake, "first").await.unwrap().release().await.unwrap();
        let second = acquire(&lake, "second").await.unwrap();
        // As it was before the first: its number is free again.
        store.hide_listings(1);
        assert_eq!(acquire(&lake, "late").await.err().unwrap().kind(), ErrorKind::Conflict);
        second.confirm().await.unwrap();
        assert_eq!(acquire(&lake, "fourth").await.err().unwrap().kind(), ErrorKind::Conflict);
    }

    #[tokio::test]
    async fn test_a_renewal_on_its_way_does_not_undo_the_release() {
        let (_folder, lake, store) = unsteady_lake();
        let mut lease = acquire(&lake, "first").await.unwrap();
        store.delay_writes(Duration::from_millis(200));
        lease.renewal = renew(&lake, 1, "first", &lease.clock, Duration::from_millis(10));
        tokio::time::sleep(Duration::from_millis(100)).await;
        store.delay_writes(Duration::ZERO);
        lease.release().await.unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
        acquire(&lake, "second").await.expect("the first is released");
    }
}
