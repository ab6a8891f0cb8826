//! `FileService`: each RPC is unpacked, becomes one call of the application, and is wrapped.
//!
//! Not here: messages (`convert/files.rs`), streams in (`upload_stream.rs`), anything that decides.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt as _, stream};
use tonic::{Request, Response, Status, Streaming};

use super::{
    access::{self, Identity},
    convert::{
        self, Batch,
        deleting::{self, Deleted},
        files,
    },
    credential::bad_credential,
    pb::{self, file_service_server::FileService},
    request_id, status,
    upload_stream::{Pieces, open_upload},
};
use crate::{
    app::{App, Download, DownloadBy},
    domain::{Refusal, listing::FileRef},
    ports::AttachTo,
};

/// The service.
pub struct Files {
    app: Arc<App>,
}

impl Files {
    /// Speaks for this application.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

fn by_id(file_id: &str) -> Result<FileRef, Refusal> {
    Ok(FileRef::Id(file_id.parse()?))
}

#[tonic::async_trait]
impl FileService for Files {
    async fn upload_file(
        &self,
        request: Request<Streaming<pb::UploadFileRequest>>,
    ) -> Result<Response<pb::UploadFileResponse>, Status> {
        let caller = access::caller(request.extensions())?.clone();
        // The stream of tonic is empty: its body was taken, to be read piece by piece.
        let (declared, source) = open_upload(Pieces::of(request.extensions()), self.app.tasks()).await?;
        let view = self.app.upload(caller.clone(), declared, Box::new(source)).await?;
        let message_code = view.file.message_code().to_string();
        Ok(Response::new(pb::UploadFileResponse { file: Some(files::file(view, &caller)), message_code }))
    }

    type DownloadFileStream = Pin<Box<dyn Stream<Item = Result<pb::DownloadFileResponse, Status>> + Send>>;

    async fn download_file(
        &self,
        request: Request<pb::DownloadFileRequest>,
    ) -> Result<Response<Self::DownloadFileStream>, Status> {
        let identity = request.extensions().get::<Identity>().cloned().ok_or_else(bad_credential)?;
        let files::Wanted { by, offset, limit, inline } = files::wanted(request.into_inner(), &identity)?;
        let download = self.app.download(by.clone(), offset, limit, inline).await?;
        let header = match &by {
            DownloadBy::File(caller, _) => files::download_header(&download, Some(caller)),
            DownloadBy::Link(_) => files::download_header(&download, None),
        };
        Ok(Response::new(Box::pin(stream::once(async { Ok(part(header)) }).chain(chunks(download)))))
    }

    async fn get_file(&self, request: Request<pb::GetFileRequest>) -> Result<Response<pb::GetFileResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let view = self.app.get_file(caller, files::file_ref(request)?).await?;
        Ok(Response::new(pb::GetFileResponse { file: Some(files::file(view, caller)) }))
    }

    async fn list_files(
        &self,
        request: Request<pb::ListFilesRequest>,
    ) -> Result<Response<pb::ListFilesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let page = self.app.list_files(caller, files::list_request(request)?).await?;
        Ok(Response::new(files::page(page, caller)))
    }

    async fn list_chat_files(
        &self,
        request: Request<pb::ListChatFilesRequest>,
    ) -> Result<Response<pb::ListChatFilesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let (chat, request) = files::chat_list_request(request)?;
        let page = self.app.list_chat_files(caller, chat, request).await?;
        Ok(Response::new(files::chat_page(page, caller)))
    }

    async fn list_visitor_files(
        &self,
        request: Request<pb::ListVisitorFilesRequest>,
    ) -> Result<Response<pb::ListVisitorFilesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let (visitor, request) = files::visitor_list_request(request)?;
        let page = self.app.list_visitor_files(caller, visitor, request).await?;
        Ok(Response::new(files::visitor_page(page, caller)))
    }

    async fn attach_file(
        &self,
        request: Request<pb::AttachFileRequest>,
    ) -> Result<Response<pb::AttachFileResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let pb::AttachFileRequest { file_id, chat_id, message_id } = request;
        let file = by_id(&file_id)?;
        let to = AttachTo { chat: chat_id.parse()?, message_id: convert::message_id(message_id)? };
        self.app.attach(caller, file, vec![to]).await?.into_iter().collect::<Result<(), _>>()?;
        let view = self.app.get_file(caller, file).await?;
        Ok(Response::new(pb::AttachFileResponse { file: Some(files::file(view, caller)) }))
    }

    async fn batch_attach_file(
        &self,
        request: Request<pb::BatchAttachFileRequest>,
    ) -> Result<Response<pb::BatchAttachFileResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let pb::BatchAttachFileRequest { file_id, chat_ids } = request;
        let file = by_id(&file_id)?;
        let Batch { good, slots } = convert::batch("chat_ids", chat_ids, |id| id, files::attach_to)?;
        let results = convert::join(slots, self.app.attach(caller, file, good).await?);
        let results = results.map(|(chat_id, result)| files::attach_result(chat_id, result)).collect();
        Ok(Response::new(pb::BatchAttachFileResponse { results }))
    }

    async fn detach_file(
        &self,
        request: Request<pb::DetachFileRequest>,
    ) -> Result<Response<pb::DetachFileResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let pb::DetachFileRequest { file_id, chat_id } = request;
        self.app.detach(caller, by_id(&file_id)?, chat_id.parse()?).await?;
        Ok(Response::new(pb::DetachFileResponse {}))
    }

    async fn update_file(
        &self,
        request: Request<pb::UpdateFileRequest>,
    ) -> Result<Response<pb::UpdateFileResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let (file, change) = files::change(request)?;
        let view = self.app.update_file(caller, file, change).await?;
        Ok(Response::new(pb::UpdateFileResponse { file: Some(files::file(view, caller)) }))
    }

    async fn delete_file(
        &self,
        request: Request<pb::DeleteFileRequest>,
    ) -> Result<Response<pb::DeleteFileResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.app.delete_file(access::caller(&extensions)?, by_id(&request.file_id)?).await?;
        Ok(Response::new(pb::DeleteFileResponse {}))
    }

    async fn batch_delete_files(
        &self,
        request: Request<pb::BatchDeleteFilesRequest>,
    ) -> Result<Response<pb::BatchDeleteFilesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let results = match deleting::deleted(request)? {
            Deleted::Named(Batch { good, slots }) => {
                let deleted = self.app.delete_files(caller, good).await?;
                deleting::results(convert::join(slots, deleted.into_iter().map(|(_, result)| result).collect()))
            }
            Deleted::Matching(filter, expected) => {
                let deleted = self.app.delete_matching(caller, *filter, expected).await?;
                deleting::results(deleted.into_iter().map(|(id, result)| (id.to_string(), result)))
            }
        };
        Ok(Response::new(pb::BatchDeleteFilesResponse { results }))
    }

    async fn purge_files(
        &self,
        request: Request<pb::PurgeFilesRequest>,
    ) -> Result<Response<pb::PurgeFilesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let Batch { good, slots } = convert::batch_of_files(request.file_ids)?;
        let purged = self.app.purge_files(caller, good).await?;
        Ok(Response::new(pb::PurgeFilesResponse { results: deleting::results(convert::join(slots, purged)) }))
    }

    async fn erase_visitor(
        &self,
        request: Request<pb::EraseVisitorRequest>,
    ) -> Result<Response<pb::EraseVisitorResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let deleting::Asked { visitor, chats, why } = deleting::asked(request)?;
        Ok(Response::new(deleting::erased(self.app.erase_visitor(caller, visitor, chats, why).await?)))
    }

    async fn list_deleted_files(
        &self,
        request: Request<pb::ListDeletedFilesRequest>,
    ) -> Result<Response<pb::ListDeletedFilesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let page = self.app.list_deleted_files(caller, files::deleted_list_request(request)?).await?;
        Ok(Response::new(files::deleted_page(page, caller, self.app.deleted_grace_days())))
    }

    async fn undelete_file(
        &self,
        request: Request<pb::UndeleteFileRequest>,
    ) -> Result<Response<pb::UndeleteFileResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let view = self.app.restore_file(caller, by_id(&request.file_id)?).await?;
        Ok(Response::new(pb::UndeleteFileResponse { file: Some(files::file(view, caller)) }))
    }

    async fn get_upload_options(
        &self,
        request: Request<pb::GetUploadOptionsRequest>,
    ) -> Result<Response<pb::GetUploadOptionsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let target = files::options_target(request)?;
        let options = self.app.upload_options(access::caller(&extensions)?, target).await?;
        Ok(Response::new(files::options(options)))
    }

    async fn create_download_link(
        &self,
        request: Request<pb::CreateDownloadLinkRequest>,
    ) -> Result<Response<pb::CreateDownloadLinkResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let pb::CreateDownloadLinkRequest { file_id, ttl, inline } = request;
        let ttl = ttl.map(|ttl| convert::seconds("ttl", ttl)).transpose()?;
        let (link, expires) = self.app.create_link(caller, file_id.parse()?, ttl, inline).await?;
        let expire_time = Some(convert::timestamp(expires));
        Ok(Response::new(pb::CreateDownloadLinkResponse { link, expire_time }))
    }
}

fn part(header: pb::DownloadHeader) -> pb::DownloadFileResponse {
    pb::DownloadFileResponse { part: Some(pb::download_file_response::Part::Header(Box::new(header))) }
}

/// The bytes, each chunk with its checksum. An error ends the stream; it is logged with this call's id.
fn chunks(download: Download) -> impl Stream<Item = Result<pb::DownloadFileResponse, Status>> + Send {
    let id = request_id::current();
    download.chunks.map(move |chunk| match chunk {
        Ok(data) => {
            let crc32c = crc_fast::crc32_iscsi(&data);
            let chunk = pb::download_file_response::Part::Chunk(pb::DownloadChunk { data, crc32c });
            Ok(pb::DownloadFileResponse { part: Some(chunk) })
        }
        Err(error) => Err(request_id::within(&id, || status::status(error))),
    })
}
