//! `BehaviorService`.

use std::collections::{HashMap, HashSet};

use chrono::{Datelike, Days, Months, NaiveDate};
use tessera_proto::v1;
use tessera_proto::v1::behavior_service_server::BehaviorService;
use tessera_proto::v1::{Interval, Metric};
use tonic::{Request, Response, Status};

use super::Reader;
use super::call::answered;
use super::convert::{generation, rows};
use super::segment::not_found;
use super::status::invalid_field;

/// Ten years: a longer trend is a report, not a question.
const DAYS_MAX: i64 = 3_660;

/// The service.
#[derive(Debug)]
pub(crate) struct Behavior(pub(crate) Reader);

#[tonic::async_trait]
impl BehaviorService for Behavior {
    async fn query_trend(
        &self,
        request: Request<v1::QueryTrendRequest>,
    ) -> Result<Response<v1::QueryTrendResponse>, Status> {
        answered("BehaviorService/QueryTrend", self.trend(request.into_inner())).await
    }
}

impl Behavior {
    async fn trend(&self, request: v1::QueryTrendRequest) -> Result<v1::QueryTrendResponse, Status> {
        let metrics = metrics_of(&request)?;
        let interval = interval_of(&request)?;
        let (start, end) = (date("start_date", &request.start_date)?, date("end_date", &request.end_date)?);
        if end < start || (end - start).num_days() >= DAYS_MAX {
            let message = format!("must not be before the start date, nor {DAYS_MAX} days or more after it");
            return Err(invalid_field("end_date", "INPUT_INVALID", message));
        }
        let snapshot = self.0.newest().await?;
        if !request.segment.is_empty() {
            let query = "select segment from segment.segments where segment = $1";
            let found = self.0.rows(&snapshot, query, &[&request.segment]).await?;
            rows(&found).next().ok_or_else(|| not_found(&request.segment))?;
        }
        let (query, parameters) = query(&request, interval, &metrics);
        let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
        let batches = self.0.rows(&snapshot, &query, &parameters).await?;
        let mut found = HashMap::new();
        for row in rows(&batches) {
            let values = metrics.iter().map(|metric| row.text(column(*metric))).collect::<Result<Vec<_>, _>>()?;
            found.insert(row.text("start")?, values);
        }
        let points = intervals(start, end, interval).map(|date| point(date, &metrics, &mut found)).collect();
        Ok(v1::QueryTrendResponse { generation: generation(&snapshot), points })
    }
}

fn metrics_of(request: &v1::QueryTrendRequest) -> Result<Vec<Metric>, Status> {
    let wrong = |message: &str| invalid_field("metrics", "INPUT_INVALID", message);
    let metrics: Vec<Metric> = request.metrics().collect();
    let known = metrics.len() == request.metrics.len() && !metrics.contains(&Metric::Unspecified);
    if metrics.is_empty() || !known {
        return Err(wrong("name at least one, and only those that exist"));
    }
    if metrics.iter().collect::<HashSet<_>>().len() != metrics.len() {
        return Err(wrong("name each once"));
    }
    Ok(metrics)
}

fn interval_of(request: &v1::QueryTrendRequest) -> Result<Interval, Status> {
    match Interval::try_from(request.interval) {
        Ok(Interval::Unspecified) => Ok(Interval::Day),
        Ok(interval) => Ok(interval),
        Err(_) => Err(invalid_field("interval", "INPUT_INVALID", "there is no such interval")),
    }
}

/// A day as it is written in full: the parser alone would take `2026-1-1`, and blanks.
fn date(field: &str, text: &str) -> Result<NaiveDate, Status> {
    let read = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let read = read.filter(|date| text.len() == "YYYY-MM-DD".len() && date.to_string() == text);
    read.ok_or_else(|| invalid_field(field, "INPUT_INVALID", "must be a day, written YYYY-MM-DD"))
}

fn column(metric: Metric) -> &'static str {
    match metric {
        Metric::Unspecified | Metric::Events => "events",
        Metric::ActiveProfiles => "active_profiles",
        Metric::Orders => "orders",
        Metric::Revenue => "revenue",
    }
}

/// The query, made of fixed words; what the request says is in the parameters.
fn query(request: &v1::QueryTrendRequest, interval: Interval, metrics: &[Metric]) -> (String, Vec<String>) {
    let unit = match interval {
        Interval::Unspecified | Interval::Day => "day",
        Interval::Week => "week",
        Interval::Month => "month",
    };
    let mut parameters = vec![request.start_date.clone(), request.end_date.clone()];
    let mut conditions = "date between cast($1 as date) and cast($2 as date)".to_owned();
    let filters = [
        ("touchpoint = $", &request.touchpoint, ""),
        ("event_name = $", &request.event_name, ""),
        ("profile_id in (select profile_id from segment.memberships where segment = $", &request.segment, ")"),
    ];
    for (before, value, after) in filters.into_iter().filter(|(_, value, _)| !value.is_empty()) {
        parameters.push(value.clone());
        conditions.push_str(&format!(" and {before}{}{after}", parameters.len()));
    }
    let aggregates = metrics.iter().map(|metric| {
        let aggregate = match metric {
            Metric::Unspecified | Metric::Events => "sum(event_count)",
            Metric::ActiveProfiles => "count(distinct profile_id)",
            Metric::Orders => "coalesce(sum(event_count) filter (where event_name = 'Order Completed'), 0)",
            Metric::Revenue => "coalesce(sum(revenue), 0)",
        };
        format!("{aggregate} as {}", column(*metric))
    });
    let query = format!(
        "select cast(cast(date_trunc('{unit}', date) as date) as text) as start, {}
         from behavior.daily_activity where {conditions} group by 1",
        aggregates.collect::<Vec<_>>().join(", ")
    );
    (query, parameters)
}

/// The first days of all intervals that have a day from `start` to `end`.
fn intervals(start: NaiveDate, end: NaiveDate, interval: Interval) -> impl Iterator<Item = NaiveDate> {
    let first = match interval {
        Interval::Unspecified | Interval::Day => Some(start),
        Interval::Week => start.checked_sub_days(Days::new(u64::from(start.weekday().num_days_from_monday()))),
        Interval::Month => start.with_day(1),
    };
    let next = move |date: &NaiveDate| match interval {
        Interval::Unspecified | Interval::Day => date.checked_add_days(Days::new(1)),
        Interval::Week => date.checked_add_days(Days::new(7)),
        Interval::Month => date.checked_add_months(Months::new(1)),
    };
    std::iter::successors(first, next).take_while(move |date| *date <= end)
}

fn point(date: NaiveDate, metrics: &[Metric], found: &mut HashMap<String, Vec<String>>) -> v1::TrendPoint {
    let date = date.format("%Y-%m-%d").to_string();
    let values = found.remove(&date).unwrap_or_else(|| vec!["0".to_owned(); metrics.len()]);
    let values = metrics.iter().zip(values).map(|(metric, value)| v1::MetricValue { metric: (*metric).into(), value });
    v1::TrendPoint { values: values.collect(), date }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(start: &str, end: &str, interval: Interval) -> Vec<String> {
        let (start, end) = (date("start", start).unwrap(), date("end", end).unwrap());
        intervals(start, end, interval).map(|date| date.to_string()).collect()
    }

    #[test]
    fn test_intervals_begin_on_mondays_and_firsts() {
        assert_eq!(days("2026-02-27", "2026-03-01", Interval::Day), ["2026-02-27", "2026-02-28", "2026-03-01"]);
        assert_eq!(days("2026-03-01", "2026-03-09", Interval::Week), ["2026-02-23", "2026-03-02", "2026-03-09"]);
        assert_eq!(days("2025-12-31", "2026-02-01", Interval::Month), ["2025-12-01", "2026-01-01", "2026-02-01"]);
    }

    #[test]
    fn test_a_day_is_written_in_full() {
        for text in ["2026-1-1", " 2026-1-1", "2026-1-01", "+2026-1-1", "2026-02-30", "2026-01-01 ", "20260101", ""] {
            assert!(date("start_date", text).is_err(), "{text:?}");
        }
        assert!(date("start_date", "2026-01-01").is_ok());
    }

    #[test]
    fn test_no_word_of_a_request_is_in_the_query() {
        let request = v1::QueryTrendRequest {
            touchpoint: "web'--".to_owned(),
            segment: "x') or true".to_owned(),
            ..Default::default()
        };
        let (query, parameters) = query(&request, Interval::Week, &[Metric::Events, Metric::Revenue]);
        assert!(!query.contains("web") && !query.contains("or true"), "{query}");
        assert_eq!(parameters[2..], ["web'--".to_owned(), "x') or true".to_owned()]);
    }
}
