//! A call, counted once by its method and status, however it ends: answered, refused, in the middle of a stream, or left by
//! its client.

use std::future::Future;
use std::task::{Poll, ready};
use std::time::Instant;

use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use tonic::{Code, Response, Status};
use tracing::Instrument;

use super::deadline;

/// Answers a call, and counts it.
pub(crate) async fn answered<T>(
    method: &'static str,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<Response<T>, Status> {
    counted(method, work).await.map(Response::new)
}

/// Counts a call that is not answered with one message.
pub(crate) async fn counted<T>(
    method: &'static str,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let call = Call::begin(method);
    let result = work.instrument(tracing::info_span!("request", method)).await;
    call.end(result.as_ref().err());
    result
}

/// Answers a call with a stream, and counts it when that ends. The first message is there at once, whatever the stream: the
/// columns, the generation, how a refresh stands. So its time is that of the second.
pub(crate) async fn streamed<T: 'static>(
    method: &'static str,
    work: impl Future<Output = Result<BoxStream<'static, Result<T, Status>>, Status>>,
) -> Result<Response<BoxStream<'static, Result<T, Status>>>, Status> {
    let call = Call::begin(method);
    let mut messages = match work.instrument(tracing::info_span!("request", method)).await {
        Ok(messages) => messages,
        Err(status) => {
            call.end(Some(&status));
            return Err(status);
        }
    };
    let (mut call, mut has_begun) = (Some(call), false);
    let messages = stream::poll_fn(move |context| {
        let message = ready!(messages.poll_next_unpin(context));
        let error = match &message {
            Some(Ok(_)) => {
                if let Some(call) = call.as_mut().filter(|_| has_begun) {
                    call.time();
                }
                has_begun = true;
                return Poll::Ready(message);
            }
            Some(Err(status)) => Some(status),
            None => None,
        };
        if let Some(call) = call.take() {
            call.end(error);
        }
        Poll::Ready(message)
    });
    Ok(Response::new(messages.boxed()))
}

/// A call that has begun. One that is dropped was left by its client, or is too late.
#[derive(Debug)]
struct Call {
    method: &'static str,
    started: Instant,
    /// Until when its client waits, if it said so.
    deadline: Option<tokio::time::Instant>,
    is_timed: bool,
    is_ended: bool,
}

impl Call {
    fn begin(method: &'static str) -> Self {
        Self { method, started: Instant::now(), deadline: deadline::current(), is_timed: false, is_ended: false }
    }

    /// Notes the time to the answer, or to the first row of a stream: how long the rest takes is up to the client, too.
    fn time(&mut self) {
        if !std::mem::replace(&mut self.is_timed, true) {
            let seconds = self.started.elapsed().as_secs_f64();
            metrics::histogram!("tessera_request_seconds", "method" => self.method).record(seconds);
        }
    }

    fn end(mut self, error: Option<&Status>) {
        self.count(error.map_or(Code::Ok, Status::code));
    }

    fn count(&mut self, code: Code) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        self.time();
        let (method, seconds) = (self.method, self.started.elapsed().as_secs_f64());
        metrics::counter!("tessera_requests_total", "method" => method, "code" => format!("{code:?}")).increment(1);
        match code {
            Code::Ok => tracing::debug!(method, seconds, "request"),
            // Its message may quote what the caller wrote, and that may be somebody's address: the caller has it.
            _ => tracing::warn!(method, code = ?code, seconds, "request failed"),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.count(deadline::code_of_dropped(self.deadline));
    }
}
