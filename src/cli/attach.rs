//! `lhfile attach FILE_ID CHAT…`: lets the people of these chats see the file.
//!
//! Not here: detaching (`detach.rs`).

use clap::Args;

use super::{
    Context,
    failure::{Failure, Refused},
    output,
};
use crate::rpc::pb;

/// Most chats of one call.
const BATCH: usize = 500;

/// Which file, to which chats.
#[derive(Debug, Args)]
pub struct Attach {
    /// The file
    file_id: String,
    /// The chats
    #[arg(required = true, value_name = "CHAT")]
    chats: Vec<String>,
    /// The chat message that carries it; with one chat only
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
}

impl Attach {
    /// Prints the file's row for one chat, else a row for each chat.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { file_id, chats, message_id } = self;
        if chats.len() > 1 && message_id.is_some() {
            return Err(Failure::Usage("--message-id goes with one chat only".to_owned()));
        }
        let mut files = context.connection.files().await?;
        if let [chat_id] = chats.as_slice() {
            let message_id = message_id.unwrap_or_default();
            let request = pb::AttachFileRequest { file_id, chat_id: chat_id.clone(), message_id };
            let answer = files.attach_file(request).await?.into_inner();
            return output::one(context.json, "File", &output::expected(answer.file)?, output::file_facts);
        }
        let mut results = Vec::with_capacity(chats.len());
        for chat_ids in chats.chunks(BATCH) {
            let request = pb::BatchAttachFileRequest { file_id: file_id.clone(), chat_ids: chat_ids.to_vec() };
            results.extend(files.batch_attach_file(request).await?.into_inner().results);
        }
        if context.json {
            for result in &results {
                output::line(&output::json("AttachFileResult", result))?;
            }
        } else {
            let told = |result: &pb::AttachFileResult| {
                if result.reason.is_empty() { "attached".into() } else { result.reason.clone() }
            };
            let rows = results.iter().map(|r| vec![r.chat_id.clone(), told(r), r.message.clone()]);
            output::line(&output::table(&["CHAT", "RESULT", "MESSAGE"], rows))?;
        }
        all_attached(&results)
    }
}

/// The first refusal stands for the call.
fn all_attached(results: &[pb::AttachFileResult]) -> Result<(), Failure> {
    let refused: Vec<_> = results.iter().filter(|result| !result.reason.is_empty()).collect();
    let Some(first) = refused.first() else { return Ok(()) };
    Err(Failure::Refused(Box::new(Refused {
        code: "OK",
        reason: first.reason.clone(),
        message: format!("{} of {} chats were refused, the first: {}", refused.len(), results.len(), first.message),
        metadata: vec![("chat_id".to_owned(), first.chat_id.clone())],
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refused_chat_makes_the_command_exit_3() {
        let good = pb::AttachFileResult { chat_id: "1".into(), ..Default::default() };
        let bad = pb::AttachFileResult { chat_id: "2".into(), reason: "NOT_FOUND".into(), message: "not found".into() };
        assert!(all_attached(std::slice::from_ref(&good)).is_ok());
        let failure = all_attached(&[good, bad]).expect_err("one was refused");
        assert_eq!((failure.exit_code(), failure.reason()), (3, Some("NOT_FOUND")));
        assert!(failure.as_line().contains("1 of 2"));
    }
}
