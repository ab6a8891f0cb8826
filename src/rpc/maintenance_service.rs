//! `MaintenanceService`: each RPC is unpacked, becomes one call of the application, and is wrapped.
//!
//! Not here: messages (`convert/scanner.rs`), the stream in (`upload_stream.rs`).

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::{
    convert::scanner,
    pb::{self, maintenance_service_server::MaintenanceService},
    upload_stream::open,
};
use crate::app::App;

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
}
