//! Threats that chat systems really had, each a test by name: tokens, keys, foreign files, mass assignment, names, content
//! served, links, deleted files.
//!
//! Not here: viruses and archives (their own files), pairs of chats (`not_found.rs`), permissions (`matrix.rs`).

mod content;
mod credentials;
mod foreign_files;
mod keys;
mod links;
mod mass_assignment;
mod names;
