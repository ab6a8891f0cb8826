//! Bytes on their way out, by id or by link, whole or in part; and the links themselves.
//!
//! Not here: who may (`domain/access.rs`) and how it is said over gRPC (`rpc/file_service.rs`). The last chunk of a
//! whole file goes out only if its SHA-256 holds.

use std::{
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sha2::Digest;

use super::{
    App, Error,
    seal::{Fields, Purpose, Reader},
};
use crate::{
    domain::{
        Actor, Caller, CallerKind, Ceiling, ChatSet, Event, EventKind, FileId, FileView, Permissions, Person, Reason,
        Refusal, Sha256, Time,
        access::{self, Way},
        listing::FileRef,
        media_type,
    },
    ports::{BlobError, BlobStream, Tap},
    telemetry::names,
};

/// How the file is named.
#[derive(Debug, Clone)]
pub enum DownloadBy {
    /// By id, by an authenticated caller.
    File(Caller, FileId),
    /// By a link, by whoever holds it.
    Link(String),
}

/// A download that may start.
pub struct Download {
    /// The file.
    pub view: FileView,
    /// First byte sent.
    pub offset: u64,
    /// Bytes sent.
    pub length: u64,
    /// May be shown, not only saved.
    pub inline: bool,
    /// It came by a link: the holder learns nothing of chats.
    pub by_link: bool,
    /// The bytes.
    pub chunks: Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>,
}

impl App {
    /// Opens a file's bytes from `offset` on, at most `limit` of them (0: to the end).
    pub async fn download(
        self: &Arc<Self>,
        by: DownloadBy,
        offset: u64,
        limit: u64,
        inline: bool,
    ) -> Result<Download, Error> {
        let result = self.open_download(by, offset, limit, inline).await;
        let outcome = result.as_ref().map_or_else(|e| e.reason().map_or("INTERNAL", Reason::name), |_| "started");
        metrics::counter!(names::DOWNLOADS, names::OUTCOME => outcome).increment(1);
        result
    }

    async fn open_download(
        self: &Arc<Self>,
        by: DownloadBy,
        offset: u64,
        limit: u64,
        inline: bool,
    ) -> Result<Download, Error> {
        let (caller, file, way, inline) = match by {
            DownloadBy::File(caller, file) => (caller, file, Way::Direct, inline),
            DownloadBy::Link(link) => {
                let link = self.open_link(&link).ok_or_else(Refusal::not_found)?;
                (link.creator, link.file, Way::Link, link.inline)
            }
        };
        let view = self.store.find_file(FileRef::Id(file), &caller).await?;
        let settings = self.settings();
        let view = access::see(&caller, view.as_ref(), &settings)?;
        let readable = access::read(&caller, view, &settings, self.clock.now(), way);
        // Whoever holds a link may be anybody: one whose creator may not read any more is dead like any other.
        readable.map_err(|refusal| if way == Way::Link { Refusal::not_found() } else { refusal })?;
        let size = view.blob.size;
        if offset >= size {
            return Err(Refusal::new(Reason::BadRange)
                .because(format!("the file has {size} bytes"))
                .with("size_bytes", size)
                .into());
        }
        let length = if limit == 0 { size - offset } else { limit.min(size - offset) };
        let range = offset..offset + length;
        let pass = self.downloads.enter(&caller)?;
        let started = tokio::time::Instant::now();
        let chunks = if length == size {
            let hash = Arc::new(Mutex::new(sha2::Sha256::new()));
            let stream = self.open_bytes(&caller, view, range, Some(tap(&hash))).await?;
            self.checked(stream, hash, view.blob.sha256, file, caller.clone())
        } else {
            self.open_bytes(&caller, view, range, None).await?.map(|chunk| Ok(chunk?)).boxed()
        };
        metrics::histogram!(names::BLOB_SECONDS, names::OP => "open").record(started.elapsed());
        // The place is held as long as the bytes are on their way.
        let chunks = chunks.inspect(move |chunk| {
            let _held = &pass;
            if let Ok(chunk) = chunk {
                metrics::counter!(names::DOWNLOAD_BYTES).increment(chunk.len() as u64);
            }
        });
        Ok(Download {
            offset,
            length,
            inline: inline && media_type::served_as(view.file.extension.as_str()).inline,
            by_link: way == Way::Link,
            view: view.clone(),
            chunks: chunks.boxed(),
        })
    }

    /// Bytes that are not there may have been purged with their file since it was found.
    async fn open_bytes(
        &self,
        caller: &Caller,
        view: &FileView,
        range: Range<u64>,
        tap: Option<Tap>,
    ) -> Result<BlobStream, Error> {
        match self.blobs.open(view.blob.key, range, tap).await {
            Err(BlobError::Missing(_)) if self.is_gone(caller, view.file.id).await => Err(Refusal::not_found().into()),
            opened => Ok(opened?),
        }
    }

    /// The file is not there any more, not even deleted. Where nobody can say, it is.
    async fn is_gone(&self, caller: &Caller, file: FileId) -> bool {
        let found = self.store.find_file(FileRef::Id(file), caller).await;
        found.is_ok_and(|found| found.is_none())
    }

    /// Passes chunks on one behind, so that the last one goes out only after the hash was found right.
    fn checked(
        self: &Arc<Self>,
        stream: BlobStream,
        hash: Arc<Mutex<sha2::Sha256>>,
        expected: Sha256,
        file: FileId,
        caller: Caller,
    ) -> Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>> {
        let app = Arc::clone(self);
        let start = (stream, None::<Bytes>, false);
        futures_util::stream::unfold(start, move |(mut stream, mut held, done)| {
            let (app, hash, caller) = (Arc::clone(&app), Arc::clone(&hash), caller.clone());
            async move {
                if done {
                    return None;
                }
                loop {
                    match stream.next().await {
                        Some(Ok(chunk)) => {
                            if let Some(out) = held.replace(chunk) {
                                return Some((Ok(out), (stream, held, false)));
                            }
                        }
                        Some(Err(error)) => {
                            if matches!(error, BlobError::Missing(_)) {
                                if app.is_gone(&caller, file).await {
                                    return Some((Err(Refusal::not_found().into()), (stream, None, true)));
                                }
                                app.record_corruption(file).await;
                            }
                            return Some((Err(error.into()), (stream, None, true)));
                        }
                        None => {
                            let found = hash.lock().unwrap_or_else(PoisonError::into_inner).clone().finalize();
                            let last = if Sha256(found.into()) == expected {
                                Ok(held.take()?)
                            } else {
                                app.record_corruption(file).await;
                                Err(Reason::Corrupt.into())
                            };
                            return Some((last, (stream, None, true)));
                        }
                    }
                }
            }
        })
        .boxed()
    }

    async fn record_corruption(&self, file: FileId) {
        tracing::error!(%file, "stored bytes do not have their hash");
        metrics::counter!(names::CORRUPT).increment(1);
        let event = Event::new(EventKind::BlobCorrupt, Actor::SYSTEM).file(file).reason(Reason::Corrupt);
        if let Err(error) = self.store.record(event, self.clock.now()).await {
            tracing::error!(%error, "the event of damaged bytes could not be written");
        }
    }

    /// A link to a file within reach. Its creator's right is judged again whenever it is used.
    pub async fn create_link(
        &self,
        caller: &Caller,
        file: FileId,
        ttl: Option<Duration>,
        inline: bool,
    ) -> Result<(String, Time), Error> {
        let view = self.store.find_file(FileRef::Id(file), caller).await?;
        let settings = self.settings();
        let view = access::see(caller, view.as_ref(), &settings)?;
        let now = self.clock.now();
        access::read(caller, view, &settings, now, Way::Link)?;
        let most = settings.link_ttl_seconds;
        let ttl = match ttl {
            None => most,
            Some(ttl) => i64::try_from(ttl.as_secs()).ok().filter(|s| (1..=most).contains(s)).ok_or_else(|| {
                Refusal::argument("ttl", format!("ttl must be 1 to {most} seconds (setting link_ttl_seconds)"))
            })?,
        };
        let expires = now.plus_secs(ttl);
        let chat = view.chats.iter().find(|c| c.is_open()).or(view.chats.first()).map_or("", |c| c.id.as_str());
        let acting = caller.ceiling.as_ref().map_or("", |c| c.service.as_str());
        let all = i64::from(caller.chats == ChatSet::All && caller.kind() == CallerKind::Service);
        let fields = Fields::default()
            .field(&file.0)
            .number(expires.0)
            .number(i64::from(inline))
            .field(caller.person.to_string().as_bytes())
            .number(i64::from(caller.permissions.bits()))
            .field(chat.as_bytes())
            .number(all)
            .field(acting.as_bytes())
            .field(caller.vid.as_ref().map_or("", |vid| vid.as_str()).as_bytes());
        Ok((self.secrets.seal(Purpose::Link, &fields.done(), self.ids.random()), expires))
    }

    fn open_link(&self, text: &str) -> Option<Link> {
        let payload = self.secrets.open(Purpose::Link, text)?;
        let mut fields = Reader(&payload);
        let file = FileId(fields.field()?.try_into().ok()?);
        (self.clock.now() < Time(fields.number()?)).then_some(())?;
        let inline = fields.number()? == 1;
        let person: Person = fields.text()?.parse().ok()?;
        let permissions = Permissions::from_bits(u32::try_from(fields.number()?).ok()?);
        let chats = match fields.text()? {
            "" => ChatSet::none(),
            chat => ChatSet::from_ids([chat]).ok()?,
        };
        let chats = if fields.number()? == 1 { ChatSet::All } else { chats };
        let ceiling = match fields.text()? {
            "" => None,
            service => Some(Ceiling { service: service.parse().ok()?, chats: chats.clone() }),
        };
        let ceiling = ceiling.filter(|c| c.chats != ChatSet::none());
        // The field came last: a link of a node of the last release ends before it.
        let vid = match fields.text() {
            None | Some("") => None,
            Some(vid) => Some(vid.parse().ok()?),
        };
        Some(Link { file, inline, creator: Caller { person, permissions, chats, vid, ceiling } })
    }
}

/// What a link says.
struct Link {
    file: FileId,
    inline: bool,
    creator: Caller,
}

fn tap(hash: &Arc<Mutex<sha2::Sha256>>) -> Tap {
    let hash = Arc::clone(hash);
    Box::new(move |bytes| hash.lock().unwrap_or_else(PoisonError::into_inner).update(bytes))
}
