//! `tessera serve`: gRPC and Flight SQL on one port, health and metrics on another, scheduled refreshes, and an end that
//! loses nothing.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use arrow_flight::flight_service_server::FlightServiceServer;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use futures::TryStreamExt;
use metrics_exporter_prometheus::PrometheusHandle;
use tessera_engine::Engine;
use tessera_proto::v1::behavior_service_server::BehaviorServiceServer;
use tessera_proto::v1::identity_service_server::IdentityServiceServer;
use tessera_proto::v1::profile_service_server::ProfileServiceServer;
use tessera_proto::v1::refresh_service_server::RefreshServiceServer;
use tessera_proto::v1::segment_service_server::SegmentServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Code;
use tonic::service::{InterceptorLayer, Routes};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::cli::ServeArguments;
use crate::connection::Lingering;
use crate::flight_sql::front::Front;
use crate::flight_sql::service::FlightSql;
use crate::grpc::Reader;
use crate::grpc::behavior::Behavior;
use crate::grpc::deadline;
use crate::grpc::identity::Identity;
use crate::grpc::profile::Profiles;
use crate::grpc::refresh::RefreshRuns;
use crate::grpc::segment::Segments;
use crate::grpc::status::with_reason;
use crate::http::{self, Http};
use crate::output::say;
use crate::refreshes::Refreshes;
use crate::{scheduler, signals, telemetry};

/// How often the lake is looked at for a generation that somebody else published, and metrics are tidied.
const POLL: Duration = Duration::from_secs(1);
/// How long running queries may go on once the server is told to end.
const GRACE: Duration = Duration::from_secs(10);
/// How long clients may take after that to read their last answer and hang up. Longer than a connection lingers.
const PARTING: Duration = Duration::from_secs(3);
/// Signals within so long are one: `timeout` sends it to the process and to its group.
const SAME_SIGNAL: Duration = Duration::from_secs(1);
/// Connections without an answer to a ping for so long are closed, and their queries end.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The longest request: parameters of a statement, an expression.
const REQUEST_BYTES_MAX: usize = 16 << 20;

/// Serves until the process is told to end.
pub(crate) async fn run(engine: &Engine, arguments: &ServeArguments) -> Result<()> {
    let engine = &engine.clone().with_lookups().with_memory_of_refreshes();
    let serve = &engine.config().serve;
    let address = arguments.address.as_ref().unwrap_or(&serve.address);
    let http_address = arguments.http_address.as_ref().unwrap_or(&serve.http_address);
    let listener = listen(address, arguments.insecure).await?;
    let http_listener = listen(http_address, arguments.insecure).await?;
    let metrics = telemetry::metrics()?;

    // `stop`: accept nothing more, end refreshes and schedules. `abort`: end the queries that still run. `leave`: wait for
    // nobody who has not hung up.
    let [stop, abort, leave] = std::array::from_fn(|_| CancellationToken::new());
    let tasks = TaskTracker::new();
    let refreshes = Refreshes::new(engine.clone(), stop.clone(), tasks.clone());
    scheduler::start(engine, &refreshes, &stop, &tasks)?;
    let (health, health_service) = tonic_health::server::health_reporter();
    // A reporter begins with the opposite.
    health.set_service_status("", ServingStatus::NotServing).await;
    tasks.spawn(follow_generations(engine.clone(), health, metrics.clone(), stop.clone()));

    let http = http::router(Http { engine: engine.clone(), metrics });
    let http_address = http_listener.local_addr()?;
    let http_stop = stop.clone();
    let http = axum::serve(http_listener, http).with_graceful_shutdown(async move { http_stop.cancelled().await });
    let reader = Reader::new(engine.clone());
    let grpc_address = listener.local_addr()?;
    // Without it an answer waits for the client's acknowledgement of its first part: 40 ms.
    let connections = TcpIncoming::from(listener).with_nodelay(Some(true)).map_ok(Lingering::new);
    let grpc = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .layer(InterceptorLayer::new(deadline::noted))
        .add_routes(services(&reader, &refreshes, &abort)?)
        .add_service(health_service)
        .serve_with_incoming_shutdown(connections, stop.clone().cancelled_owned());
    say(format_args!("gRPC and Flight SQL on {grpc_address}\nhealth and metrics on http://{http_address}"))?;

    tokio::spawn(end_when_told(stop.clone(), abort, leave.clone()));
    let (grpc, http) = tokio::join!(until_left("gRPC", grpc, &stop, &leave), until_left("HTTP", http, &stop, &leave));
    tasks.close();
    tasks.wait().await;
    grpc.and(http)
}

/// Serves until `leave` at the latest. Whichever server ends, by a failure too, ends the rest by `stop`.
async fn until_left<E: std::error::Error + Send + Sync + 'static>(
    name: &'static str,
    server: impl IntoFuture<Output = Result<(), E>>,
    stop: &CancellationToken,
    leave: &CancellationToken,
) -> Result<()> {
    let _rest = stop.clone().drop_guard();
    match leave.run_until_cancelled(server.into_future()).await {
        Some(ended) => ended.context(name),
        None => {
            tracing::warn!(server = name, "clients have not hung up: their connections are cut");
            Ok(())
        }
    }
}

/// Binds an address; without `insecure` only one that nobody beyond this machine reaches.
async fn listen(address: &str, insecure: bool) -> Result<TcpListener> {
    let resolved: Vec<SocketAddr> = tokio::net::lookup_host(address)
        .await
        .map_err(|error| {
            anyhow!("`{address}` is no address to listen on ({error}): write host and port, such as 127.0.0.1:50051")
        })?
        .collect();
    if !insecure && resolved.iter().any(|address| !address.ip().is_loopback()) {
        bail!(
            "`{address}` can be reached from other machines, and nobody has to prove who they are: listen on 127.0.0.1, or say --insecure"
        );
    }
    TcpListener::bind(resolved.as_slice()).await.with_context(|| {
        format!(
            "cannot listen on `{address}`: is another server running? Name another with --address or --http-address"
        )
    })
}

/// All services but health, each call with an end: when it is answered, too late, or `abort` is cancelled.
fn services(reader: &Reader, refreshes: &Refreshes, abort: &CancellationToken) -> Result<Routes> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tessera_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let flight = FlightServiceServer::new(Front(FlightSql::new(reader.clone(), abort.clone())))
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    let refresh_runs = RefreshRuns { reader: reader.clone(), refreshes: refreshes.clone() };
    let routes = Routes::new(reflection().build_v1().context("reflection")?)
        .add_service(reflection().build_v1alpha().context("reflection")?) // what grpcurl and Python's client still ask
        .add_service(ProfileServiceServer::new(Profiles(reader.clone())))
        .add_service(IdentityServiceServer::new(Identity(reader.engine.clone())))
        .add_service(SegmentServiceServer::new(Segments(reader.clone())))
        .add_service(BehaviorServiceServer::new(Behavior(reader.clone())))
        .add_service(RefreshServiceServer::new(refresh_runs))
        .add_service(flight)
        .into_axum_router()
        .layer(middleware::from_fn_with_state(abort.clone(), until_aborted))
        .layer(middleware::from_fn(deadline::kept));
    Ok(routes.into())
}

/// Answers a call, or ends it once `abort` is cancelled. Rows that are on their way by then are Flight SQL's to end.
async fn until_aborted(State(abort): State<CancellationToken>, request: Request, next: Next) -> Response {
    let answered = abort.run_until_cancelled(next.run(request)).await;
    answered.unwrap_or_else(|| with_reason(Code::Cancelled, "CANCELLED", "the server is stopping").into_http())
}

/// Opens each new generation until `stop`, and is ready once there is one.
async fn follow_generations(
    engine: Engine,
    mut health: HealthReporter,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) {
    let follow = async {
        let mut told = ServingStatus::NotServing;
        loop {
            let status = look_for_generation(&engine).await;
            // Whoever watches hears of what changes.
            if status != told {
                health.set_service_status("", status).await;
                told = status;
            }
            metrics.run_upkeep();
            tokio::time::sleep(POLL).await;
        }
    };
    stop.run_until_cancelled(follow).await;
    // Those who watch are told, and then let go: they would not hang up.
    health.set_service_status("", ServingStatus::NotServing).await;
    health.clear_service_status("").await;
}

/// Opens the newest generation. What is open stays served where the lake cannot be looked at.
async fn look_for_generation(engine: &Engine) -> ServingStatus {
    let generation = || engine.current().and_then(|open| open.number());
    let before = generation();
    if let Err(error) = engine.reload().await {
        tracing::warn!(error = error.without_values(), "the lake cannot be looked at");
    }
    match generation() {
        Some(generation) => {
            if before != Some(generation) {
                tracing::info!(generation, "serving");
            }
            ServingStatus::Serving
        }
        None => ServingStatus::NotServing,
    }
}

/// Ends everything on SIGINT or SIGTERM: refreshes at once, queries when they are done or their time is up. Another signal
/// ends the process as it is, which loses nothing either.
async fn end_when_told(stop: CancellationToken, abort: CancellationToken, leave: CancellationToken) {
    tokio::select! {
        signal = signals::told_to_end() => tracing::info!(%signal, "ending"),
        () = stop.cancelled() => {}
    }
    stop.cancel();
    tokio::spawn(async {
        tokio::time::sleep(SAME_SIGNAL).await;
        let signal = signals::told_to_end().await;
        tracing::warn!(%signal, "ending at once");
        std::process::exit(signal.exit_code().into());
    });
    tokio::time::sleep(GRACE).await;
    abort.cancel();
    tokio::time::sleep(PARTING).await;
    leave.cancel();
}
