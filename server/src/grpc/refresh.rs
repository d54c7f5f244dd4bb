//! `RefreshService`.

use arrow::array::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use tessera_engine::{ErrorKind, RefreshOptions, StepReport};
use tessera_proto::v1;
use tessera_proto::v1::RefreshState;
use tessera_proto::v1::refresh_service_server::RefreshService;
use tokio_stream::wrappers::WatchStream;
use tonic::{Code, Request, Response, Status};

use super::Reader;
use super::call::{answered, streamed};
use super::convert::{Row, rows, timestamp};
use super::page_token::{PageToken, page_size};
use super::status::{invalid_field, to_status, with_reason};
use crate::refreshes::{Refresh, Refreshes, State};

const LISTING: &str = "refreshes";
/// A row for each run as a whole: those without a table's name.
const RUNS: &str =
    "select refresh_id, generation, started_at, is_full, seconds, state, error from ops.refreshes where name is null";
const STEPS: &str = "select refresh_id, name, rows, bytes, seconds, state <> 'unchanged' as ran from ops.refreshes
    where name is not null and refresh_id = $1";

/// The service.
#[derive(Debug)]
pub(crate) struct RefreshRuns {
    pub(crate) reader: Reader,
    pub(crate) refreshes: Refreshes,
}

#[tonic::async_trait]
impl RefreshService for RefreshRuns {
    async fn run_refresh(
        &self,
        request: Request<v1::RunRefreshRequest>,
    ) -> Result<Response<v1::RunRefreshResponse>, Status> {
        answered("RefreshService/RunRefresh", self.run(request.into_inner())).await
    }

    async fn get_refresh(
        &self,
        request: Request<v1::GetRefreshRequest>,
    ) -> Result<Response<v1::GetRefreshResponse>, Status> {
        let id = request.into_inner().refresh_id;
        let work = async { Ok(v1::GetRefreshResponse { refresh: Some(self.get(&id).await?) }) };
        answered("RefreshService/GetRefresh", work).await
    }

    async fn list_refreshes(
        &self,
        request: Request<v1::ListRefreshesRequest>,
    ) -> Result<Response<v1::ListRefreshesResponse>, Status> {
        answered("RefreshService/ListRefreshes", self.list(request.into_inner())).await
    }

    type WatchRefreshStream = BoxStream<'static, Result<v1::WatchRefreshResponse, Status>>;

    async fn watch_refresh(
        &self,
        request: Request<v1::WatchRefreshRequest>,
    ) -> Result<Response<Self::WatchRefreshStream>, Status> {
        streamed("RefreshService/WatchRefresh", self.watch(request.into_inner().refresh_id)).await
    }
}

impl RefreshRuns {
    async fn run(&self, request: v1::RunRefreshRequest) -> Result<v1::RunRefreshResponse, Status> {
        let v1::RunRefreshRequest { full, allow_merges } = request;
        let started = self.refreshes.start(RefreshOptions { full, allow_merges, unless_started_since: None }).await;
        let run = started.map_err(|error| match error.kind() {
            ErrorKind::Conflict => with_reason(Code::Aborted, "REFRESH_RUNNING", error.to_string()),
            _ => to_status(error),
        })?;
        Ok(v1::RunRefreshResponse { refresh: run.map(|run| running(&run.borrow())) })
    }

    async fn get(&self, id: &str) -> Result<v1::Refresh, Status> {
        if let Some(run) = self.refreshes.get(id) {
            return Ok(running(&run.borrow()));
        }
        let [runs, steps] = self.logged(&[(&format!("{RUNS} and refresh_id = $1"), id), (STEPS, id)]).await?;
        let row = rows(&runs).next().ok_or_else(|| not_found(id))?;
        logged(row, rows(&steps).map(step).collect::<Result<_, _>>()?)
    }

    async fn list(&self, request: v1::ListRefreshesRequest) -> Result<v1::ListRefreshesResponse, Status> {
        let size = page_size(request.page_size, 20, 1_000)?;
        let token = PageToken::open(&request.page_token, LISTING)?;
        // Ids sort by time, and no id is greater than this.
        let before = token.map_or_else(|| "~".to_owned(), |token| token.last);
        let query = format!("{RUNS} and refresh_id < $1 order by refresh_id desc limit {}", size + 1);
        let [runs] = self.logged(&[(&query, &before)]).await?;
        let mut refreshes = rows(&runs).map(|row| logged(row, Vec::new())).collect::<Result<Vec<_>, _>>()?;
        // What still runs is not in the log.
        let is_unlogged = |refresh: &Refresh| {
            refresh.refresh_id < before && refreshes.iter().all(|logged| logged.refresh_id != refresh.refresh_id)
        };
        let unlogged = self.refreshes.list().into_iter().filter(|refresh| refresh.state == State::Running);
        let unlogged: Vec<v1::Refresh> = unlogged.filter(is_unlogged).map(|refresh| running(&refresh)).collect();
        refreshes.extend(unlogged);
        refreshes.sort_by(|left, right| right.refresh_id.cmp(&left.refresh_id));
        let has_more = refreshes.len() > size;
        refreshes.truncate(size);
        let last = refreshes.last().filter(|_| has_more).map(|refresh| refresh.refresh_id.clone());
        let next_page_token = last.map(|last| PageToken { generation: 0, last }.seal(LISTING)).unwrap_or_default();
        Ok(v1::ListRefreshesResponse { refreshes, next_page_token })
    }

    async fn watch(&self, id: String) -> Result<<Self as RefreshService>::WatchRefreshStream, Status> {
        let answer = |refresh| Ok(v1::WatchRefreshResponse { refresh: Some(refresh) });
        let Some(run) = self.refreshes.get(&id) else {
            let refresh = self.get(&id).await?;
            return Ok(futures::stream::iter([answer(refresh)]).boxed());
        };
        // The sender is dropped when the refresh ends: the stream ends with the last state.
        Ok(WatchStream::new(run).map(move |refresh| answer(running(&refresh))).boxed())
    }

    /// Answers of the logs as they are now.
    async fn logged<const N: usize>(&self, queries: &[(&str, &str); N]) -> Result<[Vec<RecordBatch>; N], Status> {
        let logs = self.reader.engine.logs().await.map_err(to_status)?;
        let mut answers = [const { Vec::new() }; N];
        for (answer, (query, parameter)) in answers.iter_mut().zip(queries) {
            *answer = self.reader.rows(&logs, query, &[parameter]).await?;
        }
        Ok(answers)
    }
}

fn not_found(id: &str) -> Status {
    if id.is_empty() {
        return invalid_field("refresh_id", "INPUT_INVALID", "give the id of a refresh");
    }
    with_reason(Code::NotFound, "REFRESH_NOT_FOUND", format!("there is no refresh `{id}`"))
}

/// A refresh of this server.
fn running(refresh: &Refresh) -> v1::Refresh {
    let (state, generation, error) = match &refresh.state {
        State::Running => (RefreshState::Running, 0, String::new()),
        State::Published(generation) => (RefreshState::Published, *generation, String::new()),
        State::Failed(error, _) => (RefreshState::Failed, 0, error.clone()),
    };
    v1::Refresh {
        refresh_id: refresh.refresh_id.clone(),
        state: state.into(),
        start_time: Some(timestamp(refresh.started_at)),
        full: refresh.full,
        seconds: refresh.seconds,
        generation,
        error,
        current_step: refresh.current_step.clone(),
        steps: refresh.steps.iter().map(step_of).collect(),
    }
}

fn step_of(step: &StepReport) -> v1::RefreshStep {
    let number = |number| i64::try_from(number).unwrap_or(i64::MAX);
    v1::RefreshStep {
        name: step.name.clone(),
        rows: number(step.rows),
        bytes: number(step.bytes),
        seconds: step.seconds,
        ran: step.ran,
    }
}

/// A refresh from the log.
fn logged(row: Row<'_>, steps: Vec<v1::RefreshStep>) -> Result<v1::Refresh, Status> {
    let is_published = row.text("state")? == "published";
    let state = if is_published { RefreshState::Published } else { RefreshState::Failed };
    Ok(v1::Refresh {
        refresh_id: row.text("refresh_id")?,
        state: state.into(),
        start_time: row.time("started_at")?,
        full: row.boolean("is_full")?,
        seconds: row.number("seconds")?,
        generation: u64::try_from(row.integer("generation")?).unwrap_or_default(),
        error: row.text("error")?,
        current_step: String::new(),
        steps,
    })
}

fn step(row: Row<'_>) -> Result<v1::RefreshStep, Status> {
    Ok(v1::RefreshStep {
        name: row.text("name")?,
        rows: row.integer("rows")?,
        bytes: row.integer("bytes")?,
        seconds: row.number("seconds")?,
        ran: row.boolean("ran")?,
    })
}
