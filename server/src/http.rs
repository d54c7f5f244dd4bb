//! Health and metrics over plain HTTP, for load balancers and Prometheus.
//!
//! | path | answer |
//! |---|---|
//! | `/health` | 200: the process lives |
//! | `/ready` | 200 once a generation is served, else 503 |
//! | `/metrics` | Prometheus text |

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tessera_engine::Engine;

/// What the answers are made of.
#[derive(Clone)]
pub(crate) struct Http {
    pub(crate) engine: Engine,
    pub(crate) metrics: PrometheusHandle,
}

/// The routes.
pub(crate) fn router(http: Http) -> Router {
    Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(http)
}

async fn ready(State(http): State<Http>) -> (StatusCode, String) {
    match http.engine.current().and_then(|snapshot| snapshot.number()) {
        Some(generation) => (StatusCode::OK, format!("generation {generation}\n")),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no generation is published yet: run a refresh\n".to_owned()),
    }
}

async fn metrics(State(http): State<Http>) -> String {
    metrics::gauge!("tessera_query_memory_bytes").set(http.engine.memory_held_bytes() as f64);
    if let Some(snapshot) = http.engine.current()
        && let (Some(number), Some(published_at)) = (snapshot.number(), snapshot.published_at())
    {
        metrics::gauge!("tessera_generation").set(number as f64);
        metrics::gauge!("tessera_generation_age_seconds").set((http.engine.clock().now() - published_at) as f64 / 1e6);
        metrics::gauge!("tessera_quarantined_rows").set(snapshot.rows_of("landing", "quarantine") as f64);
    }
    http.metrics.render()
}
