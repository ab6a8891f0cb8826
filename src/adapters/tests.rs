//! The contracts: what every implementation of a port must do, however it does it.
//!
//! Not here: what is one implementation's own, which is beside it.

use crate::{domain, ports};

pub mod blobs;
mod bytes;
pub mod store;
