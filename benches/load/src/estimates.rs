//! Sizes of segments that are not saved.

use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};
use tessera_proto::v1;
use tessera_proto::v1::segment_service_client::SegmentServiceClient;

use crate::connect;
use crate::latencies::Latencies;

/// Asks `count` times.
pub(crate) async fn run(address: &str, expression: &str, count: usize) -> Result<Value> {
    let mut client = SegmentServiceClient::new(connect(address).await?);
    let (mut latencies, mut size) = (Latencies::default(), 0);
    for _ in 0..count {
        let asked = Instant::now();
        let request =
            v1::EstimateSegmentRequest { expression: expression.to_owned(), preview_size: 10, ..Default::default() };
        size = client.estimate_segment(request).await?.into_inner().size;
        latencies.note(asked);
    }
    Ok(json!({ "expression": expression, "size": size, "estimates": latencies.figures() }))
}
