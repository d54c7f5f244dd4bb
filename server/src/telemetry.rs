//! What the process tells about itself: log lines, metrics, and traces where the configuration sends them.

use std::env::VarError;
use std::io::IsTerminal;

use anyhow::{Context, Result, anyhow, bail};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Upper bounds of the buckets of durations, in seconds: from a look-up to a long refresh.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];

/// What a server logs and traces: its own steps, of libraries only what goes wrong.
pub(crate) const OF_SERVER: &str = "warn,tessera=info,tessera_engine=info";

/// What to do about filters that cannot be read.
const RIGHT_FILTERS: &str = "write a level, such as `debug`, or filters, such as `warn,tessera_engine=debug`";

/// Log lines on standard error, so that answers on standard output can be piped. `TESSERA_LOG` says what is logged,
/// `default` where it does not; `TESSERA_LOG_FORMAT=json` makes each line an object. Traces go to the collector at
/// `traces_to`; what this returns must live until the last of them is sent.
pub(crate) fn start(default: &str, traces_to: Option<&str>) -> Result<Option<SdkTracerProvider>> {
    let filter = filter(default)?;
    // Colours are for people: <https://no-color.org>.
    let has_colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(has_colours);
    let lines = match std::env::var("TESSERA_LOG_FORMAT").as_deref() {
        Ok("json") => lines.json().flatten_event(true).boxed(),
        Ok("") | Err(_) => lines.boxed(),
        Ok(other) => bail!("TESSERA_LOG_FORMAT is `{other}`: write `json`, or leave it out for lines of text"),
    };
    let registry = tracing_subscriber::registry().with(lines.with_filter(filter));
    let Some(collector) = traces_to else {
        registry.init();
        return Ok(None);
    };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(collector)
        .build()
        .with_context(|| format!("traces cannot be sent to `{collector}`"))?;
    let resource = opentelemetry_sdk::Resource::builder().with_service_name("tessera").build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("tessera"));
    registry.with(spans.with_filter(EnvFilter::new(OF_SERVER))).init();
    Ok(Some(provider))
}

/// What `TESSERA_LOG` says, `default` where it says nothing.
fn filter(default: &str) -> Result<EnvFilter> {
    let filters = match std::env::var("TESSERA_LOG") {
        Ok(filters) if !filters.trim().is_empty() => filters,
        Ok(_) | Err(VarError::NotPresent) => default.to_owned(),
        Err(VarError::NotUnicode(_)) => bail!("TESSERA_LOG is not Unicode: {RIGHT_FILTERS}"),
    };
    let filters = match filters.trim().parse::<LevelFilter>() {
        // Of libraries only what goes wrong: what else they log has values of queries in it.
        Ok(level) if level > LevelFilter::WARN => format!("warn,tessera={level},tessera_engine={level}"),
        // A filter could be the name of a library, but then it says that nothing else is logged.
        Err(_) if !filters.contains(['=', ',', '[']) => bail!("TESSERA_LOG is `{filters}`: {RIGHT_FILTERS}"),
        _ => filters,
    };
    // Its error says what its cause says.
    EnvFilter::try_new(&filters).map_err(|error| anyhow!("TESSERA_LOG is `{filters}`: {error}; {RIGHT_FILTERS}"))
}

/// Starts to count; the handle gives what was counted as text. Its upkeep must be run now and then, or what is counted
/// grows until somebody asks for the text.
pub(crate) fn metrics() -> Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .context("the buckets of durations")?;
    let handle = recorder.install_recorder().context("metrics are counted already")?;
    describe();
    Ok(handle)
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("tessera_requests_total", "Calls by method and status code");
    describe_histogram!(
        "tessera_request_seconds",
        Unit::Seconds,
        "Time to the answer, or to the first row of a stream"
    );
    describe_counter!("tessera_rows_sent_total", "Rows sent over Flight SQL");
    describe_gauge!("tessera_query_memory_bytes", Unit::Bytes, "Memory that queries, refreshes and look-ups hold");
    describe_gauge!("tessera_generation", "The newest generation that is served");
    describe_gauge!("tessera_generation_age_seconds", Unit::Seconds, "Time since it was published");
    describe_counter!("tessera_refreshes_total", "Refreshes of this server by how they ended");
    describe_histogram!("tessera_refresh_seconds", Unit::Seconds, "How long refreshes take");
    describe_gauge!("tessera_refresh_table_seconds", Unit::Seconds, "How long the last refresh took for each table");
    describe_gauge!("tessera_quarantined_rows", "Rows in quarantine, in the newest generation");
}
