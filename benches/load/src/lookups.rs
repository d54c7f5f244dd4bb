//! Profiles by identifier.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tessera_proto::v1;
use tessera_proto::v1::profile_service_client::ProfileServiceClient;
use tonic::transport::Channel;

use crate::connect;
use crate::latencies::Latencies;

/// Identifiers of a file, `namespace:value` a line.
pub(crate) fn identifiers(file: &Path) -> Result<Arc<Vec<v1::Identifier>>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let parse = |line: &str| {
        let (namespace, value) = line.split_once(':').ok_or_else(|| anyhow!("`{line}` is not namespace:value"))?;
        Ok(v1::Identifier { namespace: namespace.to_owned(), value: value.to_owned() })
    };
    let found = text.lines().map(parse).collect::<Result<Vec<_>>>()?;
    if found.is_empty() {
        bail!("{} has no identifier", file.display());
    }
    Ok(Arc::new(found))
}

/// A client with a connection of its own.
pub(crate) async fn client(address: &str) -> Result<ProfileServiceClient<Channel>> {
    Ok(ProfileServiceClient::new(connect(address).await?))
}

/// Asks for one profile; returns the generation of the answer.
pub(crate) async fn look_up(
    client: &mut ProfileServiceClient<Channel>,
    identifier: &v1::Identifier,
    event_limit: i32,
) -> Result<u64> {
    let key = v1::get_profile_request::Key::Identifier(identifier.clone());
    let answer = client.get_profile(v1::GetProfileRequest { key: Some(key), event_limit }).await?.into_inner();
    let profile = answer.profile.ok_or_else(|| anyhow!("an answer without a profile"))?;
    if !profile.identifiers.iter().any(|found| found.identifier.as_ref() == Some(identifier)) {
        bail!("the profile {} does not have the identifier that was asked for", profile.profile_id);
    }
    Ok(answer.generation.map_or(0, |generation| generation.number))
}

/// `connections` clients, each asking again as soon as it has its answer.
pub(crate) async fn run(
    address: &str,
    file: &Path,
    connections: usize,
    seconds: u64,
    event_limit: i32,
) -> Result<Value> {
    let identifiers = identifiers(file)?;
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..connections {
        let (mut client, identifiers) = (client(address).await?, Arc::clone(&identifiers));
        clients.spawn(async move {
            let (mut random, mut latencies) = (SmallRng::seed_from_u64(number as u64), Latencies::default());
            while Instant::now() < until {
                let identifier = &identifiers[random.random_range(0..identifiers.len())];
                let asked = Instant::now();
                look_up(&mut client, identifier, event_limit).await?;
                latencies.note(asked);
            }
            Ok::<_, anyhow::Error>(latencies)
        });
    }
    let mut latencies = Latencies::default();
    while let Some(of_client) = clients.join_next().await {
        latencies.merge(of_client??);
    }
    Ok(json!({ "connections": connections, "seconds": seconds, "look_ups": latencies.figures() }))
}
