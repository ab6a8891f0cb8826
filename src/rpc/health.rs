//! The standard health service: the process, its parts and our services, as the application sees them.
//!
//! Not here: looking (`app/health.rs`). Names: `` (the process), `uploads`, `scanner`, `database`, `blobs`, and each
//! service of `lhfile.v1`. A scanner that is down stops uploads, not the process.

use tokio::sync::watch;
use tonic_health::{ServingStatus, server::HealthReporter};

use super::methods::MethodTable;
use crate::app::Health;

/// What the health service tells of each name.
fn board(health: Health, services: &[String]) -> Vec<(String, bool)> {
    let Health { uploads, scanner, database, blobs } = health;
    let mut board = vec![
        (String::new(), database && blobs),
        ("uploads".to_owned(), uploads),
        ("scanner".to_owned(), scanner),
        ("database".to_owned(), database),
        ("blobs".to_owned(), blobs),
    ];
    board.extend(services.iter().map(|name| {
        let serves = match name.as_str() {
            "lhfile.v1.FileService" => database && blobs,
            _ => database,
        };
        (name.clone(), serves)
    }));
    board
}

/// Our services, by full name.
fn services(table: &MethodTable) -> Vec<String> {
    let mut names: Vec<_> =
        table.iter().filter_map(|(path, _)| Some(path.strip_prefix('/')?.split_once('/')?.0.to_owned())).collect();
    names.sort_unstable();
    names.dedup();
    names
}

async fn tell(reporter: &HealthReporter, board: Vec<(String, bool)>) {
    for (name, serves) in board {
        let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status(name, status).await;
    }
}

/// Tells what the application sees, as it changes, until that ends. At the node's end see [`retire`].
pub async fn follow(mut health: watch::Receiver<Health>, reporter: HealthReporter, table: &MethodTable) {
    let services = services(table);
    loop {
        let now = *health.borrow_and_update();
        tell(&reporter, board(now, &services)).await;
        if health.changed().await.is_err() {
            return;
        }
    }
}

/// Tells that nothing is served any more, and ends the calls that watch: the first step of an orderly end, which waits
/// for every call that runs.
pub async fn retire(reporter: &HealthReporter, table: &MethodTable) {
    let names = board(Health::default(), &services(table));
    tell(reporter, names.clone()).await;
    let mut reporter = reporter.clone();
    for (name, _) in names {
        reporter.clear_service_status(&name).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Health = Health { uploads: true, scanner: true, database: true, blobs: true };

    fn serving(health: Health) -> Vec<String> {
        let services = services(&MethodTable::read().expect("a table"));
        board(health, &services).into_iter().filter_map(|(name, serves)| serves.then_some(name)).collect()
    }

    #[test]
    fn all_names_serve_when_all_is_well_and_none_before_the_first_look() {
        let ours = ["AccessService", "ChatService", "ConfigService", "FileService", "MaintenanceService"]
            .map(|s| format!("lhfile.v1.{s}"));
        let mut all = ["", "uploads", "scanner", "database", "blobs"].map(str::to_owned).to_vec();
        all.extend(ours);
        assert_eq!(serving(WELL), all);
        assert!(serving(Health::default()).is_empty());
    }

    #[test]
    fn a_scanner_that_is_down_stops_uploads_and_not_the_process() {
        let names = serving(Health { scanner: false, uploads: false, ..WELL });
        assert!(names.contains(&String::new()) && names.contains(&"lhfile.v1.FileService".to_owned()));
        assert!(!names.contains(&"scanner".to_owned()) && !names.contains(&"uploads".to_owned()));
    }

    #[test]
    fn without_a_database_nothing_of_ours_serves() {
        assert_eq!(serving(Health { database: false, uploads: false, ..WELL }), ["scanner", "blobs"]);
    }
}
