//! A check followed to its end: gone on with by its place where the connection ends before it, as it does when it grows too
//! old or its node starts again.
//!
//! What was told after the last known place is told again, and therefore shown only once the next place is known. Not here:
//! what is shown (`telling.rs`).

use tonic::Streaming;

use super::{progress::Progress, telling::Report};
use crate::{
    cli::{
        Context,
        client::Authorized,
        failure::Failure,
        output::{self, short},
        patience::Patience,
    },
    rpc::pb::{self, check_consistency_response::Told, maintenance_service_client::MaintenanceServiceClient},
};

pub(super) type Client = MaintenanceServiceClient<Authorized>;

/// Runs one, reading so many bytes (-1: all), and hands on what it finds, also where it does not come to its end.
///
/// # Errors
/// The server refuses, or is out of reach for too long, or its store or database.
pub(super) async fn check(
    context: &Context,
    client: &mut Client,
    hash_bytes: i64,
    report: &mut Report,
) -> Result<pb::CheckSummary, Failure> {
    let progress = Progress::new(context.json);
    let mut place =
        Place { request: pb::CheckConsistencyRequest { hash_bytes, ..Default::default() }, since: Vec::new() };
    let (mut patience, mut stream) = (Patience::default(), None);
    let summary = loop {
        match next(client, &mut stream, &place.request).await {
            Ok(Told::Finding(finding)) => place.since.push(finding),
            Ok(Told::Progress(told)) => {
                if place.advance(&told) {
                    patience.heard();
                }
                progress.suspend(|| place.since.drain(..).try_for_each(|finding| report.add(&finding)))?;
                progress.tell(|| line(&told));
            }
            Ok(Told::Summary(summary)) => break summary,
            Err(failure) => {
                if let Err(failure) = patience.wait_after(failure).await {
                    progress.clear();
                    place.since.drain(..).try_for_each(|finding| report.add(&finding))?;
                    return Err(failure);
                }
                stream = None;
                place.since.clear();
            }
        }
    };
    progress.clear();
    place.since.drain(..).try_for_each(|finding| report.add(&finding))?;
    Ok(summary)
}

/// How far it is.
struct Place {
    /// Goes on after the last place that was told.
    request: pb::CheckConsistencyRequest,
    /// What was told after it.
    since: Vec<pb::Finding>,
}

impl Place {
    /// Whether this is a new one.
    fn advance(&mut self, told: &pb::CheckProgress) -> bool {
        let new = self.request.after != told.after;
        self.request.check_id.clone_from(&told.check_id);
        self.request.after.clone_from(&told.after);
        new
    }
}

async fn next(
    client: &mut Client,
    stream: &mut Option<Streaming<pb::CheckConsistencyResponse>>,
    request: &pb::CheckConsistencyRequest,
) -> Result<Told, Failure> {
    let messages = match stream {
        Some(messages) => messages,
        None => stream.insert(client.check_consistency(request.clone()).await?.into_inner()),
    };
    match messages.message().await? {
        Some(message) => output::expected(message.told),
        None => Err(Failure::Unreachable("the check ended before its end".to_owned())),
    }
}

fn line(told: &pb::CheckProgress) -> String {
    let phase = short(told.phase().as_str_name(), "CHECK_PHASE_");
    let Some(counts) = &told.counts else { return phase };
    let found: i64 = counts.found.iter().map(|found| found.count).sum();
    let read = output::size(counts.hashed_bytes);
    format!(
        "{phase}: {} blobs, {read} read, {} things in the store, {found} found",
        counts.blob_count, counts.stored_count
    )
}
