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
        let snapshot = self.snapshot().await?;
        let planned = self.reader.engine.prepare(&snapshot, sql, self.reader.limits).await;
        planned.map_err(|error| if writes(sql) { read_only() } else { to_status(error) })
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

    /// An execution of a prepared statement, and the bytes of what was prepared.
    async fn execution(&self, handle: &[u8]) -> Result<(Statement, usize), Status> {
        let prepared = self.prepared(handle)?;
        let statement = self.plan(&prepared.sql).await?;
        let statement = match &prepared.values {
            Some(values) => statement.bind(values).map_err(to_status)?,
            None => statement,
        };
        Ok((statement, prepared.bytes()))
    }

    fn fetchable(&self, statement: Statement) -> Fetchable {
        Fetchable { statement, cancel: self.stop.child_token() }
    }

    /// Where to fetch the rows of a statement of so many `bytes`.
    fn offer(&self, statement: Statement, bytes: usize, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
        let schema = wire_schema(&statement.schema());
        let handle = self.statements.offer(self.fetchable(statement), bytes);
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
        let schema = wire_schema(&fetchable.statement.schema());
        let statement = fetchable.statement.giving(Arc::clone(&schema));
        let result = self.reader.engine.execute(&statement, self.reader.limits).await.map_err(to_status)?;
        let cancelled = fetchable.cancel.clone().cancelled_owned();
        let batches =
            result.batches.map_err(|error| FlightError::Tonic(Box::new(to_status(error)))).inspect_ok(|batch| {
                metrics::counter!("tessera_rows_sent_total").increment(batch.num_rows() as u64);
            });
        // This holds the statement to the end of the rows, so that it can be cancelled until then.
        let is_cancelled = async move { fetchable.cancel.is_cancelled() };
        let ended = futures::stream::once(is_cancelled).filter_map(|is_cancelled| async move {
            let status =
                with_reason(Code::Cancelled, "CANCELLED", "the query was cancelled, or the server is stopping");
            is_cancelled.then_some(Err(FlightError::Tonic(Box::new(status))))
        });
        let batches = batches.take_until(cancelled).chain(ended);
        let encoded = FlightDataEncoderBuilder::new().with_schema(schema).build(batches);
        Ok(encoded.map_err(Status::from).boxed())
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
    let batch = batch.map_err(Status::from)?;
    let encoder = FlightDataEncoderBuilder::new().with_schema(batch.schema());
    Ok(Response::new(encoder.build(futures::stream::iter([Ok(batch)])).map_err(Status::from).boxed()))
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
            let statement = self.plan(&query.query).await?;
            self.offer(statement, query.query.len(), request.into_inner())
        };
        answered("FlightSql/GetFlightInfoStatement", work).await
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let work = async {
            let (statement, bytes) = self.execution(&query.prepared_statement_handle).await?;
            self.offer(statement, bytes, request.into_inner())
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
            let (statement, _) = self.execution(&query.prepared_statement_handle).await?;
            self.rows(Arc::new(self.fetchable(statement))).await
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
