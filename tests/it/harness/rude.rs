//! A client below gRPC: it speaks HTTP/2 itself, so that it can leave in every way there is.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{
    Reason, SendStream,
    client::{ResponseFuture, SendRequest},
};
use prost::Message as _;
use tokio::{net::TcpStream, task::JoinHandle};

use super::{Caller, Node, pb::UploadFileRequest};

/// One upload on one connection.
pub struct Rude {
    connection: JoinHandle<()>,
    _requests: SendRequest<Bytes>,
    body: SendStream<Bytes>,
    response: Option<ResponseFuture>,
}

impl Rude {
    /// Opens the stream, without a deadline.
    pub async fn open(node: &Node, caller: &(impl Caller + ?Sized)) -> Self {
        Self::open_with(node, caller, &[]).await
    }

    /// Opens the stream with a deadline that only the header tells.
    pub async fn open_until(node: &Node, caller: &(impl Caller + ?Sized), deadline: Duration) -> Self {
        Self::open_with(node, caller, &[("grpc-timeout", &format!("{}m", deadline.as_millis()))]).await
    }

    async fn open_with(node: &Node, caller: &(impl Caller + ?Sized), headers: &[(&str, &str)]) -> Self {
        let tcp = TcpStream::connect(node.address()).await.expect("the server listens");
        tcp.set_nodelay(true).expect("a TCP option");
        let (requests, connection) = h2::client::handshake(tcp).await.expect("HTTP/2");
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let mut requests = requests.ready().await.expect("a stream is allowed");
        let mut head = http::Request::post(format!("http://{}/lhfile.v1.FileService/UploadFile", node.address()))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {}", caller.token()));
        for (name, value) in headers {
            head = head.header(*name, *value);
        }
        let (response, body) = requests.send_request(head.body(()).expect("a head"), false).expect("sent");
        Self { connection, _requests: requests, body, response: Some(response) }
    }

    /// Sends one message, all of it.
    pub async fn send(&mut self, message: &UploadFileRequest) {
        self.try_send(message).await.expect("the server reads");
    }

    /// Sends one message, as far as the server reads it.
    pub async fn try_send(&mut self, message: &UploadFileRequest) -> Result<(), h2::Error> {
        self.send_bytes(frame(message)).await
    }

    /// Sends raw bytes of the body.
    pub async fn send_bytes(&mut self, mut rest: Bytes) -> Result<(), h2::Error> {
        while !rest.is_empty() {
            self.body.reserve_capacity(rest.len());
            let granted = match std::future::poll_fn(|cx| self.body.poll_capacity(cx)).await {
                Some(granted) => granted?,
                None => return Err(h2::Error::from(Reason::STREAM_CLOSED)),
            };
            let now = rest.split_to(granted.min(rest.len()));
            self.body.send_data(now, false)?;
        }
        Ok(())
    }

    /// Waits until everything sent has left this side: the server has it in its buffers.
    pub async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(150)).await;
    }

    /// END_STREAM: the client says it is done.
    pub fn half_close(&mut self) {
        let _ = self.body.send_data(Bytes::new(), true);
    }

    /// RST_STREAM with CANCEL, the connection stays.
    pub async fn cancel(mut self) {
        self.body.send_reset(Reason::CANCEL);
        self.settle().await;
    }

    /// The connection dies without a word.
    pub async fn vanish(self) {
        self.connection.abort();
        let _ = self.connection.await;
    }

    /// The code and the reason that the server answers with; `None` for a stream that it resets.
    pub async fn answer(&mut self) -> Option<(i32, String)> {
        let response = self.response.take().expect("asked once").await.ok()?;
        let (head, mut body) = response.into_parts();
        if let Some(found) = status_in(&head.headers) {
            return Some(found);
        }
        while let Some(data) = body.data().await {
            let data = data.ok()?;
            let _ = body.flow_control().release_capacity(data.len());
        }
        status_in(&body.trailers().await.ok()??)
    }
}

fn status_in(headers: &http::HeaderMap) -> Option<(i32, String)> {
    let status = tonic::Status::from_header_map(headers)?;
    Some((status.code() as i32, super::reason_of(&status)))
}

/// A message with its five bytes of length before it.
pub fn frame(message: &UploadFileRequest) -> Bytes {
    let mut bytes = BytesMut::with_capacity(5 + message.encoded_len());
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).expect("a message of the tests is small"));
    message.encode(&mut bytes).expect("room was made");
    bytes.freeze()
}
