//! Uploads that end without a commit: in four ways, after the first, a middle and the last chunk. None becomes a file,
//! none leaves anything but its event.

use std::time::Duration;

use tonic::Code;

use crate::harness::{
    Node, Operator, Visitor,
    pb::{UploadCommit, UploadHeader, upload_header::Target},
    rude::Rude,
    samples, shared,
    upload::{chunk, commit, header},
};

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// RST_STREAM with CANCEL.
    Cancel,
    /// END_STREAM, as if all were said.
    HalfClose,
    /// Its connection dies.
    Vanish,
    /// Its deadline passes, while it keeps silent.
    Deadline,
}

const CHUNKS: usize = 6;
const CHUNK: usize = 100_000;

async fn leave(way: Way, after: usize) {
    let node = shared().await;
    let chat = format!("leaving-{way:?}-{after}");
    node.put_chat(&chat).await;
    let caller = Visitor::of_chat(&chat);
    let bytes = samples::text(CHUNKS * CHUNK, &chat);
    let mut upload = match way {
        Way::Deadline => Rude::open_until(node, &caller, Duration::from_millis(1500)).await,
        Way::Cancel | Way::HalfClose | Way::Vanish => Rude::open(node, &caller).await,
    };
    let target = Some(Target::ChatId(chat.clone()));
    let size_bytes = Some(bytes.len() as i64);
    let name = "a.pdf".to_owned();
    upload.send(&header(UploadHeader { display_name: name, target, size_bytes, ..UploadHeader::default() })).await;
    for piece in bytes.chunks(CHUNK).take(after) {
        upload.send(&chunk(piece.to_vec())).await;
    }
    wait_until_under_way(node, &chat).await;
    match way {
        Way::Cancel => upload.cancel().await,
        Way::Vanish => upload.vanish().await,
        Way::HalfClose => {
            upload.half_close();
            let answer = upload.answer().await;
            assert_eq!(answer, Some((Code::InvalidArgument as i32, "BAD_STREAM".to_owned())));
        }
        Way::Deadline => {
            let answer = tokio::time::timeout(Duration::from_secs(5), upload.answer()).await.expect("it has passed");
            assert_eq!(answer, Some((Code::DeadlineExceeded as i32, "DEADLINE_PASSED".to_owned())));
        }
    }
    node.assert_no_trace(&chat, &bytes).await;
    assert!(node.chat_files(&chat, &caller).await.expect("its own chat").is_empty());
    let events = node.events_of(&chat);
    assert_eq!(events.len(), 1, "one event tells of it: {events:?}");
}

async fn wait_until_under_way(node: &Node, chat: &str) {
    let sql = format!("SELECT count(*) AS n FROM uploads WHERE target_chat_id = '{chat}'");
    for _ in 0..500 {
        if node.number(&sql) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no bytes without a row: the upload to {chat} has none");
}

macro_rules! leaving {
    ($($name:ident: $way:ident after $chunks:expr;)+) => { $(
        #[tokio::test]
        async fn $name() {
            leave(Way::$way, $chunks).await;
        }
    )+ };
}

leaving! {
    cancel_after_the_first_chunk_leaves_nothing: Cancel after 1;
    cancel_after_a_middle_chunk_leaves_nothing: Cancel after CHUNKS / 2;
    cancel_after_the_last_chunk_leaves_nothing: Cancel after CHUNKS;
    half_close_after_the_first_chunk_leaves_nothing: HalfClose after 1;
    half_close_after_a_middle_chunk_leaves_nothing: HalfClose after CHUNKS / 2;
    half_close_after_the_last_chunk_leaves_nothing: HalfClose after CHUNKS;
    dead_connection_after_the_first_chunk_leaves_nothing: Vanish after 1;
    dead_connection_after_a_middle_chunk_leaves_nothing: Vanish after CHUNKS / 2;
    dead_connection_after_the_last_chunk_leaves_nothing: Vanish after CHUNKS;
    deadline_after_the_first_chunk_leaves_nothing: Deadline after 1;
    deadline_after_a_middle_chunk_leaves_nothing: Deadline after CHUNKS / 2;
    deadline_after_the_last_chunk_leaves_nothing: Deadline after CHUNKS;
}

#[tokio::test]
async fn caller_who_leaves_after_the_commit_message_gets_its_file_all_the_same() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let bytes = samples::text(300_000, &chat);
    let operator = Operator::new();
    let mut upload = Rude::open(node, &operator).await;
    for message in node.upload("a.txt", bytes.clone()).to_chat(&chat).request_id("left-after-commit").messages() {
        upload.send(&message).await;
    }
    // The server has read the commit when the stream is half closed and the intent is judged.
    upload.settle().await;
    upload.vanish().await;
    let mut files = Vec::new();
    for _ in 0..100 {
        files = node.chat_files(&chat, &operator).await.expect("known");
        if !files.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(files.len(), 1, "from the commit message on the work survives its caller");
    let again = node.upload("a.txt", bytes).to_chat(&chat).request_id("left-after-commit");
    assert_eq!(again.passes_by(&operator).await.file_id, files[0].file_id);
}

#[tokio::test]
async fn commit_torn_in_the_middle_of_its_message_stores_nothing() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let bytes = samples::text(2000, &chat);
    let operator = Operator::new();
    let mut upload = Rude::open(node, &operator).await;
    let mut messages = node.upload("a.txt", bytes.clone()).to_chat(&chat).messages();
    messages.pop();
    for message in &messages {
        upload.send(message).await;
    }
    let end = commit(UploadCommit { size_bytes: Some(2000), sha256: Some(samples::sha256(&bytes)) });
    let torn = crate::harness::rude::frame(&end);
    upload.send_bytes(torn.slice(..torn.len() - 1)).await.expect("the server reads");
    upload.half_close();
    let answer = upload.answer().await.map(|(code, _)| code);
    assert_ne!(answer, Some(0));
    node.assert_no_trace(&chat, &bytes).await;
}
