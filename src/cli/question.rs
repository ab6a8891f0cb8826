//! What is asked before something that cannot be taken back.
//!
//! Not here: what that is.

use std::io::{self, IsTerminal as _, Write as _};

use super::failure::Failure;

/// Whether somebody at a terminal says yes. Where nobody is there to answer, `else_say` tells which words to give.
///
/// # Errors
/// Nobody is there, or says no.
pub fn must_agree(asks: &str, else_say: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!("{asks} {else_say}")));
    }
    let failed = || Failure::failed("the question");
    eprint!("{asks} Go on? [y/N] ");
    io::stderr().flush().map_err(failed())?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(failed())?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Failure::Failed("nothing was done".to_owned()))
    }
}
