//! The binary.
//!
//! Not here: anything else. The library's map is `lib.rs`, the subcommands are in [`lhfile::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    lhfile::cli::run(std::env::args_os())
}
