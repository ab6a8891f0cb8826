//! One upload, from its parts to its messages; polite unless told otherwise.

use bytes::Bytes;
use tonic::{Code, Request, Status};

use super::{
    Caller, Node,
    pb::{
        UploadChunk, UploadCommit, UploadFileRequest, UploadFileResponse, UploadHeader, upload_file_request::Part,
        upload_header::Target,
    },
};

/// The size that clients should send.
pub const CHUNK: usize = 256 << 10;

/// An upload on its way to being sent.
#[derive(Debug, Clone)]
pub struct Upload<'n> {
    node: &'n Node,
    /// The first message, to be changed at will.
    pub header: UploadHeader,
    /// The last message.
    pub commit: UploadCommit,
    bytes: Bytes,
    chunk: usize,
}

impl Node {
    /// An upload of these bytes under this name; say `to_chat` or `to_library`, then `by`.
    pub fn upload(&self, name: &str, bytes: impl Into<Bytes>) -> Upload<'_> {
        Upload {
            node: self,
            header: UploadHeader { display_name: name.to_owned(), ..UploadHeader::default() },
            commit: UploadCommit::default(),
            bytes: bytes.into(),
            chunk: CHUNK,
        }
    }
}

#[expect(clippy::wrong_self_convention, reason = "a builder that reads as a sentence: upload … to chat … by")]
impl Upload<'_> {
    /// Where to.
    pub fn to_chat(mut self, chat: &str) -> Self {
        self.header.target = Some(Target::ChatId(chat.to_owned()));
        self
    }
    /// Where to.
    pub fn to_library(mut self) -> Self {
        self.header.target = Some(Target::Library(true));
        self
    }
    /// For an online visitor.
    pub fn for_visitor(mut self, vid: &str) -> Self {
        self.header.target = Some(Target::VisitorId(vid.to_owned()));
        self
    }
    /// Makes it idempotent.
    pub fn request_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.header.request_id);
        self
    }
    /// Declares a size in the header.
    pub fn declared_size(mut self, size: i64) -> Self {
        self.header.size_bytes = Some(size);
        self
    }
    /// Bytes of each chunk.
    pub fn in_chunks_of(mut self, bytes: usize) -> Self {
        self.chunk = bytes;
        self
    }
    /// Anything else of the header.
    pub fn with(mut self, change: impl FnOnce(&mut UploadHeader)) -> Self {
        change(&mut self.header);
        self
    }
    /// Anything of the commit.
    pub fn with_commit(mut self, change: impl FnOnce(&mut UploadCommit)) -> Self {
        change(&mut self.commit);
        self
    }

    /// Its messages: header, chunks, commit.
    pub fn messages(&self) -> Vec<UploadFileRequest> {
        let header = header(self.header.clone());
        let starts = (0..self.bytes.len()).step_by(self.chunk);
        let chunks = starts.map(|at| chunk(self.bytes.slice(at..self.bytes.len().min(at + self.chunk))));
        std::iter::once(header).chain(chunks).chain([commit(self.commit.clone())]).collect()
    }

    /// Sends it.
    pub async fn by(&self, caller: &(impl Caller + ?Sized)) -> Result<UploadFileResponse, Status> {
        self.node.send_upload(caller, tokio_stream::iter(self.messages())).await
    }

    /// Sends it; it must pass.
    pub async fn passes_by(&self, caller: &(impl Caller + ?Sized)) -> super::pb::File {
        let answer = self.by(caller).await.unwrap_or_else(|s| panic!("refused: {s:?} {}", super::reason_of(&s)));
        answer.file.expect("every answer names the file")
    }

    /// Sends it; it must be refused with this code and reason, and leave nothing behind.
    pub async fn refused_by(&self, caller: &(impl Caller + ?Sized), code: Code, reason: &str) -> Status {
        let status = super::assert_refused(self.by(caller).await, code, reason);
        let chat = match &self.header.target {
            Some(Target::ChatId(chat)) => chat.as_str(),
            Some(Target::Library(_) | Target::VisitorId(_)) | None => "",
        };
        self.node.assert_no_trace(chat, &self.bytes).await;
        status
    }
}

impl Node {
    /// Sends these messages as one upload.
    pub async fn send_upload(
        &self,
        caller: &(impl Caller + ?Sized),
        messages: impl tokio_stream::Stream<Item = UploadFileRequest> + Send + 'static,
    ) -> Result<UploadFileResponse, Status> {
        let mut request = Request::new(messages);
        super::calls::authorise(&mut request, caller);
        Ok(self.files().upload_file(request).await?.into_inner())
    }
}

/// The first message.
pub fn header(header: UploadHeader) -> UploadFileRequest {
    UploadFileRequest { part: Some(Part::Header(header)) }
}

/// One chunk.
pub fn chunk(data: impl Into<Bytes>) -> UploadFileRequest {
    UploadFileRequest { part: Some(Part::Chunk(UploadChunk { data: data.into(), crc32c: None })) }
}

/// The last message.
pub fn commit(commit: UploadCommit) -> UploadFileRequest {
    UploadFileRequest { part: Some(Part::Commit(commit)) }
}
