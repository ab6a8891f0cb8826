//! The reference server: bare tonic with the messages of `lhfile.v1`, in a process of its own.
//!
//! An upload is thrown away, or hashed, written, synced and renamed ("the reference" of performance.md); a download is
//! a file with its hash; a small call answers a constant. No callers, rows, checks. Its windows and frames are the ones
//! that performance.md found fastest, whatever the product's are.

use std::{
    convert::Infallible,
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lhfile::rpc::pb::{self, download_file_response::Part as Down, upload_file_request::Part as Up};
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, sync::mpsc, task::spawn_blocking};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming, body::Body, server::Grpc, server::NamedService, transport::Server,
    transport::server::TcpIncoming,
};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::{Fallible, made::CHUNK, process::Ended};

/// As `content_type` of an upload's header: hashed, written, synced and renamed. Any other: thrown away.
pub const KEPT: &str = "kept";
/// What downloads send, in the server's folder.
pub const SERVED: &str = "served";
/// Chunks that wait between two threads.
const QUEUE: usize = 4;

/// The server as its parent sees it.
pub struct Bare {
    pub address: SocketAddr,
    child: Ended,
}

impl Bare {
    /// Starts this very program again, as the server; its files lie in `folder`.
    pub fn start(folder: &Path) -> Fallible<Self> {
        std::fs::create_dir_all(folder)?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--bare")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let out = child.stdout.take().ok_or("the bare server has no output")?;
        let child = Ended(child);
        BufReader::new(out).read_line(&mut line)?;
        Ok(Self { address: line.trim().parse()?, child })
    }

    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }
}

/// The server's own main: serves until its standard input ends.
pub async fn serve(folder: PathBuf) -> Fallible<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    // Answers are small and awaited: not held back to be merged.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let service = Service(Arc::new(State { folder, count: AtomicU64::new(0) }));
    Server::builder()
        .max_frame_size(256 << 10)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(2 << 20)
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, async {
            // Ends when the parent does, however that ended; what is read does not matter.
            spawn_blocking(|| std::io::stdin().read(&mut [0])).await.ok();
        })
        .await?;
    Ok(())
}

struct State {
    folder: PathBuf,
    count: AtomicU64,
}

#[derive(Clone)]
struct Service(Arc<State>);

impl NamedService for Service {
    const NAME: &'static str = "lhfile.v1.FileService";
}

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/lhfile.v1.FileService/UploadFile" => {
                    let upload = service_fn(move |request| upload(Arc::clone(&state), request));
                    Grpc::new(ProstCodec::default()).client_streaming(upload, request).await
                }
                "/lhfile.v1.FileService/DownloadFile" => {
                    let download = service_fn(move |request| download(Arc::clone(&state), request));
                    Grpc::new(ProstCodec::default()).server_streaming(download, request).await
                }
                _ => Grpc::new(ProstCodec::default()).unary(service_fn(get), request).await,
            })
        })
    }
}

async fn get(_: Request<pb::GetFileRequest>) -> Result<Response<pb::GetFileResponse>, Status> {
    // About as many bytes as a real row.
    let file = pb::File {
        file_id: "a".repeat(26),
        display_name: "report.bin".to_owned(),
        extension: "bin".to_owned(),
        media_type: "application/octet-stream".to_owned(),
        size_bytes: 4096,
        sha256: "0".repeat(64),
        uploaded_sha256: "0".repeat(64),
        message_code: "[file=4294967296_00000000000000000000000000000000]".to_owned(),
        home_chat_id: "42".to_owned(),
        chat_ids: vec!["42".to_owned()],
        etag: "1".to_owned(),
        ..pb::File::default()
    };
    Ok(Response::new(pb::GetFileResponse { file: Some(file) }))
}

async fn upload(
    state: Arc<State>,
    request: Request<Streaming<pb::UploadFileRequest>>,
) -> Result<Response<pb::UploadFileResponse>, Status> {
    let mut stream = request.into_inner();
    let mut to: Option<mpsc::Sender<Bytes>> = None;
    let mut kept = None;
    while let Some(message) = stream.message().await? {
        match message.part {
            Some(Up::Header(header)) if header.content_type == KEPT => {
                let (sender, receiver) = mpsc::channel(QUEUE);
                let path = state.folder.join(state.count.fetch_add(1, Ordering::Relaxed).to_string());
                kept = Some(spawn_blocking(move || keep(&path, receiver)));
                to = Some(sender);
            }
            Some(Up::Chunk(chunk)) => {
                if let Some(to) = &to {
                    to.send(chunk.data).await.map_err(|_| Status::internal("the writer has ended"))?;
                }
            }
            Some(Up::Header(_) | Up::Commit(_)) | None => {}
        }
    }
    drop(to);
    let file = match kept {
        None => None,
        Some(kept) => {
            let sha256 = kept.await.map_err(failed)?.map_err(failed)?;
            Some(pb::File { sha256, ..pb::File::default() })
        }
    };
    Ok(Response::new(pb::UploadFileResponse { file, message_code: String::new() }))
}

/// Hash, write, fdatasync, rename.
fn keep(path: &Path, mut chunks: mpsc::Receiver<Bytes>) -> std::io::Result<String> {
    let part = path.with_extension("part");
    let (mut file, mut hash) = (File::create(&part)?, Sha256::new());
    while let Some(chunk) = chunks.blocking_recv() {
        hash.update(&chunk);
        file.write_all(&chunk)?;
    }
    file.sync_data()?;
    std::fs::rename(part, path)?;
    Ok(data_encoding::HEXLOWER.encode(&hash.finalize()))
}

async fn download(
    state: Arc<State>,
    _: Request<pb::DownloadFileRequest>,
) -> Result<Response<ReceiverStream<Result<pb::DownloadFileResponse, Status>>>, Status> {
    let (to, stream) = mpsc::channel(QUEUE);
    spawn_blocking(move || {
        if let Err(error) = send(&state.folder.join(SERVED), &to) {
            to.blocking_send(Err(failed(error))).ok();
        }
    });
    Ok(Response::new(ReceiverStream::new(stream)))
}

fn send(path: &Path, to: &mpsc::Sender<Result<pb::DownloadFileResponse, Status>>) -> std::io::Result<()> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    loop {
        let mut data = Vec::with_capacity(CHUNK);
        if (&mut file).take(CHUNK as u64).read_to_end(&mut data)? == 0 {
            std::hint::black_box(hash.finalize());
            return Ok(());
        }
        hash.update(&data);
        let chunk = pb::DownloadChunk { data: data.into(), crc32c: 0 };
        if to.blocking_send(Ok(pb::DownloadFileResponse { part: Some(Down::Chunk(chunk)) })).is_err() {
            return Ok(());
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}
