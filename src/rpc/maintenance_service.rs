//! `MaintenanceService`: each RPC is unpacked, becomes one call of the application, and is wrapped.
//!
//! Not here: messages (`convert/scanner.rs`, `convert/holds.rs`, `convert/runs.rs`), the stream in (`upload_stream.rs`) and
//! those out (`run_stream.rs`, `consistency_stream.rs`).

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    access,
    consistency_stream::{self, Telling},
    convert::{self, consistency, holds, quarantine, runs, scanner, stats},
    pb::{self, maintenance_service_server::MaintenanceService},
    run_stream::{self, RunStream},
    upload_stream::open,
};
use crate::{
    app::App,
    domain::{HoldOn, Matter, Refusal},
};

/// The service.
pub struct Maintenance {
    app: Arc<App>,
    leaving: CancellationToken,
}

impl Maintenance {
    /// Speaks for this application. `leaving`: cancelled, nobody watches a run here any more.
    pub const fn new(app: Arc<App>, leaving: CancellationToken) -> Self {
        Self { app, leaving }
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
        // Of the scanner it tells without a database, too.
        let rescan = self.app.rescan_progress().await.ok();
        Ok(Response::new(scanner::status(self.app.scanner_status().await, rescan)))
    }

    async fn rescan(&self, request: Request<pb::RescanRequest>) -> Result<Response<pb::RescanResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let rescanned = self.app.rescan(access::caller(&extensions)?, quarantine::asked(request)?).await?;
        Ok(Response::new(quarantine::rescanned(rescanned)))
    }

    async fn list_quarantine(
        &self,
        request: Request<pb::ListQuarantineRequest>,
    ) -> Result<Response<pb::ListQuarantineResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let pb::ListQuarantineRequest { signature, page_size, page_token } = request;
        let (signature, limit) = (quarantine::named(signature), convert::page_size(page_size)?);
        let page = self.app.list_quarantine(access::caller(&extensions)?, signature, limit, &page_token).await?;
        Ok(Response::new(quarantine::page(page)))
    }

    async fn release_quarantine(
        &self,
        request: Request<pb::ReleaseQuarantineRequest>,
    ) -> Result<Response<pb::ReleaseQuarantineResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let asked = quarantine::release_asked(request)?;
        let (release, blobs) = self.app.release_quarantine(access::caller(&extensions)?, asked).await?;
        let (release, blob_count) = (Some(quarantine::release(release)), convert::count(blobs));
        Ok(Response::new(pb::ReleaseQuarantineResponse { release, blob_count }))
    }

    async fn list_releases(
        &self,
        request: Request<pb::ListReleasesRequest>,
    ) -> Result<Response<pb::ListReleasesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let pb::ListReleasesRequest { page_size, page_token } = request;
        let limit = convert::page_size(page_size)?;
        let page = self.app.list_releases(access::caller(&extensions)?, limit, &page_token).await?;
        Ok(Response::new(quarantine::releases(page)))
    }

    async fn end_release(
        &self,
        request: Request<pb::EndReleaseRequest>,
    ) -> Result<Response<pb::EndReleaseResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let release = self.app.end_release(access::caller(&extensions)?, request.number).await?;
        Ok(Response::new(pb::EndReleaseResponse { release: Some(quarantine::release(release)) }))
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

    async fn plan_maintenance(
        &self,
        request: Request<pb::PlanMaintenanceRequest>,
    ) -> Result<Response<pb::PlanMaintenanceResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let rule = request.rule.map(runs::proposed);
        let plan = self.app.plan_maintenance(access::caller(&extensions)?, rule).await?;
        Ok(Response::new(pb::PlanMaintenanceResponse { plan: Some(runs::plan(plan)) }))
    }

    async fn get_plan(&self, request: Request<pb::GetPlanRequest>) -> Result<Response<pb::GetPlanResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let pb::GetPlanRequest { plan_id, page_size, page_token } = request;
        let (id, limit) = (plan_id.parse()?, convert::page_size(page_size)?);
        let page = self.app.get_plan(access::caller(&extensions)?, id, limit, &page_token).await?;
        Ok(Response::new(runs::plan_page(page)))
    }

    type RunMaintenanceStream = RunStream;

    async fn run_maintenance(
        &self,
        request: Request<pb::RunMaintenanceRequest>,
    ) -> Result<Response<Self::RunMaintenanceStream>, Status> {
        let (_, extensions, request) = request.into_parts();
        let run = self.app.run_maintenance(access::caller(&extensions)?, runs::asked(request)?).await?;
        Ok(Response::new(run_stream::watch(Arc::clone(&self.app), run, self.leaving.clone())))
    }

    async fn cancel_run(
        &self,
        request: Request<pb::CancelRunRequest>,
    ) -> Result<Response<pb::CancelRunResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let run = self.app.cancel_run(access::caller(&extensions)?, request.run_id.parse()?).await?;
        Ok(Response::new(pb::CancelRunResponse { run: Some(runs::run(&run)) }))
    }

    async fn get_run(&self, request: Request<pb::GetRunRequest>) -> Result<Response<pb::GetRunResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let run = self.app.get_run(access::caller(&extensions)?, request.run_id.parse()?).await?;
        Ok(Response::new(pb::GetRunResponse { run: Some(runs::run(&run)) }))
    }

    async fn list_runs(&self, request: Request<pb::ListRunsRequest>) -> Result<Response<pb::ListRunsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let pb::ListRunsRequest { page_size, page_token } = request;
        let limit = convert::page_size(page_size)?;
        let page = self.app.list_runs(access::caller(&extensions)?, limit, &page_token).await?;
        Ok(Response::new(runs::run_page(page)))
    }

    type CheckConsistencyStream = Telling<pb::CheckConsistencyResponse>;

    async fn check_consistency(
        &self,
        request: Request<pb::CheckConsistencyRequest>,
    ) -> Result<Response<Self::CheckConsistencyStream>, Status> {
        let (_, extensions, request) = request.into_parts();
        let told = self.app.check_consistency(access::caller(&extensions)?, consistency::asked(request)?).await?;
        Ok(Response::new(consistency_stream::tell(told, consistency::check_told, self.leaving.clone())))
    }

    type RepairConsistencyStream = Telling<pb::RepairConsistencyResponse>;

    async fn repair_consistency(
        &self,
        request: Request<pb::RepairConsistencyRequest>,
    ) -> Result<Response<Self::RepairConsistencyStream>, Status> {
        let (_, extensions, request) = request.into_parts();
        let (id, kinds) = (request.check_id.parse()?, consistency::kinds(&request.kinds)?);
        let told = self.app.repair_consistency(access::caller(&extensions)?, id, kinds).await?;
        Ok(Response::new(consistency_stream::tell(told, consistency::repair_told, self.leaving.clone())))
    }

    async fn explain_file(
        &self,
        request: Request<pb::ExplainFileRequest>,
    ) -> Result<Response<pb::ExplainFileResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let explained = self.app.explain_file(access::caller(&extensions)?, request.file_id.parse()?).await?;
        Ok(Response::new(runs::explained(explained)))
    }

    async fn get_stats(&self, request: Request<pb::GetStatsRequest>) -> Result<Response<pb::GetStatsResponse>, Status> {
        let counted = self.app.get_stats(access::caller(request.extensions())?).await?;
        Ok(Response::new(stats::stats(&counted)))
    }
}

/// The hold that a request names.
fn hold(target: Option<pb::HoldTarget>, matter: &str) -> Result<(HoldOn, Matter), Refusal> {
    Ok((holds::target(target.unwrap_or_default())?, Matter::new(matter)?))
}
