//! The implementations of the ports, each alone with its one driver.
//!
//! Not here: rules (`domain/`) and the order of things (`app/`). `server.rs` introduces them to their ports.

pub mod blobs;
pub mod content;
#[cfg(test)]
pub mod memory;
pub mod scanner;
pub mod sql;

#[cfg(test)]
pub(crate) mod tests;
