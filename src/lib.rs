//! lhfile: the file service of a live chat.
//!
//! rpc speaks, app acts, domain decides, ports ask, adapters answer, server introduces them.

#![warn(missing_docs)]

pub mod adapters;
pub mod cli;
pub mod config;
pub mod domain;
pub mod ports;
pub mod rpc;
pub mod telemetry;
