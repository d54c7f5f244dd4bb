//! The commands of Flight SQL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, CommandGetCatalogs,
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightData, FlightDescriptor,
    FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage, SchemaAsIpc, Ticket,
};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tessera_engine::{EngineError, Snapshot, Statement};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status, Streaming};

use super::metadata;
use super::session;
use super::sql_info;
use super::statements::{Fetchable, Prepared, Statements, forget_unused};
use super::wire_types::wire_schema;
use super::writes::{queries, writes};
use crate::grpc::Reader;
use crate::grpc::call::{answered, counted, streamed};
use crate::grpc::status::{to_status, with_reason};

/// The name of the action that cancels what a FlightInfo describes; `arrow-flight` has its messages, but not its name.
const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";
/// Nobody has to prove who they are yet. Drivers that send a password want a token for it.
const BEARER: &str = "Bearer anonymous";

type FlightStream<T> = BoxStream<'static, Result<T, Status>>;

/// Answers the commands.
#[derive(Clone, Debug)]
pub(crate) struct FlightSql {
    reader: Reader,
    statements: Arc<Statements>,
    stop: CancellationToken,
}

impl FlightSql {
    /// Reads with `reader`; once `stop` is cancelled, what runs ends.
    pub(crate) fn new(reader: Reader, stop: CancellationToken) -> Self {
        let statements = Arc::default();
        tokio::spawn(stop.clone().run_until_cancelled_owned(forget_unused(Arc::downgrade(&statements))));
        Self { reader, statements, stop }
    }

    /// Plans a query over the newest generation.
    async fn plan(&self, sql: &str) -> Result<Statement, Status> {
        self.plan_over(&self.snapshot().await?, sql).await
    }

    async fn plan_over(&self, snapshot: &Arc<Snapshot>, sql: &str) -> Result<Statement, Status> {
        let planned = self.reader.engine.prepare(snapshot, sql, self.reader.limits).await;
        planned.map_err(|error| if writes(sql) { read_only() } else { to_status(error) })
    }

    /// Plans a query with the values of its parameters.
    async fn bound(&self, snapshot: &Arc<Snapshot>, query: &Prepared) -> Result<Statement, Status> {
        let statement = self.plan_over(snapshot, &query.sql).await?;
        match &query.values {
            Some(values) => statement.bind(values).map_err(to_status),
            None => Ok(statement),
        }
    }

    /// The newest generation; before the first refresh, one with the logs only.
    async fn snapshot(&self) -> Result<Arc<Snapshot>, Status> {
        match self.reader.engine.current() {
            Some(snapshot) => Ok(snapshot),
            None => self.reader.engine.reload().await.map_err(to_status),
        }
    }

    /// The columns that a query will give.
    pub(crate) async fn schema(&self, sql: &str) -> Result<SchemaRef, Status> {
        Ok(wire_schema(&self.plan(sql).await?.schema()))
    }

    /// The columns that a prepared statement will give.
    pub(crate) async fn prepared_schema(&self, handle: &[u8]) -> Result<SchemaRef, Status> {
        self.schema(&self.prepared(handle)?.sql).await
    }

    fn prepared(&self, handle: &[u8]) -> Result<Arc<Prepared>, Status> {
        self.statements.prepared(&String::from_utf8_lossy(handle)).ok_or_else(no_statement)
    }

    /// Where to fetch the rows of a query, which is planned over the newest generation.
    async fn offer(&self, query: Prepared, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
        let statement = self.bound(&self.snapshot().await?, &query).await?;
        let schema = wire_schema(&statement.schema());
        let handle = self.statements.offer(Fetchable::new(query, statement, self.stop.child_token()));
        let ticket = TicketStatementQuery { statement_handle: handle.into() };
        described(&schema, ticket.as_any().encode_to_vec(), descriptor)
    }

    /// The rows of a ticket.
    async fn fetch(&self, handle: &[u8]) -> Result<FlightStream<FlightData>, Status> {
        let fetchable = self.statements.fetchable(&String::from_utf8_lossy(handle)).ok_or_else(|| {
            with_reason(
                Code::NotFound,
                "TICKET_NOT_FOUND",
                "no such ticket: it was cancelled, or not used for ten minutes; run the query again",
            )
        })?;
        self.rows(fetchable).await
    }

    /// Rows as they are computed. A query ends when its client goes, is cancelled, or the server stops.
    async fn rows(&self, fetchable: Arc<Fetchable>) -> Result<FlightStream<FlightData>, Status> {
        let statement = match fetchable.take_plan() {
            Some(statement) => statement,
            None => self.bound(&fetchable.snapshot, &fetchable.query).await?,
        };
        let schema = wire_schema(&statement.schema());
        let statement = statement.giving(Arc::clone(&schema));
        let result = self.reader.engine.execute(&statement, self.reader.limits).await.map_err(to_status)?;
        let cancelled = fetchable.cancel.clone().cancelled_owned();
        let batches =
            result.batches.map_err(|error| FlightError::Tonic(Box::new(to_status(error)))).inspect_ok(|batch| {
                metrics::counter!("tessera_rows_sent_total").increment(batch.num_rows() as u64);
            });
        // This holds what was fetched to the end of the rows, so that it can be cancelled until then.
        let is_cancelled = async move { fetchable.cancel.is_cancelled() };
        let ended = futures::stream::once(is_cancelled).filter_map(|is_cancelled| async move {
            let status =
                with_reason(Code::Cancelled, "CANCELLED", "the query was cancelled, or the server is stopping");
            is_cancelled.then_some(Err(FlightError::Tonic(Box::new(status))))
        });
        let batches = batches.take_until(cancelled).chain(ended);
        let encoded = FlightDataEncoderBuilder::new().with_schema(schema).build(batches);
        Ok(encoded.map_err(flight_status).boxed())
    }

    async fn tables(&self) -> Result<Vec<tessera_engine::TableInfo>, Status> {
        self.snapshot().await?.tables().await.map_err(to_status)
    }
}

/// A FlightInfo with one endpoint, which is all that Superset and Grafana read.
fn described(schema: &Schema, ticket: Vec<u8>, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket { ticket: ticket.into() });
    let info = FlightInfo::new().try_with_schema(schema).map_err(arrow_status)?;
    Ok(info.with_endpoint(endpoint).with_descriptor(descriptor))
}

/// A FlightInfo of metadata: the ticket is the command itself.
fn described_metadata(
    schema: &Schema,
    command: &impl ProstMessageExt,
    request: Request<FlightDescriptor>,
) -> Result<Response<FlightInfo>, Status> {
    Ok(Response::new(described(schema, command.as_any().encode_to_vec(), request.into_inner())?))
}

fn sent(batch: Result<RecordBatch, FlightError>) -> Result<Response<FlightStream<FlightData>>, Status> {
    let batch = batch.map_err(flight_status)?;
    let encoder = FlightDataEncoderBuilder::new().with_schema(batch.schema());
    Ok(Response::new(encoder.build(futures::stream::iter([Ok(batch)])).map_err(flight_status).boxed()))
}

/// An error of what we send. The library's own conversion would give no reason, and tell the caller what only a log may know.
fn flight_status(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        FlightError::Arrow(error) => arrow_status(error),
        FlightError::ExternalError(error) => arrow_status(ArrowError::ExternalError(error)),
        error => to_status(EngineError::internal(error.to_string())),
    }
}

fn arrow_status(error: ArrowError) -> Status {
    to_status(EngineError::from(error))
}

fn ready<T>(built: &'static Result<T, FlightError>) -> Result<&'static T, Status> {
    built.as_ref().map_err(|error| to_status(EngineError::internal(error.to_string())))
}

/// The schema in the form that an action's answer carries it in.
pub(crate) fn encoded_schema(schema: &Schema) -> Result<Bytes, Status> {
    let message: Result<IpcMessage, ArrowError> = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into();
    Ok(message.map_err(arrow_status)?.0)
}

fn read_only() -> Status {
    let message = "only queries are allowed here: the server is read-only, and data are landed with `tessera ingest`";
    with_reason(Code::InvalidArgument, "READ_ONLY", message)
}

/// A query was sent as a statement that changes rows: drivers do so to run one for many rows of values.
fn no_rows_changed() -> Status {
    let message = "a query gives rows and changes none: execute it as a query, once for each row of values";
    with_reason(Code::InvalidArgument, "INPUT_INVALID", message)
}

fn no_statement() -> Status {
    with_reason(
        Code::NotFound,
        "STATEMENT_NOT_FOUND",
        "no such prepared statement: it was closed, or not used for ten minutes; prepare it again",
    )
}

/// The one row of values that a client sends for parameters. A second one is refused before the rest is read: a client may
/// send without end.
async fn one_row(mut batches: FlightRecordBatchStream) -> Result<RecordBatch, Status> {
    let mut row: Option<RecordBatch> = None;
    while let Some(batch) = batches.try_next().await? {
        if row.as_ref().map_or(0, RecordBatch::num_rows) + batch.num_rows() > 1 {
            let message = "one row of values at a time: a query cannot run for many";
            return Err(with_reason(Code::InvalidArgument, "INPUT_INVALID", message));
        }
        if batch.num_rows() == 1 {
            row = Some(batch);
        }
    }
    row.ok_or_else(|| with_reason(Code::InvalidArgument, "INPUT_INVALID", "give the parameters one row of values"))
}

/// The values of parameters. Superset's driver sends each in a union of all types: the value in it is taken out.
fn plain_values(batch: &RecordBatch) -> Result<RecordBatch, Status> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let column = match column.data_type() {
            DataType::Union(..) => column.as_union().value(0),
            _ => Arc::clone(column),
        };
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(arrow_status)
}

#[tonic::async_trait]
impl FlightSqlService for FlightSql {
    type FlightService = Self;

    async fn do_handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<FlightStream<HandshakeResponse>>, Status> {
        let answer = HandshakeResponse { protocol_version: 0, payload: BEARER.into() };
        let mut response = Response::new(futures::stream::iter([Ok(answer)]).boxed());
        response.metadata_mut().insert("authorization", MetadataValue::from_static(BEARER));
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let work = async {
            let query = Prepared { sql: query.query, values: None };
            self.offer(query, request.into_inner()).await
        };
        answered("FlightSql/GetFlightInfoStatement", work).await
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let work = async {
            let query = self.prepared(&query.prepared_statement_handle)?.as_ref().clone();
            self.offer(query, request.into_inner()).await
        };
        answered("FlightSql/GetFlightInfoPreparedStatement", work).await
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        _: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        streamed("FlightSql/DoGetStatement", self.fetch(&ticket.statement_handle)).await
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        _: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        // Clients that make the ticket themselves.
        let work = async {
            let query = self.prepared(&query.prepared_statement_handle)?.as_ref().clone();
            let statement = self.bound(&self.snapshot().await?, &query).await?;
            self.rows(Arc::new(Fetchable::new(query, statement, self.stop.child_token()))).await
        };
        streamed("FlightSql/DoGetPreparedStatement", work).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        _: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let work = async {
            let statement = self.plan(&query.query).await?;
            let parameters = statement.parameters().map_err(to_status)?;
            let handle = self.statements.prepare(Prepared { sql: query.query, values: None });
            Ok(ActionCreatePreparedStatementResult {
                prepared_statement_handle: handle.into(),
                dataset_schema: encoded_schema(&wire_schema(&statement.schema()))?,
                parameter_schema: encoded_schema(&wire_schema(&parameters))?,
            })
        };
        counted("FlightSql/CreatePreparedStatement", work).await
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        _: Request<Action>,
    ) -> Result<(), Status> {
        self.statements.close(&String::from_utf8_lossy(&query.prepared_statement_handle));
        Ok(())
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let handle = String::from_utf8_lossy(&query.prepared_statement_handle).into_owned();
        self.prepared(handle.as_bytes())?;
        let data = request.into_inner().map_err(FlightError::from);
        let values = one_row(FlightRecordBatchStream::new_from_flight_data(data)).await?;
        if !self.statements.bind(&handle, plain_values(&values)?) {
            return Err(no_statement());
        }
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle.into()) })
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        _: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let info = FlightInfo::decode(query.info).map_err(|error| Status::invalid_argument(error.to_string()))?;
        // The numbers of `CancelResult`, which `arrow-flight` does not export, are those of `CancelStatus`.
        let result = if self.cancel(&info) { CancelStatus::Cancelled } else { CancelStatus::NotCancellable };
        Ok(ActionCancelQueryResult { result: result as i32 })
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        let action = request.into_inner();
        let body = if action.r#type == CANCEL_FLIGHT_INFO {
            let request = CancelFlightInfoRequest::decode(action.body)
                .map_err(|error| Status::invalid_argument(error.to_string()))?;
            let is_known = request.info.is_some_and(|info| self.cancel(&info));
            let status = if is_known { CancelStatus::Cancelled } else { CancelStatus::NotCancellable };
            CancelFlightInfoResult { status: status as i32 }.encode_to_vec().into()
        } else {
            session::answer(&action)?
                .ok_or_else(|| Status::unimplemented(format!("there is no action `{}`", action.r#type)))?
        };
        Ok(Response::new(futures::stream::iter([Ok(arrow_flight::Result { body })]).boxed()))
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        let cancel = (CANCEL_FLIGHT_INFO, "Cancels the query that a FlightInfo describes");
        let actions = session::ACTIONS.into_iter().chain([cancel]);
        let described = |(name, description): (&str, &str)| {
            Ok(ActionType { r#type: name.to_owned(), description: description.to_owned() })
        };
        Some(actions.map(described).collect())
    }

    async fn do_put_statement_update(
        &self,
        update: CommandStatementUpdate,
        _: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(if queries(&update.query) { no_rows_changed() } else { read_only() })
    }

    async fn do_put_statement_ingest(
        &self,
        _: CommandStatementIngest,
        _: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(read_only())
    }

    async fn do_put_prepared_statement_update(
        &self,
        update: CommandPreparedStatementUpdate,
        _: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        // Only queries can be prepared.
        self.prepared(&update.prepared_statement_handle)?;
        Err(no_rows_changed())
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        described_metadata(&query.into_builder().schema(), &query, request)
    }

    async fn do_get_catalogs(
        &self,
        query: CommandGetCatalogs,
        _: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        sent(metadata::catalogs(query))
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        described_metadata(&query.clone().into_builder().schema(), &query, request)
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        _: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        sent(metadata::schemas(query, &self.tables().await?))
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        described_metadata(&query.clone().into_builder().schema(), &query, request)
    }

    async fn do_get_tables(
        &self,
        query: CommandGetTables,
        _: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        sent(metadata::tables(query, &self.tables().await?))
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        described_metadata(&query.into_builder().schema(), &query, request)
    }

    async fn do_get_table_types(
        &self,
        _: CommandGetTableTypes,
        _: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        sent(metadata::table_types())
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder(ready(&sql_info::SQL_INFO)?).schema();
        described_metadata(&schema, &query, request)
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        _: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        sent(query.into_builder(ready(&sql_info::SQL_INFO)?).build())
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.into_builder(ready(&metadata::TYPES)?).schema();
        described_metadata(&schema, &query, request)
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        _: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        sent(query.into_builder(ready(&metadata::TYPES)?).build())
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        described_metadata(&metadata::primary_keys_schema(), &query, request)
    }

    async fn do_get_primary_keys(
        &self,
        _: CommandGetPrimaryKeys,
        _: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        sent(Ok(RecordBatch::new_empty(metadata::primary_keys_schema())))
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        described_metadata(&metadata::foreign_keys_schema(), &query, request)
    }

    async fn do_get_exported_keys(
        &self,
        _: CommandGetExportedKeys,
        _: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        sent(Ok(RecordBatch::new_empty(metadata::foreign_keys_schema())))
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        described_metadata(&metadata::foreign_keys_schema(), &query, request)
    }

    async fn do_get_imported_keys(
        &self,
        _: CommandGetImportedKeys,
        _: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        sent(Ok(RecordBatch::new_empty(metadata::foreign_keys_schema())))
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        described_metadata(&metadata::foreign_keys_schema(), &query, request)
    }

    async fn do_get_cross_reference(
        &self,
        _: CommandGetCrossReference,
        _: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        sent(Ok(RecordBatch::new_empty(metadata::foreign_keys_schema())))
    }

    async fn register_sql_info(&self, _: i32, _: &SqlInfo) {}
}

impl FlightSql {
    /// Stops the query of a FlightInfo; false if it is not one of ours.
    fn cancel(&self, info: &FlightInfo) -> bool {
        info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()).any(|ticket| {
            let ticket = arrow_flight::sql::Any::decode(ticket.ticket.clone()).ok();
            let ticket = ticket.and_then(|ticket| ticket.unpack::<TicketStatementQuery>().ok().flatten());
            ticket.is_some_and(|ticket| self.statements.cancel(&String::from_utf8_lossy(&ticket.statement_handle)))
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use tonic_types::StatusExt;

    use super::*;
    use crate::project;

    const CONFIG: &str = "version = 1\n[[source]]\nname = 'web'\nformat = 'segment'\ntouchpoint = 'web'\n";

    /// Over a project of which nothing has landed.
    fn served(folder: &tempfile::TempDir) -> FlightSql {
        std::fs::write(folder.path().join(project::CONFIG_FILE), CONFIG).unwrap();
        FlightSql::new(Reader::new(project::open(folder.path()).unwrap()), CancellationToken::new())
    }

    /// The handle of a ticket for a query.
    async fn offered(flight: &FlightSql, sql: &str, values: Option<RecordBatch>) -> Bytes {
        let query = Prepared { sql: sql.to_owned(), values };
        let info = flight.offer(query, FlightDescriptor::default()).await.unwrap();
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        let ticket = arrow_flight::sql::Any::decode(ticket.ticket).unwrap();
        ticket.unpack::<TicketStatementQuery>().unwrap().unwrap().statement_handle
    }

    fn plan_bytes(flight: &FlightSql, handle: &Bytes) -> usize {
        flight.statements.fetchable(std::str::from_utf8(handle).unwrap()).unwrap().plan_bytes()
    }

    async fn fetched(flight: &FlightSql, handle: &Bytes) -> Vec<RecordBatch> {
        let data = flight.fetch(handle).await.unwrap().map_err(FlightError::from);
        FlightRecordBatchStream::new_from_flight_data(data).try_collect().await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn test_a_plan_is_kept_until_it_is_fetched_and_a_ticket_for_longer() {
        let folder = tempfile::tempdir().unwrap();
        let flight = served(&folder);
        let number: ArrayRef = Arc::new(Int64Array::from(vec![41]));
        let values = RecordBatch::try_from_iter([("1", number)]).unwrap();
        let handle = offered(&flight, "select cast($1 as bigint) + 1 as answer", Some(values)).await;
        assert!(plan_bytes(&flight, &handle) > 0);
        for _ in 0..3 {
            let rows = fetched(&flight, &handle).await;
            assert_eq!(rows[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().values(), &[42]);
            assert_eq!(plan_bytes(&flight, &handle), 0, "only the query is kept");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn test_plans_that_nobody_fetches_are_kept_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let flight = served(&folder);
        let text = |bytes: usize| format!("select '{}' as text", "x".repeat(bytes));
        let short = offered(&flight, "select 1", None).await;
        let longest = offered(&flight, &text(700 << 10), None).await;
        assert!(plan_bytes(&flight, &short) > 0);
        assert_eq!(plan_bytes(&flight, &longest), 0, "it alone is more than may be kept");
        let older = offered(&flight, &text(350 << 10), None).await;
        let newer = offered(&flight, &text(350 << 10), None).await;
        assert_eq!(plan_bytes(&flight, &older), 0);
        assert!(plan_bytes(&flight, &newer) > 0);
        for handle in [short, longest, older, newer] {
            assert_eq!(fetched(&flight, &handle).await.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
        }
    }

    #[test]
    fn test_an_error_of_metadata_is_told_as_others_are() {
        let error = FlightError::Arrow(ArrowError::ComputeError("of ada@example.com".to_owned()));
        let status = sent(Err(error)).err().unwrap();
        assert!(!status.message().contains("ada"), "{status}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.metadata.contains_key("incident")), ("INTERNAL", true));
    }
}
