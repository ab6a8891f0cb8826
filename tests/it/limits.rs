//! The frozen limits of the server, each at the limit, one over, and ten times over: connections' streams, headers,
//! pages, batches, ids.
//!
//! Not here: those of an upload's bytes (`stream.rs`, `admission.rs`).

use std::time::{Duration, Instant};

use bytes::Bytes;
use tonic::Code;

use crate::harness::{
    Caller as _, Node, Operator, Service, Setup, assert_refused,
    calls::request,
    pb::{self, Chat, ChatStatus},
    samples, shared,
};

#[tokio::test]
async fn page_of_500_passes_and_more_or_less_than_none_does_not() {
    let node = shared().await;
    let operator = Operator::with(&["file_list"]);
    for (page_size, passes) in [(0, true), (1, true), (500, true), (501, false), (5000, false), (-1, false)] {
        let list = pb::ListFilesRequest { page_size, ..Default::default() };
        let result = node.files().list_files(request(&operator, list)).await;
        match passes {
            true => drop(result.expect("within the bounds")),
            false => drop(assert_refused(result, Code::InvalidArgument, "BAD_ARGUMENT")),
        }
    }
}

#[tokio::test]
async fn batch_of_500_chats_passes_and_501_or_5000_change_nothing() {
    let node = shared().await;
    let put = |count: usize| {
        let chat =
            |i| Chat { chat_id: format!("batch-{count}-{i}"), status: ChatStatus::Active.into(), ..Chat::default() };
        let chats = (0..count).map(chat).collect();
        request(&Service::all(), pb::BatchPutChatsRequest { chats })
    };
    let results = node.chats().batch_put_chats(put(500)).await.expect("at the limit").into_inner().results;
    assert_eq!(results.iter().filter(|r| r.reason.is_empty()).count(), 500);
    let home = node.new_chat().await;
    let file = node.upload("a.txt", samples::text(77, "batch")).to_chat(&home).passes_by(&Operator::new()).await;
    let attach = |count: usize| {
        let chat_ids = (0..count).map(|i| format!("batch-500-{i}")).collect();
        request(&Operator::new(), pb::BatchAttachFileRequest { file_id: file.file_id.clone(), chat_ids })
    };
    for count in [501, 5000] {
        let result = node.chats().batch_put_chats(put(count)).await;
        assert_refused(result, Code::InvalidArgument, "BAD_ARGUMENT");
        assert_eq!(node.number(&format!("SELECT count(*) AS n FROM chats WHERE id LIKE 'batch-{count}-%'")), 0);
        let result = node.files().batch_attach_file(attach(count)).await;
        assert_refused(result, Code::InvalidArgument, "BAD_ARGUMENT");
    }
    let attachments = format!(
        "SELECT count(*) AS n FROM attachments WHERE file_number = (SELECT number FROM files WHERE home_chat_id = '{home}')"
    );
    assert_eq!(node.number(&attachments), 1, "its home's");
    let results = node.files().batch_attach_file(attach(500)).await.expect("at the limit").into_inner().results;
    assert!(results.iter().all(|r| r.reason.is_empty()));
    assert_eq!(node.number(&attachments), 501);
}

#[tokio::test]
async fn chat_id_of_64_characters_passes_and_65_or_640_or_a_foreign_one_does_not() {
    let node = shared().await;
    let put = |id: &str| {
        let chat = Chat { chat_id: id.to_owned(), status: ChatStatus::Active.into(), ..Chat::default() };
        request(&Service::all(), pb::PutChatRequest { chat: Some(chat) })
    };
    for bad in [&"c".repeat(65), &"c".repeat(640), "", "a b", "a/b", "ä", "a\n", "*"] {
        assert_refused(node.chats().put_chat(put(bad)).await, Code::InvalidArgument, "BAD_ARGUMENT");
        let upload = node.upload("a.txt", samples::text(77, "ids")).to_chat(bad);
        upload.refused_by(&Operator::new(), Code::InvalidArgument, "BAD_ARGUMENT").await;
    }
    let id = format!("{}.A_z~9-0", "c".repeat(56));
    node.chats().put_chat(put(&id)).await.expect("at the limit");
    node.upload("a.txt", samples::text(78, "ids")).to_chat(&id).passes_by(&Operator::new()).await;
}

/// Opens HTTP/2 and tells what came of a call with this much in its headers.
async fn call_with_headers(node: &Node, bytes: usize) -> Option<http::StatusCode> {
    let tcp = tokio::net::TcpStream::connect(node.address()).await.expect("it listens");
    let (mut client, connection) = h2::client::Builder::new().handshake::<_, Bytes>(tcp).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    client = client.ready().await.expect("a stream is allowed");
    let call = http::Request::post(format!("http://{}/lhfile.v1.FileService/GetFile", node.address()))
        .header("content-type", "application/grpc")
        .header("authorization", format!("Bearer {}", Operator::new().token()))
        .header("x-padding", "p".repeat(bytes))
        .body(())
        .expect("a head");
    let (response, mut body) = client.send_request(call, false).expect("sent");
    let _ = body.send_data(Bytes::from_static(&[0, 0, 0, 0, 0]), true);
    let answer = tokio::time::timeout(std::time::Duration::from_secs(10), response).await.expect("an answer");
    connection.abort();
    answer.ok().map(|head| head.status())
}

#[tokio::test]
async fn header_list_of_16_kib_passes_and_more_does_not() {
    let node = shared().await;
    assert_eq!(call_with_headers(node, 15 << 10).await, Some(http::StatusCode::OK));
    for bytes in [17 << 10, 160 << 10] {
        assert_ne!(call_with_headers(node, bytes).await, Some(http::StatusCode::OK), "{bytes}");
    }
    assert_eq!(call_with_headers(node, 100).await, Some(http::StatusCode::OK), "it serves on");
}

#[tokio::test]
async fn connection_carries_100_streams_at_once_and_no_more() {
    let node = shared().await;
    let tcp = tokio::net::TcpStream::connect(node.address()).await.expect("it listens");
    let (client, connection) = h2::client::Builder::new().handshake::<_, Bytes>(tcp).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await.expect("a stream is allowed");
    // One call there and back, so that the server's settings have arrived.
    let call = || {
        http::Request::post(format!("http://{}/lhfile.v1.FileService/UploadFile", node.address()))
            .header("content-type", "application/grpc")
            .header("authorization", format!("Bearer {}", Service::all().token()))
            .body(())
            .expect("a head")
    };
    let (first, mut body) = client.send_request(call(), false).expect("sent");
    let _ = body.send_data(Bytes::new(), true);
    first.await.expect("an answer");
    assert_eq!(client.current_max_send_streams(), 100);
    connection.abort();
}

#[tokio::test]
async fn connection_beyond_the_limit_is_closed_at_once_and_one_that_ends_makes_room() {
    let node = Node::start(Setup::new().config("limits.connections = 5")).await;
    let open = || async { tokio::net::TcpStream::connect(node.address()).await.expect("the kernel takes it") };
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(open().await);
    }
    for _ in 0..10 {
        let (mut one_more, mut buffer) = (open().await, [0; 64]);
        let read = tokio::io::AsyncReadExt::read(&mut one_more, &mut buffer);
        let read = tokio::time::timeout(std::time::Duration::from_secs(5), read).await.expect("it is closed at once");
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    drop(held);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    node.put_chat("42").await;
}

/// When a silent connection is told to go.
async fn told_to_go(address: std::net::SocketAddr) -> Duration {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("sent");
    let begun = Instant::now();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.expect("a frame");
        if head[3] == 7 {
            return begun.elapsed();
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await.expect("its body");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_began_at_once_are_told_to_go_one_after_another() {
    let node = Node::start(Setup::new().config("grpc.connection_age_seconds = 10").without_scanner()).await;
    let ages = futures_util::future::join_all((0..40).map(|_| told_to_go(node.address()))).await;
    let (least, most) = (ages.iter().min().expect("some"), ages.iter().max().expect("some"));
    let allowed = Duration::from_secs(9)..Duration::from_millis(12_500);
    assert!(allowed.contains(least) && allowed.contains(most), "{least:?} to {most:?}");
    assert!(*most - *least > Duration::from_millis(900), "all at once: {least:?} to {most:?}");
}
