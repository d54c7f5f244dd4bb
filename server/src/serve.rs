//! `tessera serve`: gRPC and Flight SQL on one port, health and metrics on another, scheduled refreshes, and an end that
//! loses nothing.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use arrow_flight::flight_service_server::FlightServiceServer;
use futures::TryStreamExt;
use tessera_engine::Engine;
use tessera_proto::v1::behavior_service_server::BehaviorServiceServer;
use tessera_proto::v1::identity_service_server::IdentityServiceServer;
use tessera_proto::v1::profile_service_server::ProfileServiceServer;
use tessera_proto::v1::refresh_service_server::RefreshServiceServer;
use tessera_proto::v1::segment_service_server::SegmentServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::cli::ServeArguments;
use crate::connection::Lingering;
use crate::flight_sql::front::Front;
use crate::flight_sql::service::FlightSql;
use crate::grpc::Reader;
use crate::grpc::behavior::Behavior;
use crate::grpc::identity::Identity;
use crate::grpc::profile::Profiles;
use crate::grpc::refresh::RefreshRuns;
use crate::grpc::segment::Segments;
use crate::http::{self, Http};
use crate::output::say;
use crate::refreshes::Refreshes;
use crate::{scheduler, telemetry};

/// How often the lake is looked at for a generation that somebody else published.
const POLL: Duration = Duration::from_secs(1);
/// How long running queries may go on once the server is told to end.
const GRACE: Duration = Duration::from_secs(10);
/// Connections without an answer to a ping for so long are closed, and their queries end.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The longest request: parameters of a statement, an expression.
const REQUEST_BYTES_MAX: usize = 16 << 20;

/// Serves until the process is told to end.
pub(crate) async fn run(engine: &Engine, arguments: &ServeArguments) -> Result<()> {
    let engine = &engine.clone().with_lookups();
    let serve = &engine.config().serve;
    let address = arguments.address.as_ref().unwrap_or(&serve.address);
    let http_address = arguments.http_address.as_ref().unwrap_or(&serve.http_address);
    let listener = listen(address, arguments.insecure).await?;
    let http_listener = listen(http_address, arguments.insecure).await?;
    let metrics = telemetry::metrics()?;

    // `stop`: accept nothing more, end refreshes and schedules. `abort`: end the queries that still run.
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    let tasks = TaskTracker::new();
    let refreshes = Refreshes::new(engine.clone(), stop.clone(), tasks.clone());
    scheduler::start(engine, &refreshes, &stop, &tasks)?;
    let (health, health_service) = tonic_health::server::health_reporter();
    let following = follow_generations(engine.clone(), health);
    tasks.spawn(stop.clone().run_until_cancelled_owned(following));

    let http = http::router(Http { engine: engine.clone(), metrics });
    let http_address = http_listener.local_addr()?;
    let http_stop = stop.clone();
    let http = axum::serve(http_listener, http).with_graceful_shutdown(async move { http_stop.cancelled().await });
    let reader = Reader::new(engine.clone());
    let grpc_address = listener.local_addr()?;
    // Without it an answer waits for the client's acknowledgement of its first part: 40 ms.
    let connections = TcpIncoming::from(listener).with_nodelay(Some(true)).map_ok(Lingering::new);
    let grpc = services(&reader, &refreshes, &abort)?
        .add_service(health_service)
        .serve_with_incoming_shutdown(connections, stop.clone().cancelled_owned());
    say(format_args!("gRPC and Flight SQL on {grpc_address}\nhealth and metrics on http://{http_address}"))?;

    tokio::spawn(end_when_told(stop.clone(), abort));
    let (grpc, http) = tokio::join!(grpc, http);
    // Whichever server failed, the rest must end too.
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    grpc.context("gRPC")?;
    http.context("HTTP")?;
    Ok(())
}

/// Binds an address; without `insecure` only one that nobody beyond this machine reaches.
async fn listen(address: &str, insecure: bool) -> Result<TcpListener> {
    let resolved: Vec<SocketAddr> = tokio::net::lookup_host(address)
        .await
        .with_context(|| format!("`{address}` is not an address: write host and port, such as 127.0.0.1:50051"))?
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

fn services(reader: &Reader, refreshes: &Refreshes, abort: &CancellationToken) -> Result<Router> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tessera_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let flight = FlightServiceServer::new(Front(FlightSql::new(reader.clone(), abort.clone())))
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    let refresh_runs = RefreshRuns { reader: reader.clone(), refreshes: refreshes.clone() };
    Ok(Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .add_service(reflection().build_v1().context("reflection")?)
        .add_service(reflection().build_v1alpha().context("reflection")?) // what grpcurl and Python's client still ask
        .add_service(ProfileServiceServer::new(Profiles(reader.clone())))
        .add_service(IdentityServiceServer::new(Identity(reader.engine.clone())))
        .add_service(SegmentServiceServer::new(Segments(reader.clone())))
        .add_service(BehaviorServiceServer::new(Behavior(reader.clone())))
        .add_service(RefreshServiceServer::new(refresh_runs))
        .add_service(flight))
}

/// Opens each new generation, and is ready once there is one.
async fn follow_generations(engine: Engine, health: HealthReporter) {
    loop {
        let (before, found) = (engine.current().and_then(|open| open.number()), engine.reload().await);
        match found.map(|snapshot| snapshot.number()) {
            Ok(Some(generation)) => {
                health.set_service_status("", ServingStatus::Serving).await;
                if before != Some(generation) {
                    tracing::info!(generation, "serving");
                }
            }
            Ok(None) => health.set_service_status("", ServingStatus::NotServing).await,
            // What is open stays served.
            Err(error) => tracing::warn!(%error, "the lake cannot be looked at"),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Ends everything on SIGINT or SIGTERM: refreshes at once, queries when they are done or their time is up.
async fn end_when_told(stop: CancellationToken, abort: CancellationToken) {
    let told = async {
        #[cfg(unix)]
        if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
        let _ = tokio::signal::ctrl_c().await;
    };
    tokio::select! {
        () = told => tracing::info!("ending"),
        () = stop.cancelled() => {}
    }
    stop.cancel();
    tokio::time::sleep(GRACE).await;
    abort.cancel();
}
