//! B9: the server's peak of memory (VmHWM), with the windows and frames of the shipped configuration.
//!
//! Stalled uploads are made over h2 itself: tonic's client cannot stop in the middle of a message.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{SendStream, client::SendRequest};
use lhfile::rpc::pb::{self, upload_file_request::Part as Up, upload_header::Target};
use prost::Message as _;
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    Bench, Fallible,
    client::{CHAT, in_lanes},
    made::{CHUNK, Content, Noise},
    process::peak_mib,
    product::Product,
    report::{Goal, Row},
};

const MIB: u64 = 1 << 20;
const STALLED: usize = 1000;

/// All of B9. Each value is a server's, started for it; five rounds would say the same five times, so there is one of
/// the long ones.
pub async fn peaks(bench: &Bench) -> Fallible<Vec<Row>> {
    let mut rows = Vec::new();
    for (connections, most) in [(STALLED, 256.0), (10, 64.0)] {
        for (bytes, what) in [(0, "between two chunks"), (CHUNK / 2, "in the middle of a chunk of 256 KiB")] {
            let goal = if bytes == 0 { Goal::AtMost(most) } else { Goal::None };
            let what = format!("{STALLED} uploads on {connections} connections stalled {what}");
            let mut row = Row::new("B9", what, "MiB", goal);
            for round in bench.rounds(&format!("B9, {connections} connections")).skip(1) {
                let name = format!("b9-{connections}-{bytes}-{round}");
                row.value(stalled(bench, &name, connections, bytes).await?);
            }
            rows.push(row);
        }
    }
    rows.push(many_streams(bench).await?);
    rows.extend(one_large_file(bench).await?);
    Ok(rows)
}

/// Peak with all uploads open: a header and one whole chunk each, and so many bytes of a second one.
async fn stalled(bench: &Bench, name: &str, connections: usize, bytes: usize) -> Fallible<f64> {
    let product = Product::start(bench, name, None).await?;
    let token: Arc<str> = format!("Bearer {}", product.token).into();
    let mut opening = JoinSet::new();
    for connection in 0..connections {
        // A thousand at the same moment would measure the backlog of the listener.
        if connection % 50 == 49 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        opening.spawn(open_stalled(product.address, Arc::clone(&token), STALLED / connections, bytes));
    }
    let mut held = Vec::new();
    while let Some(opened) = opening.join_next().await {
        held.push(opened??);
    }
    // What was sent last has to arrive.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let peak = peak_mib(product.pid())?;
    drop(held);
    product.end()?;
    Ok(peak)
}

/// A connection with its streams; dropped, it ends.
struct Held {
    _streams: Vec<(h2::client::ResponseFuture, SendStream<Bytes>)>,
    _requests: SendRequest<Bytes>,
    _connection: JoinSet<()>,
}

async fn open_stalled(address: SocketAddr, token: Arc<str>, streams: usize, bytes: usize) -> Fallible<Held> {
    let tcp = TcpStream::connect(address).await?;
    let (mut requests, connection) = h2::client::handshake(tcp).await?;
    let mut running = JoinSet::new();
    running.spawn(async move {
        // Its end is told by the streams.
        connection.await.ok();
    });
    let mut message = framed(Up::Header(pb::UploadHeader {
        display_name: "file.bin".to_owned(),
        target: Some(Target::ChatId(CHAT.to_owned())),
        ..pb::UploadHeader::default()
    }));
    let chunk = framed(Up::Chunk(pb::UploadChunk { data: Noise(3).bytes(CHUNK).into(), crc32c: None }));
    message.extend_from_slice(&chunk);
    message.extend_from_slice(&chunk[..bytes]);
    let message = message.freeze();
    let mut opened = Vec::with_capacity(streams);
    for _ in 0..streams {
        let request = http::Request::post(format!("http://{address}/lhfile.v1.FileService/UploadFile"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", &*token)
            .body(())?;
        requests = requests.ready().await?;
        let (answer, mut stream) = requests.send_request(request, false)?;
        send(&mut stream, message.clone()).await?;
        opened.push((answer, stream));
    }
    Ok(Held { _streams: opened, _requests: requests, _connection: running })
}

/// Sends all of it, as far as the windows let it at a time.
async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> Fallible<()> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.ok_or("the upload was ended")??;
        stream.send_data(bytes.split_to(room.min(bytes.len())), false)?;
    }
    Ok(())
}

/// A message as gRPC sends it: not compressed, its length, itself.
fn framed(part: Up) -> BytesMut {
    let message = pb::UploadFileRequest { part: Some(part) };
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).expect("a chunk is small"));
    message.encode(&mut bytes).expect("memory takes all");
    bytes
}

/// 64 at once. Scaled: 64 files of 1 GiB are more than the disk of most machines that run this.
async fn many_streams(bench: &Bench) -> Fallible<Row> {
    const SIZE: u64 = 64 * MIB;
    let what = format!("64 uploads of {} MiB at once (scaled from 1 GiB)", SIZE / MIB);
    let mut row = Row::new("B9", what, "MiB", Goal::AtMost(256.0));
    for _ in bench.rounds("B9, 64 at once").take(1) {
        let product = Product::start(bench, "b9-64", None).await?;
        let clients = product.clients(64).await?;
        let (body, first) = (Bytes::from(Noise(5).bytes(16 << 20)), bench.seeds(64));
        in_lanes(&clients, 64, 64, move |client, number| {
            let content = Content::random(&body, SIZE, first + number as u64);
            async move { client.upload(&content, "bin", "").await.map(drop) }
        })
        .await?;
        row.value(peak_mib(product.pid())?);
        product.end()?;
    }
    Ok(row)
}

/// 4 GiB in and out, over 1 MiB in and out.
async fn one_large_file(bench: &Bench) -> Fallible<[Row; 2]> {
    let goal = Goal::AtMost(8.0);
    let mut up = Row::new("B9", "upload of 4 GiB, over one of 1 MiB", "MiB", goal);
    let mut down = Row::new("B9", "download of 4 GiB, over one of 1 MiB", "MiB", goal);
    for _ in bench.rounds("B9, 4 GiB").take(1) {
        let body = Bytes::from(Noise(7).bytes(16 << 20));
        let product = Product::start(bench, "b9-4gib", None).await?;
        let client = product.clients(1).await?.remove(0);
        let small = client.upload(&Content::random(&body, MIB, bench.seed()), "bin", "").await?;
        let one = peak_mib(product.pid())?;
        let large = client.upload(&Content::random(&body, 4096 * MIB, bench.seed()), "bin", "").await?;
        let four = peak_mib(product.pid())?;
        up.pair(four, one, four - one);
        client.download(&small).await?;
        let one = peak_mib(product.pid())?;
        client.download(&large).await?;
        let four = peak_mib(product.pid())?;
        down.pair(four, one, four - one);
        product.end()?;
    }
    Ok([up, down])
}
