//! Threads of their own for queries and refreshes.
//!
//! A plan computes for milliseconds between two points at which it yields. On the threads that serve the network it would
//! hold up whoever wants a health check or the next message of a stream. Here it holds up other queries only. Answers
//! cross over through a channel that holds few batches, so that a slow client slows its own query and nobody else's.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::error::{EngineError, ErrorKind, Result};
use crate::limits;

/// Longer than anything goes on that nobody waits for any more.
const ENDING_MAX: Duration = Duration::from_secs(3_600);

/// Work on a thread for work that does not yield, as part of a query: dropping the future gives it up.
///
/// # Errors
/// What the work reports; Internal if it ended before its end.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    joined(SpawnedTask::spawn_blocking(work)).await
}

/// What a task of a query makes.
///
/// # Errors
/// What it reports; Internal if it ended before its end.
pub(crate) async fn joined<T: Send + 'static>(task: SpawnedTask<Result<T>>) -> Result<T> {
    task.join().await.map_err(|error| EngineError::internal(format!("a query's task ended: {error}")))?
}

/// The threads. Dropping it ends what runs on them at its next point of yielding.
pub(crate) struct CpuRuntime(Option<tokio::runtime::Runtime>);

impl CpuRuntime {
    /// So many threads.
    pub(crate) fn new(threads: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("tessera-query")
            .thread_stack_size(limits::QUERY_STACK_BYTES)
            .enable_all() // the object store's connections and timers live where they are used
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs `work` to its end. Dropping the future aborts it.
    ///
    /// The answer is boxed: whoever waits for it need not know what the work is made of. Else the compiler would ask of each
    /// type in a whole refresh whether it may be sent, for each caller anew, which takes it minutes.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        let task = self.spawn(work);
        let ended = async move {
            let mut task = task?;
            match (&mut task.0).await {
                Ok(result) => result,
                Err(error) => Err(EngineError::internal(format!("a query's task ended: {error}"))),
            }
        };
        ended.boxed()
    }

    /// Runs `work`, of which parts compute for seconds without yielding, to its end: on a thread of its own, so that it holds up
    /// nobody else. Dropping the future gives it up at its next point of yielding.
    pub(crate) fn run_aside<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        let work = work.boxed();
        let aside = async move {
            let (_listening, nobody_listens) = oneshot::channel::<()>();
            let threads = tokio::runtime::Handle::current();
            let until_given_up = async move {
                tokio::select! {
                    result = work => result,
                    _ = nobody_listens => Err(EngineError::new(ErrorKind::Cancelled, "the query was given up")),
                }
            };
            blocking(move || threads.block_on(until_given_up)).await
        };
        self.run(aside)
    }

    /// Polls `batches` on the query threads; dropping the stream aborts that. Once `give_up` is ready the answer ends with
    /// its error, also while nobody takes the batches that wait: who reads no further must not hold what others need. It is waited
    /// for on the threads of who calls, since those of queries may compute for long without yielding.
    pub(crate) fn stream(
        &self,
        batches: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
        give_up: impl Future<Output = EngineError> + Send + 'static,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let (sender, mut receiver) = mpsc::channel(limits::BATCHES_IN_FLIGHT);
        let (last_batch, all_sent) = oneshot::channel();
        let task = self.spawn(async move {
            let mut batches = std::pin::pin!(batches);
            while let Some(batch) = batches.next().await {
                if sender.send(batch).await.is_err() {
                    break; // nobody listens any more
                }
            }
            let _ = last_batch.send(()); // nobody may listen any more
        })?;
        let (last_word, mut heard) = oneshot::channel();
        let sending = task.0.abort_handle();
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = all_sent => ended.map(|()| None),
                error = give_up => {
                    sending.abort();
                    Ok(Some(error))
                }
            };
            // A task that ended before its end says nothing. Nobody listens any more, or somebody reads it after the last batch.
            let _ = ended.map(|word| last_word.send(word));
        });
        let (mut is_over, mut word) = (false, None);
        Ok(futures::stream::poll_fn(move |context| {
            let _keep_running = &task;
            if is_over {
                return Poll::Ready(None);
            }
            let received = receiver.poll_recv(context);
            if let Poll::Ready(Some(batch)) = received {
                return Poll::Ready(Some(batch));
            }
            if word.is_none()
                && let Poll::Ready(said) = heard.poll_unpin(context)
            {
                word = Some(said);
            }
            let last = match (received, word.take()) {
                (_, Some(Ok(Some(error)))) => Some(Err(error)),
                (Poll::Ready(_), Some(Ok(None))) => None,
                (Poll::Ready(_), Some(Err(_))) => {
                    Some(Err(EngineError::internal("a query's task ended before its answer did")))
                }
                (_, said) => {
                    word = said;
                    return Poll::Pending;
                }
            };
            is_over = true;
            Poll::Ready(last)
        })
        .boxed())
    }

    fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<AbortOnDrop<T>> {
        match &self.0 {
            Some(runtime) => Ok(AbortOnDrop(runtime.spawn(work))),
            None => Err(EngineError::internal("the query threads have ended")),
        }
    }
}

impl Drop for CpuRuntime {
    fn drop(&mut self) {
        // A runtime must not wait for its threads where other asynchronous work runs. But somebody must wait: to let go of a
        // thread that is about to end reads what glibc has unmapped by then if stacks are as large as these (its bug 19951).
        if let Some(runtime) = self.0.take() {
            let _ = std::thread::Builder::new().spawn(move || runtime.shutdown_timeout(ENDING_MAX));
        }
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
