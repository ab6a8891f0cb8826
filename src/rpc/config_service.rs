//! `ConfigService`: each RPC is unpacked, becomes one call of the application, and is wrapped.
//!
//! Not here: messages (`convert/settings.rs`), the table of settings (`domain/settings.rs`).

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    access,
    convert::settings,
    pb::{self, config_service_server::ConfigService},
};
use crate::app::App;

/// The service.
pub struct Config {
    app: Arc<App>,
}

impl Config {
    /// Speaks for this application.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl ConfigService for Config {
    async fn get_settings(
        &self,
        _request: Request<pb::GetSettingsRequest>,
    ) -> Result<Response<pb::GetSettingsResponse>, Status> {
        Ok(Response::new(settings::stored(&self.app.get_settings().await?)))
    }

    async fn update_settings(
        &self,
        request: Request<pb::UpdateSettingsRequest>,
    ) -> Result<Response<pb::UpdateSettingsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let etag = request.etag.clone();
        let changes = settings::changes(request)?;
        let after = self.app.update_settings(access::caller(&extensions)?, changes, etag).await?;
        Ok(Response::new(settings::updated(&after)))
    }

    async fn describe_settings(
        &self,
        _request: Request<pb::DescribeSettingsRequest>,
    ) -> Result<Response<pb::DescribeSettingsResponse>, Status> {
        Ok(Response::new(settings::descriptions()))
    }
}
