//! Flight SQL: read-only SQL for BI tools and analysts, on the port of gRPC.
//!
//! * [`service`] answers the commands; [`front`] adds those that `arrow-flight` does not route.
//! * [`statements`] keeps what was prepared, and what runs.
//! * [`sql_info`] describes the server, [`metadata`] its tables and its types.
//! * [`session`] answers the actions of sessions.
//! * [`wire_types`] are the types that every client knows.
//! * [`writes`] knows what is refused because it writes.
//!
//! A statement is planned once, when its `FlightInfo` is made, over the generation that is the newest then. Its ticket
//! carries on with that plan, so the rows have the schema that was promised and are of one generation.

pub(crate) mod front;
pub(crate) mod metadata;
pub(crate) mod service;
pub(crate) mod session;
pub(crate) mod sql_info;
pub(crate) mod statements;
pub(crate) mod wire_types;
pub(crate) mod writes;
