//! The binary: everything is in the library, the command line in [`lhfile::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    lhfile::cli::run(std::env::args_os())
}
