//! A large result by Flight SQL, and the same batches from memory over nothing but `arrow-flight`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use arrow::array::{Array, RecordBatch};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use crate::connect;

/// Fetches a result to its end, and says how fast its bytes came.
pub(crate) async fn fetch(address: &str, sql: Option<&str>, save: Option<&Path>) -> Result<Value> {
    let mut client = FlightSqlServiceClient::new(connect(address).await?);
    let started = Instant::now();
    let ticket = match sql {
        Some(sql) => {
            let info = client.execute(sql.to_owned(), None).await?;
            let Some(ticket) = info.endpoint.into_iter().next().and_then(|endpoint| endpoint.ticket) else {
                bail!("the answer to the query has no ticket");
            };
            ticket
        }
        None => Ticket::new("all"),
    };
    let mut batches = client.do_get(ticket).await?;
    let mut kept: Option<StreamWriter<BufWriter<File>>> = None;
    let (mut rows, mut bytes, mut first) = (0, 0, None);
    while let Some(batch) = batches.try_next().await? {
        first.get_or_insert_with(|| started.elapsed());
        rows += batch.num_rows();
        for column in batch.columns() {
            bytes += column.to_data().get_slice_memory_size()?;
        }
        if let Some(save) = save {
            let writer = match &mut kept {
                Some(writer) => writer,
                empty => empty.insert(StreamWriter::try_new_buffered(File::create(save)?, &batch.schema())?),
            };
            writer.write(&batch)?;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    if let Some(mut writer) = kept {
        writer.finish()?;
    }
    let first_ms = first.map(|first| first.as_secs_f64() * 1000.0);
    Ok(json!({ "rows": rows, "bytes": bytes, "seconds": seconds, "first_batch_ms": first_ms }))
}

/// Serves what `file` holds until the process is ended.
pub(crate) async fn serve(file: &Path) -> Result<()> {
    let reader = StreamReader::try_new(BufReader::new(File::open(file)?), None)?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    Server::builder()
        .add_service(FlightServiceServer::new(Batches(Arc::new(batches))))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

/// Batches in memory: `DoGet` gives them all, whatever the ticket says.
struct Batches(Arc<Vec<RecordBatch>>);

/// Says that the server has batches and nothing else.
fn only_batches<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("this server has batches and nothing else"))
}

#[tonic::async_trait]
impl FlightService for Batches {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;

    async fn do_get(&self, _: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let batches = Arc::clone(&self.0);
        let batches = (0..batches.len()).map(move |number| Ok::<_, FlightError>(batches[number].clone()));
        let encoded = FlightDataEncoderBuilder::new().build(futures::stream::iter(batches));
        Ok(Response::new(encoded.map_err(Status::from).boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        only_batches()
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        only_batches()
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        only_batches()
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        only_batches()
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        only_batches()
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        only_batches()
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        only_batches()
    }

    async fn do_action(&self, _: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        only_batches()
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        only_batches()
    }
}
