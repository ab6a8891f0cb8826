//! All services of one listener, with their limits: ours, health, reflection in both versions.
//!
//! Not here: the layers around them (`request_id.rs`, `access.rs`) and the listener itself (the server).

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::server::HealthReporter;
use tonic_reflection::server::{Builder, Error};

use super::{
    DESCRIPTOR_SET,
    access_service::Access,
    chat_service::Chats,
    config_service::Config,
    file_service::Files,
    maintenance_service::Maintenance,
    minting::Minting,
    pb::{
        access_service_server::AccessServiceServer, chat_service_server::ChatServiceServer,
        config_service_server::ConfigServiceServer, file_service_server::FileServiceServer,
        maintenance_service_server::MaintenanceServiceServer,
    },
    upload_stream::{MAX_MESSAGE_BYTES, TakeBody},
};
use crate::app::App;

/// The services of this application. `reporter` is what [`super::health::follow`] tells; `minting` makes tokens.
/// `leaving`, cancelled, ends the calls that would last as long as what they watch.
///
/// # Errors
/// The descriptor sets do not fit together: a fault of the build.
pub fn routes(
    app: &Arc<App>,
    reporter: HealthReporter,
    minting: Minting,
    leaving: CancellationToken,
) -> Result<Routes, Error> {
    let mut routes = with_reflection()?;
    let health = tonic_health::server::HealthService::from_health_reporter(reporter);
    let files = FileServiceServer::new(Files::new(Arc::clone(app))).max_decoding_message_size(MAX_MESSAGE_BYTES);
    routes
        .add_service(tonic_health::pb::health_server::HealthServer::new(health).max_decoding_message_size(4 << 10))
        .add_service(TakeBody(files))
        .add_service(ChatServiceServer::new(Chats::new(Arc::clone(app))).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(
            AccessServiceServer::new(Access::new(Arc::clone(app), minting))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            ConfigServiceServer::new(Config::new(Arc::clone(app))).max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            MaintenanceServiceServer::new(Maintenance::new(Arc::clone(app), leaving))
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        );
    Ok(routes.routes())
}

/// v1 for buf, v1alpha for grpcurl and Python; with health and the error details, so that clients can read refusals.
fn with_reflection() -> Result<RoutesBuilder, Error> {
    let known = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let mut routes = Routes::builder();
    routes.add_service(known().build_v1()?).add_service(known().build_v1alpha()?);
    Ok(routes)
}

#[cfg(test)]
mod tests;
