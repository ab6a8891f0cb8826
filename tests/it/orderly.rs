//! The order of things at the end of an upload and of the server: nothing is answered before it is durable, and a
//! server that is asked to end lets its uploads finish.

use std::{fs, time::Duration};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::harness::{Node, Operator, Setup, assert_refused, place::free_port, samples};

#[tokio::test]
async fn asked_to_end_the_server_lets_an_upload_finish_and_takes_no_new_call() {
    let mut node = Node::start(Setup::new()).await;
    node.put_chat("42").await;
    let operator = Operator::new();
    let bytes = samples::text(1 << 20, "finish");
    let mut messages = node.upload("a.txt", bytes.clone()).to_chat("42").messages().into_iter();
    let (send, receive) = mpsc::channel(1);
    let upload = node.send_upload(&operator, ReceiverStream::new(receive));
    let client = async {
        send.send(messages.next().expect("a header")).await.expect("read");
        send.send(messages.next().expect("a chunk")).await.expect("read");
        tokio::time::sleep(Duration::from_millis(500)).await;
        node.ask_to_end();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let late = node.chat_files("42", &operator).await.expect_err("it takes no new call");
        assert_eq!(late.code(), Code::Unavailable, "{late:?}");
        for message in messages {
            send.send(message).await.expect("read");
        }
        drop(send);
    };
    let (answer, ()) = tokio::join!(upload, client);
    let file = answer.expect("it was let finish").file.expect("told");
    assert!(node.ended_well(Duration::from_secs(20)).await, "{}", node.log());
    node.start_again().await;
    assert_eq!(node.download(&file.file_id, &operator).await.expect("durable").bytes, bytes);
    node.assert_consistent().await;
}

#[tokio::test]
async fn upload_that_does_not_finish_in_the_grace_is_ended_and_leaves_nothing() {
    let mut node = Node::start(Setup::new().config("shutdown_grace_seconds = 2")).await;
    node.put_chat("42").await;
    let mut messages = node.upload("a.txt", samples::text(1 << 20, "stalled")).to_chat("42").messages().into_iter();
    let (send, receive) = mpsc::channel(2);
    let operator = Operator::new();
    let upload = node.send_upload(&operator, ReceiverStream::new(receive));
    let client = async {
        send.send(messages.next().expect("a header")).await.expect("read");
        send.send(messages.next().expect("a chunk")).await.expect("read");
        tokio::time::sleep(Duration::from_millis(500)).await;
        node.ask_to_end();
    };
    let (answer, ()) = tokio::join!(upload, client);
    answer.expect_err("it was ended");
    assert!(node.ended_well(Duration::from_secs(15)).await, "{}", node.log());
    drop(send);
    node.start_again().await;
    node.assert_nothing_left().await;
}

#[tokio::test]
async fn files_chats_and_settings_outlive_a_restart() {
    let mut node = Node::start(Setup::new()).await;
    node.put_chat("42").await;
    node.set(&["max_file_bytes"], |s| s.max_file_bytes = 12_345).await.expect("a good value");
    let operator = Operator::new();
    let bytes = samples::sample("pdf");
    let file = node.upload("a.pdf", bytes.clone()).to_chat("42").passes_by(&operator).await;
    node.restart().await;
    assert_eq!(node.file(&file.file_id, &operator).await.expect("its own"), file);
    assert_eq!(node.download(&file.file_id, &operator).await.expect("its own").bytes, bytes);
    let large = node.upload("a.txt", samples::text(12_346, "restart")).to_chat("42");
    assert_refused(large.by(&operator).await, Code::InvalidArgument, "TOO_LARGE");
    node.assert_consistent().await;
}

#[tokio::test]
async fn data_folder_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let node = Node::start(Setup::new()).await;
    // Of many nodes each has a name of its own, and a secret that is kept elsewhere.
    let own = if node.postgres().is_some() { "node" } else { "secret" };
    for name in ["", "spool", "blobs", own] {
        let mode = fs::metadata(node.data().join(name)).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
}

#[tokio::test]
async fn second_server_on_the_same_data_folder_does_not_start() {
    let node = Node::start(Setup::new()).await;
    let config = node.folder().join("lhfile.toml");
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_lhfile"))
        .args(["serve", "--listen", &free_port().to_string(), "--config"])
        .arg(config)
        .env("LHFILE_METRICS_LISTEN", free_port().to_string())
        .output()
        .expect("it ends");
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(String::from_utf8_lossy(&second.stderr).contains("another lhfile"), "{second:?}");
    node.put_chat("42").await;
    node.upload("a.pdf", samples::sample("pdf")).to_chat("42").passes_by(&Operator::new()).await;
}

/// file fsync < rename < folder fsync < database fsync < answer, as strace sees it.
#[tokio::test]
async fn nothing_is_answered_before_it_is_durable() {
    let trace = tempfile::NamedTempFile::new().expect("a file");
    let path = trace.path().to_str().expect("UTF-8").to_owned();
    let calls = "trace=fsync,fdatasync,rename,renameat,renameat2,write,writev,sendto,sendmsg";
    let wrapper = ["strace", "-f", "-y", "-s", "4096", "-e", calls, "-o", &path];
    let node = Node::start(Setup::on_disk().under(&wrapper)).await;
    node.put_chat("42").await;
    let from = fs::read_to_string(&path).expect("strace writes").lines().count();
    let upload = node.upload("a.txt", samples::text(300_000, "durable")).to_chat("42");
    let file = upload.passes_by(&Operator::new()).await;
    let name = node.texts("SELECT lower(hex(key)) AS t FROM blobs").pop().expect("one blob");
    let text = fs::read_to_string(&path).expect("strace writes");
    let lines: Vec<&str> = text.lines().skip(from).collect();
    let synced = |line: &str| line.contains("fsync(") || line.contains("fdatasync(");
    // A call that is interrupted by another thread's is told in two lines: the first has its arguments.
    let end = |start: usize| {
        let Some(line) = lines.get(start).filter(|l| l.contains("<unfinished")) else { return start };
        let thread = line.split_whitespace().next().expect("its thread");
        let resumed = |l: &&str| l.starts_with(thread) && l.contains("resumed>");
        start + lines[start..].iter().position(resumed).expect("it ends")
    };
    let find = |what: &str, from: usize, is: &dyn Fn(&str) -> bool| {
        let found = lines[from..].iter().position(|line| is(line));
        end(from + found.unwrap_or_else(|| panic!("no {what} after line {from}:\n{}", lines.join("\n"))))
    };
    let file_fsync = find("fsync of the file", 0, &|l| synced(l) && l.contains(&format!("spool/{name}")));
    // PostgreSQL is another process: what is seen of it is that it is told to.
    let is_durable =
        |l: &str| if node.postgres().is_some() { l.contains("COMMIT") } else { synced(l) && l.contains("lhfile.db") };
    let intent = find("commit of the intent", 0, &is_durable);
    let rename = find("rename", file_fsync, &|l| l.contains("rename") && l.contains(&name));
    assert!(intent < rename, "renamed at {rename}, its row durable at {intent}:\n{}", lines.join("\n"));
    let folder = format!("blobs/{}>", &name[..8]);
    let folder_fsync = find("fsync of the folder", rename, &|l| synced(l) && l.contains(&folder));
    let database = find("commit of the database", folder_fsync, &is_durable);
    let is_answer = |l: &str| (l.contains("TCP") || l.contains("socket")) && l.contains(&file.file_id);
    let answer = lines.iter().position(|l| is_answer(l)).expect("the answer names the file");
    assert!(answer > database, "answered at {answer}, durable at {database}:\n{}", lines.join("\n"));
}
