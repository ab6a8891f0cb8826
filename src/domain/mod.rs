//! Values and decisions, without IO: everything here is a pure function of its arguments.
//!
//! Not here: clocks, databases, gRPC. `app/` carries things from one of these decisions to the next. Read
//! [`admission`] and [`access`] first; [`refusal`], [`permission`] and [`settings`] are the three tables.

pub mod access;
pub mod admission;
pub mod caller;
pub mod chat;
pub mod consistency;
pub mod cron;
pub mod erasure;
pub mod event;
pub mod file;
pub mod hold;
pub mod ids;
pub mod key;
pub mod lending;
pub mod listing;
pub mod media_type;
pub mod message_code;
pub mod name;
pub mod origin;
pub mod permission;
pub mod quarantine;
pub mod refusal;
pub mod retention;
pub mod run;
pub mod settings;
pub mod stats;

pub use caller::{Caller, CallerKind, Ceiling, ChatSet, Person};
pub use chat::{Chat, ChatStatus};
pub use cron::Cron;
pub use event::{Actor, Event, EventKind};
pub use file::{Blob, BlobState, File, FileState, FileView, Hit, Verdict, VerdictKind};
pub use hold::{Hold, HoldOn, Matter};
pub use ids::{
    BlobKey, ChatId, CheckId, FileId, KeyId, OperatorId, PlanId, RequestId, RunId, ServiceId, Sha256, StoreId, Time,
    VisitorId,
};
pub use message_code::{CodeHash, MessageCode};
pub use origin::{AgesAs, Origin};
pub use permission::{Permission, Permissions};
pub use refusal::{Kind, Reason, Refusal};
pub use settings::Settings;
