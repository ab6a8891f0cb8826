//! `ChatService`: each RPC is unpacked, becomes one call of the application, and is wrapped.
//!
//! Not here: messages (`convert/chats.rs`), anything that decides.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    access,
    convert::{self, Batch, chats},
    pb::{self, chat_service_server::ChatService},
};
use crate::{app::App, domain::Chat};

/// The service.
pub struct Chats {
    app: Arc<App>,
}

impl Chats {
    /// Speaks for this application.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl ChatService for Chats {
    async fn put_chat(&self, request: Request<pb::PutChatRequest>) -> Result<Response<pb::PutChatResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let told = vec![chats::told(request.chat)?];
        let stored = self.app.put_chats(access::caller(&extensions)?, told).await?;
        let chat: Option<Chat> = stored.into_iter().next().transpose()?;
        Ok(Response::new(pb::PutChatResponse { chat: chat.map(chats::chat) }))
    }

    async fn batch_put_chats(
        &self,
        request: Request<pb::BatchPutChatsRequest>,
    ) -> Result<Response<pb::BatchPutChatsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let told = |chat| chats::told(Some(chat));
        let Batch { good, slots } = convert::batch("chats", request.chats, |chat| &chat.chat_id, told)?;
        let stored = self.app.put_chats(access::caller(&extensions)?, good).await?;
        let results = convert::join(slots, stored).map(|(id, result)| chats::result(id, result)).collect();
        Ok(Response::new(pb::BatchPutChatsResponse { results }))
    }

    async fn get_chat(&self, request: Request<pb::GetChatRequest>) -> Result<Response<pb::GetChatResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let chat = self.app.get_chat(access::caller(&extensions)?, &request.chat_id.parse()?).await?;
        Ok(Response::new(pb::GetChatResponse { chat: Some(chats::chat(chat)) }))
    }

    async fn list_chats(
        &self,
        request: Request<pb::ListChatsRequest>,
    ) -> Result<Response<pb::ListChatsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let caller = access::caller(&extensions)?;
        let pb::ListChatsRequest { status, owner_operator, page_size, page_token } = request;
        let (status, owner) = (chats::status(status)?, chats::owner(&owner_operator)?);
        let limit = convert::page_size(page_size)?;
        let page = self.app.list_chats(caller, status, owner, limit, &page_token).await?;
        Ok(Response::new(chats::page(page)))
    }

    async fn delete_chat(
        &self,
        request: Request<pb::DeleteChatRequest>,
    ) -> Result<Response<pb::DeleteChatResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let (id, version) = (request.chat_id.parse()?, chats::version(request.version)?);
        let deleted = self.app.delete_chat(access::caller(&extensions)?, &id, version).await?;
        Ok(Response::new(chats::deleted(deleted)))
    }
}
