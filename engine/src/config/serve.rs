//! `[serve]` and `[[schedule]]`: what `tessera serve` listens on, what a query may use, and when tables are refreshed.

use chrono::DateTime;
use url::Url;

use super::reader::{Problems, TableReader};
use super::settings::read_byte_size;
use super::source::{check_word, read_time_zone};
use super::{Schedule, ServeConfig};

const SERVE_KEYS: [&str; 9] = [
    "address",
    "http_address",
    "queries_max",
    "query_seconds_max",
    "query_rows_max",
    "query_memory_max",
    "lookup_memory_max",
    "export_to",
    "traces_to",
];
const SCHEDULE_KEYS: [&str; 4] = ["name", "cron", "time_zone", "full"];
/// Each query holds memory and waits for the same processors.
const QUERIES_MAX_MAX: u64 = 10_000;
/// A week.
const QUERY_SECONDS_MAX_MAX: u64 = 7 * 86_400;

pub(super) fn read_serve(root: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> ServeConfig {
    let mut serve = ServeConfig::default();
    let Some(table) = root.table("serve", "[serve]", problems) else { return serve };
    table.check_keys(&SERVE_KEYS, problems);
    if let Some(address) = read_address(&table, "address", problems) {
        serve.address = address;
    }
    if let Some(address) = read_address(&table, "http_address", problems) {
        serve.http_address = address;
    }
    let queries = table.integer("queries_max", 1..=QUERIES_MAX_MAX, problems);
    if let Some(queries) = queries.and_then(|queries| usize::try_from(queries).ok()) {
        serve.queries_max = queries;
    }
    if let Some(seconds) = table.integer("query_seconds_max", 1..=QUERY_SECONDS_MAX_MAX, problems) {
        serve.query_seconds_max = Some(seconds);
    }
    serve.query_rows_max = table.integer("query_rows_max", 1..=u64::MAX, problems);
    serve.query_memory_max = read_byte_size(&table, "query_memory_max", problems);
    serve.lookup_memory_max = read_byte_size(&table, "lookup_memory_max", problems);
    for (url, span) in table.strings("export_to", problems).unwrap_or_default() {
        match export_prefix(&url) {
            Ok(prefix) => serve.export_to.push(prefix),
            Err(message) => problems.add(&span, message),
        }
    }
    serve.traces_to = table.string("traces_to", problems);
    if let Some(Err(message)) = serve.traces_to.as_deref().map(check_collector) {
        problems.add(&table.span_of("traces_to"), message);
    }
    if serve.address == serve.http_address && !serve.address.ends_with(":0") {
        let message = "`address` and `http_address` in [serve] are the same; give one of them another port";
        problems.add(&table.span_of("http_address"), message);
    }
    serve
}

impl ServeConfig {
    /// Whether calls may have a file written to a URL.
    pub fn allows_export_to(&self, url: &str) -> bool {
        // As it will be read: without `..`.
        Url::parse(url).is_ok_and(|url| self.export_to.iter().any(|prefix| url.as_str().starts_with(prefix)))
    }
}

fn export_prefix(url: &str) -> Result<String, String> {
    check_public("export_to", url)?;
    match Url::parse(url) {
        Ok(known) if ["s3", "file"].contains(&known.scheme()) && url.ends_with('/') => Ok(known.to_string()),
        _ => Err(format!(
            "`{url}` of `export_to` in [serve] must be a URL such as `s3://bucket/exports/`, ending with `/`"
        )),
    }
}

fn check_collector(url: &str) -> Result<(), String> {
    check_public("traces_to", url)?;
    if url.starts_with("http://") {
        return Ok(());
    }
    Err(format!(
        "`traces_to = \"{url}\"` in [serve] must begin with `http://`: the URL of an OTLP collector that speaks gRPC, such as \
         `http://127.0.0.1:4317`"
    ))
}

/// Refuses a URL with a secret in it, which is left out of the message.
fn check_public(key: &str, url: &str) -> Result<(), String> {
    if url.contains(['@', '?', '#']) {
        return Err(format!("a URL of `{key}` in [serve] holds credentials or parameters; leave them out of the file"));
    }
    Ok(())
}

/// `host:port`; port 0 takes a free one.
fn read_address(table: &TableReader<'_, '_>, key: &str, problems: &mut Problems<'_>) -> Option<String> {
    let address = table.string(key, problems)?;
    let has_port = address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !has_port {
        let message = format!("`{key} = \"{address}\"` in [serve] must be host and port, such as \"127.0.0.1:50051\"");
        problems.add(&table.span_of(key), message);
    }
    Some(address)
}

pub(super) fn read_schedules(root: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> Vec<Schedule> {
    let hint = "write each schedule under its own `[[schedule]]`, with double brackets";
    let mut schedules: Vec<Schedule> = Vec::new();
    for table in root.tables("schedule", "[[schedule]]", hint, problems).unwrap_or_default() {
        let Some(schedule) = read_schedule(&table, problems) else { continue };
        if schedules.iter().any(|earlier| earlier.name == schedule.name) {
            let message = format!("two schedules are called `{}`; rename one of them", schedule.name);
            problems.add(&table.span_of("name"), message);
        }
        schedules.push(schedule);
    }
    schedules
}

fn read_schedule(table: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<Schedule> {
    table.check_keys(&SCHEDULE_KEYS, problems);
    let name = table.required_string("name", "log lines and metrics call it by that", problems)?;
    check_word("schedule name", &name, &table.span_of("name"), problems);
    let hint = "write a cron expression such as `cron = \"*/15 * * * *\"`: minute, hour, day, month, weekday";
    let cron = table.required_string("cron", hint, problems)?;
    let wrong = match parse_cron(&cron) {
        Err(error) => Some(format!("cannot be read: {error}")),
        Ok(cron) => {
            let is_never = cron.find_next_occurrence(&DateTime::UNIX_EPOCH, false).is_err();
            is_never.then(|| "is a day that never comes".to_owned())
        }
    };
    if let Some(wrong) = wrong {
        let message = format!("`cron = \"{cron}\"` of schedule `{name}` {wrong}; {hint}");
        problems.add(&table.span_of("cron"), message);
    }
    let time_zone = read_time_zone(table, problems).unwrap_or_else(|| "UTC".to_owned());
    let full = table.boolean("full", problems).unwrap_or(false);
    Some(Schedule { name, cron, time_zone, full })
}

/// A cron expression of five fields: a refresh takes longer than the seconds that a sixth could name.
pub(crate) fn parse_cron(cron: &str) -> Result<croner::Cron, croner::errors::CronError> {
    croner::parser::CronParser::builder().seconds(croner::parser::Seconds::Disallowed).build().parse(cron)
}
