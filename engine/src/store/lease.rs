//! One refresh at a time. A lease is a numbered object, created with put-if-absent; the holder renews it, and a lease
//! that was not renewed in time may be followed by the next number. The holder makes sure that it still holds the lease
//! right before it publishes; and two refreshes can never publish the same generation.

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};

use super::{Lake, layout};
use crate::clock::{Clock, Micros};
use crate::error::{EngineError, ErrorKind, Result};
use crate::limits;

const MICROS_PER_SECOND: i64 = 1_000_000;

#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    refresh_id: String,
    host: String,
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
    renewal: tokio::task::JoinHandle<()>,
}

impl Lease {
    /// Takes the lease.
    ///
    /// # Errors
    /// Conflict while another refresh holds it.
    pub(crate) async fn acquire(lake: &Lake, refresh_id: &str, clock: &Clock) -> Result<Self> {
        let folder = layout::leases(&lake.prefix);
        let objects: Vec<_> = lake.root.list(Some(&folder)).try_collect().await?;
        let last = objects.iter().filter_map(|object| layout::number_of(&object.location)).max();
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
        if !lake.put_if_absent(&layout::lease(&lake.prefix, number), content).await? {
            return Err(EngineError::new(
                ErrorKind::Conflict,
                "another refresh has just started: wait for it, or try again",
            ));
        }
        for object in objects {
            // Older leases mean nothing any more; whoever finds one that stayed deletes it next time.
            let _ = lake.root.delete(&object.location).await;
        }
        Ok(Self {
            lake: lake.clone(),
            number,
            refresh_id: refresh_id.to_owned(),
            clock: clock.clone(),
            renewal: renew(lake, number, refresh_id, clock),
        })
    }

    /// Makes sure that nobody else took the lease meanwhile: whoever did may have deleted our uncommitted files.
    ///
    /// # Errors
    /// Conflict if a later lease exists.
    pub(crate) async fn confirm(&self) -> Result<()> {
        if self.lake.get(&layout::lease(&self.lake.prefix, self.number + 1)).await?.is_some() {
            return Err(EngineError::new(
                ErrorKind::Conflict,
                "this refresh stood still for too long and another one took over: run `tessera refresh` again",
            ));
        }
        Ok(())
    }

    /// Lets the next refresh in at once.
    pub(crate) async fn release(self) -> Result<()> {
        self.renewal.abort();
        put(&self.lake, self.number, &Holder::new(&self.refresh_id, self.clock.now(), true)).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

impl Holder {
    fn new(refresh_id: &str, now: Micros, released: bool) -> Self {
        Self { refresh_id: refresh_id.to_owned(), host: host(), process: std::process::id(), renewed_at: now, released }
    }

    fn is_alive(&self, now: Micros) -> bool {
        let fresh = now.saturating_sub(self.renewed_at) < limits::LEASE_SECONDS * MICROS_PER_SECOND;
        // On the same machine a process that has ended need not be waited for.
        let ended = self.host == host()
            && cfg!(target_os = "linux")
            && !std::path::Path::new(&format!("/proc/{}", self.process)).is_dir();
        !self.released && fresh && !ended
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

async fn put(lake: &Lake, number: u64, holder: &Holder) -> Result<()> {
    lake.root.put(&layout::lease(&lake.prefix, number), serde_json::to_vec(holder)?.into()).await?;
    Ok(())
}

fn renew(lake: &Lake, number: u64, refresh_id: &str, clock: &Clock) -> tokio::task::JoinHandle<()> {
    let (lake, refresh_id, clock) = (lake.clone(), refresh_id.to_owned(), clock.clone());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_secs(limits::LEASE_RENEWAL_SECONDS)).await;
            if let Err(error) = put(&lake, number, &Holder::new(&refresh_id, clock.now(), false)).await {
                tracing::warn!(%error, "lease not renewed");
            }
        }
    })
}
