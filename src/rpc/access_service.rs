//! `AccessService`: each RPC is unpacked, becomes one call of the application (or of the keys that sign), and is wrapped.
//!
//! Not here: messages (`convert/access.rs`), what may be lent (`domain/lending.rs`), the making of tokens (`minting.rs`).

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    access, act_as,
    convert::{self, access as messages},
    minting::Minting,
    pb::{self, access_service_server::AccessService},
};
use crate::{
    app::App,
    domain::{Refusal, lending},
};

/// The service.
pub struct Access {
    app: Arc<App>,
    minting: Minting,
}

impl Access {
    /// Speaks for this application; its tokens are made by `minting`.
    pub const fn new(app: Arc<App>, minting: Minting) -> Self {
        Self { app, minting }
    }
}

#[tonic::async_trait]
impl AccessService for Access {
    async fn mint_token(
        &self,
        request: Request<pb::MintTokenRequest>,
    ) -> Result<Response<pb::MintTokenResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let pb::MintTokenRequest { person, ttl } = request;
        let person = person.ok_or_else(|| Refusal::argument("person", "person must be given"))?;
        let person = lending::lend(access::caller(&extensions)?, act_as::asked("person", person)?)?;
        let ttl = ttl.map(|ttl| convert::seconds("ttl", ttl)).transpose()?;
        let (token, end) = self.minting.token(&person, ttl, access::credential_end(&extensions))?;
        Ok(Response::new(pb::MintTokenResponse { token, expire_time: Some(convert::timestamp(end)) }))
    }

    async fn create_key(
        &self,
        request: Request<pb::CreateKeyRequest>,
    ) -> Result<Response<pb::CreateKeyResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let messages::Wanted { asked, label, ttl } = messages::wanted(request)?;
        let (secret, key) = self.app.create_key(access::caller(&extensions)?, asked, label, ttl).await?;
        Ok(Response::new(pb::CreateKeyResponse { secret: secret.reveal(), key: Some(messages::key(key)) }))
    }

    async fn list_keys(&self, request: Request<pb::ListKeysRequest>) -> Result<Response<pb::ListKeysResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let pb::ListKeysRequest { show_ended, page_size, page_token } = request;
        let limit = convert::page_size(page_size)?;
        let page = self.app.list_keys(access::caller(&extensions)?, show_ended, limit, &page_token).await?;
        Ok(Response::new(messages::page(page)))
    }

    async fn retire_key(
        &self,
        request: Request<pb::RetireKeyRequest>,
    ) -> Result<Response<pb::RetireKeyResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let key = self.app.retire_key(access::caller(&extensions)?, request.key_id.parse()?).await?;
        Ok(Response::new(pb::RetireKeyResponse { key: Some(messages::key(key)) }))
    }
}
