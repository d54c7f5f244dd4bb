//! The wire contract of Tessera: messages, servers and clients of package `tessera.v1`, made from `tessera/v1/*.proto`.
//! Nothing else is here, so that a client depends on nothing else.

/// Package `tessera.v1`.
pub mod v1 {
    #![allow(missing_docs, unreachable_pub, clippy::all)] // generated; the comments are those of the .proto files

    tonic::include_proto!("tessera.v1");
}

/// The descriptors of all files, with their comments: what reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
