//! The gRPC surface: generated messages and services, and what turns them into calls of the application.
//!
//! Not here: any decision (`domain/`) and any use case (`app/`). Go next to [`methods`]: who may call what.

pub mod access;
mod access_service;
pub mod act_as;
pub mod certified;
mod chat_service;
mod config_service;
mod consistency_stream;
pub mod convert;
pub mod credential;
pub mod deadline;
mod drain;
mod file_service;
pub mod health;
mod maintenance_service;
pub mod methods;
pub mod minting;
pub mod request_id;
pub mod routes;
mod run_stream;
pub mod status;
pub mod upload_stream;

/// Messages, clients and servers generated from `proto/lhfile/v1`; each is documented there.
#[expect(clippy::allow_attributes, reason = "generated code, which brings its own attributes")]
pub mod pb {
    tonic::include_proto!("lhfile.v1");
}

/// The encoded `FileDescriptorSet` of package `lhfile.v1` and all its imports, options included: for reflection and
/// for [`methods::MethodTable`].
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));
