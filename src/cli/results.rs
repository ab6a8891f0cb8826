//! What became of each file of a batch: a line for each that is done, and the first refusal as the command's own.
//!
//! Not here: which batch (`rm.rs`, `purge.rs`).

use serde_json::json;

use super::{
    Context,
    failure::{Failure, Refused},
    output,
};
use crate::{
    domain::{Reason, Refusal},
    rpc::{
        pb,
        status::{code_name, refused},
    },
};

/// Most files of one call.
pub const BATCH: usize = 1_000;

/// Prints what is done, `done` being its word.
pub fn print(context: &Context, results: &[pb::FileResult], done: &str) -> Result<(), Failure> {
    for result in results.iter().filter(|result| result.reason.is_empty()) {
        output::line(&if context.json {
            json!({"file_id": result.file_id}).to_string()
        } else {
            format!("{done} {}", output::printable(&result.file_id))
        })?;
    }
    Ok(())
}

/// The first refusal stands for the command.
pub fn all_done(results: &[pb::FileResult]) -> Result<(), Failure> {
    let stay: Vec<_> = results.iter().filter(|result| !result.reason.is_empty()).collect();
    let Some(first) = stay.first() else { return Ok(()) };
    let reason = Reason::ALL.iter().find(|reason| reason.name() == first.reason);
    Err(Failure::Refused(Box::new(Refused {
        code: reason.map_or("OK", |reason| code_name(refused(&Refusal::new(*reason)).code())),
        reason: first.reason.clone(),
        message: format!("{} of {} files were refused, the first: {}", stay.len(), results.len(), first.message),
        metadata: vec![("file_id".to_owned(), first.file_id.clone())],
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refused_file_makes_the_command_exit_3_with_its_reason() {
        let good = pb::FileResult { file_id: "a".into(), ..Default::default() };
        let bad = pb::FileResult { file_id: "b".into(), reason: "ON_HOLD".into(), message: "it is held".into() };
        assert!(all_done(std::slice::from_ref(&good)).is_ok());
        let failure = all_done(&[good, bad]).expect_err("one was refused");
        assert_eq!((failure.exit_code(), failure.reason()), (3, Some("ON_HOLD")));
        assert!(failure.as_json().contains("FAILED_PRECONDITION") && failure.as_line().contains("1 of 2"));
    }
}
