//! Everything at once, while generations are published: every answer must succeed, and be of one generation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tessera_proto::v1;
use tessera_proto::v1::RefreshState;
use tessera_proto::v1::refresh_service_client::RefreshServiceClient;
use tessera_proto::v1::segment_service_client::SegmentServiceClient;
use tokio::task::JoinSet;

use crate::connect;
use crate::latencies::Latencies;
use crate::lookups::{client, identifiers, look_up};

/// Clients that look up profiles. Fewer than of `lookups`: here they think before they ask again.
const LOOKING_UP: u64 = 8;
const PAUSE: Duration = Duration::from_millis(20);
const ESTIMATED: [&str; 3] = [
    "lifetime_value > 100",
    "order_count >= 2 and event_count > 10",
    "event_count('Page Viewed', within => interval '30 days') >= 3",
];
/// Numbers that agree within one generation only.
const ONE_GENERATION: &str = "select
    (select count(*) from identity.identities) as identifiers,
    (select sum(identifier_count) from profile.profiles) as of_profiles,
    (select count(*) from profile.profiles) as profiles,
    (select count(distinct profile_id) from identity.identities) as of_identities";

/// What each generation's answers must agree on: the number of all profiles.
type Sizes = Arc<Mutex<BTreeMap<u64, i64>>>;

/// Asks for `seconds`.
pub(crate) async fn run(address: &str, file: &Path, segment: &str, seconds: u64) -> Result<Value> {
    let identifiers = identifiers(file)?;
    let until = Instant::now() + Duration::from_secs(seconds);
    let sizes = Sizes::default();
    let mut work = JoinSet::new();
    for number in 0..LOOKING_UP {
        let (mut client, identifiers) = (client(address).await?, Arc::clone(&identifiers));
        work.spawn(async move {
            let (mut random, mut asks) = (SmallRng::seed_from_u64(number), Asks::new("look_ups"));
            while Instant::now() < until {
                let identifier = &identifiers[random.random_range(0..identifiers.len())];
                let asked = Instant::now();
                let generation = look_up(&mut client, identifier, 10).await?;
                asks.note(asked, generation)?;
                tokio::time::sleep(PAUSE).await;
            }
            Ok(asks)
        });
    }
    work.spawn(estimates(address.to_owned(), until, Arc::clone(&sizes)));
    work.spawn(listings(address.to_owned(), segment.to_owned(), until));
    work.spawn(queries(address.to_owned(), until));
    let mut by_name: BTreeMap<&'static str, Asks> = BTreeMap::new();
    while let Some(done) = work.join_next().await {
        let done = done??;
        match by_name.entry(done.name) {
            std::collections::btree_map::Entry::Vacant(entry) => _ = entry.insert(done),
            std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().merge(done),
        }
    }
    let generations: BTreeSet<u64> = by_name.values().flat_map(|asks| asks.generations.iter().copied()).collect();
    let figures: BTreeMap<_, _> = by_name.into_iter().map(|(name, asks)| (name, asks.latencies.figures())).collect();
    Ok(json!({ "seconds": seconds, "generations": generations, "answers": figures }))
}

/// Refreshes on the server and waits for the end.
pub(crate) async fn refresh(address: &str) -> Result<Value> {
    let mut client = RefreshServiceClient::new(connect(address).await?);
    let started = client.run_refresh(v1::RunRefreshRequest::default()).await?.into_inner().refresh;
    let refresh_id = started.ok_or_else(|| anyhow!("no refresh began"))?.refresh_id;
    let mut watched = client.watch_refresh(v1::WatchRefreshRequest { refresh_id }).await?.into_inner();
    let mut last = None;
    while let Some(answer) = watched.try_next().await? {
        last = answer.refresh;
    }
    let last = last.ok_or_else(|| anyhow!("nothing was said of the refresh"))?;
    ensure!(last.state() == RefreshState::Published, "the refresh ended so: {last:?}");
    Ok(json!({ "generation": last.generation, "seconds": last.seconds }))
}

/// What a client asked, and of which generations the answers were.
struct Asks {
    name: &'static str,
    latencies: Latencies,
    generations: BTreeSet<u64>,
    last: u64,
}

impl Asks {
    fn new(name: &'static str) -> Self {
        Self { name, latencies: Latencies::default(), generations: BTreeSet::new(), last: 0 }
    }

    /// Notes an answer; one client never sees an older generation after a newer one.
    fn note(&mut self, asked: Instant, generation: u64) -> Result<()> {
        ensure!(generation >= self.last, "generation {generation} was served after {}", self.last);
        self.last = generation;
        self.generations.insert(generation);
        self.latencies.note(asked);
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.latencies.merge(other.latencies);
        self.generations.extend(other.generations);
    }
}

/// Sizes of segments: all answers of a generation say the same number of profiles.
async fn estimates(address: String, until: Instant, sizes: Sizes) -> Result<Asks> {
    let mut client = SegmentServiceClient::new(connect(&address).await?);
    let mut asks = Asks::new("estimates");
    for expression in ESTIMATED.iter().cycle().take_while(|_| Instant::now() < until) {
        let asked = Instant::now();
        let request =
            v1::EstimateSegmentRequest { expression: (*expression).to_owned(), preview_size: 10, ..Default::default() };
        let answer = client.estimate_segment(request).await.context("estimate")?.into_inner();
        let generation = answer.generation.map_or(0, |generation| generation.number);
        asks.note(asked, generation)?;
        let mut sizes = sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let size = *sizes.entry(generation).or_insert(answer.profile_count);
        ensure!(
            size == answer.profile_count,
            "generation {generation} had {size} profiles, now {}",
            answer.profile_count
        );
    }
    Ok(asks)
}

/// Members of a segment to the last page, none twice, as many as the generation of the first page says.
async fn listings(address: String, segment: String, until: Instant) -> Result<Asks> {
    let mut client = SegmentServiceClient::new(connect(&address).await?);
    let mut asks = Asks::new("listings");
    while Instant::now() < until {
        let asked = Instant::now();
        let (mut members, mut page_token, mut generation) = (BTreeSet::new(), String::new(), None);
        loop {
            let request = v1::ListSegmentMembersRequest { segment: segment.clone(), page_size: 10_000, page_token };
            let answer = client.list_segment_members(request).await.context("listing")?.into_inner();
            let number = answer.generation.map_or(0, |generation| generation.number);
            let first = *generation.get_or_insert(number);
            ensure!(first == number, "a listing of generation {first} went on in {number}");
            for member in answer.members {
                ensure!(members.insert(member.profile_id), "a member came twice");
            }
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        asks.note(asked, generation.unwrap_or(0))?;
        ensure!(!members.is_empty(), "the segment `{segment}` has no members");
    }
    Ok(asks)
}

/// Queries whose numbers agree within one generation only.
async fn queries(address: String, until: Instant) -> Result<Asks> {
    let mut client = FlightSqlServiceClient::new(connect(&address).await?);
    let mut asks = Asks::new("queries");
    while Instant::now() < until {
        let asked = Instant::now();
        let info = client.execute(ONE_GENERATION.to_owned(), None).await.context("query")?;
        let Some(ticket) = info.endpoint.into_iter().next().and_then(|endpoint| endpoint.ticket) else {
            bail!("the answer to the query has no ticket");
        };
        let batches: Vec<_> = client.do_get(ticket).await?.try_collect().await.context("query")?;
        let batch = batches.first().ok_or_else(|| anyhow!("the query has no answer"))?;
        let numbers: Vec<i64> =
            batch.columns().iter().map(|column| column.as_primitive::<Int64Type>().value(0)).collect();
        ensure!(numbers[0] == numbers[1] && numbers[2] == numbers[3], "a query mixed generations: {numbers:?}");
        asks.latencies.note(asked);
    }
    Ok(asks)
}
