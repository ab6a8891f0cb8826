//! `lhfile completions SHELL`: the completion script of a shell, made from the arguments.
//!
//! Not here: how it is installed; the shell's manual says where it looks.

use std::io::{self, Write as _};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, failure::Failure};

/// For which shell.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "lhfile", &mut script);
        io::stdout().write_all(&script).map_err(Failure::failed("standard output"))
    }
}
