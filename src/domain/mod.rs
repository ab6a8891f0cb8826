//! Values and decisions, without IO: everything here is a pure function of its arguments.
//!
//! Not here: clocks, databases, gRPC. `app/` carries things from one of these decisions to the next.

pub mod ids;
pub mod media_type;
pub mod refusal;

pub use ids::{BlobKey, ChatId, FileId, OperatorId, RequestId, ServiceId, Sha256, Time, VisitorId};
pub use refusal::{Kind, Reason, Refusal};
