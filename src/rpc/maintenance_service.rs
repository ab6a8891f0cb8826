//! `MaintenanceService`: each RPC is unpacked, becomes one call of the application, and is wrapped.
//!
//! Not here: messages (`convert/scanner.rs`, `convert/holds.rs`), the stream in (`upload_stream.rs`).

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::{
    access,
    convert::{self, holds, scanner},
    pb::{self, maintenance_service_server::MaintenanceService},
    upload_stream::open,
};
use crate::{
    app::App,
    domain::{HoldOn, Matter, Refusal},
};

/// The service.
pub struct Maintenance {
    app: Arc<App>,
}

impl Maintenance {
    /// Speaks for this application.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl MaintenanceService for Maintenance {
    async fn test_antivirus(
        &self,
        request: Request<Streaming<pb::TestAntivirusRequest>>,
    ) -> Result<Response<pb::TestAntivirusResponse>, Status> {
        let (options, source) = open(request.into_inner(), self.app.tasks()).await?;
        let pb::TestAntivirusOptions { explain } = options;
        let test = self.app.test_antivirus(explain, Box::new(source)).await?;
        Ok(Response::new(scanner::tested(test)))
    }

    async fn get_scanner_status(
        &self,
        _request: Request<pb::GetScannerStatusRequest>,
    ) -> Result<Response<pb::GetScannerStatusResponse>, Status> {
        Ok(Response::new(scanner::status(self.app.scanner_status().await)))
    }

    async fn put_hold(&self, request: Request<pb::PutHoldRequest>) -> Result<Response<pb::PutHoldResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let pb::PutHoldRequest { target, matter } = request;
        let (on, matter) = hold(target, &matter)?;
        let hold = self.app.put_hold(access::caller(&extensions)?, on, matter).await?;
        Ok(Response::new(pb::PutHoldResponse { hold: Some(holds::hold(hold)) }))
    }

    async fn delete_hold(
        &self,
        request: Request<pb::DeleteHoldRequest>,
    ) -> Result<Response<pb::DeleteHoldResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let pb::DeleteHoldRequest { target, matter } = request;
        let (on, matter) = hold(target, &matter)?;
        let lifted = self.app.lift_hold(access::caller(&extensions)?, on, matter).await?;
        Ok(Response::new(pb::DeleteHoldResponse { lifted }))
    }

    async fn list_holds(
        &self,
        request: Request<pb::ListHoldsRequest>,
    ) -> Result<Response<pb::ListHoldsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let pb::ListHoldsRequest { target, page_size, page_token } = request;
        let (on, limit) = (target.map(holds::target).transpose()?, convert::page_size(page_size)?);
        let page = self.app.list_holds(access::caller(&extensions)?, on, limit, &page_token).await?;
        Ok(Response::new(holds::page(page)))
    }
}

/// The hold that a request names.
fn hold(target: Option<pb::HoldTarget>, matter: &str) -> Result<(HoldOn, Matter), Refusal> {
    Ok((holds::target(target.unwrap_or_default())?, Matter::new(matter)?))
}
