//! Whether the object store that the configuration names answers us.
//!
//! Not here: files in the data folder (`machine.rs`), and whether the database belongs to that store, which the server
//! refuses to start without.

use super::Finding;
use crate::{config::Config, server::blobs::place};

/// The place, and what it says.
pub(super) async fn ask(config: &Config) -> Finding {
    const CHECK: &str = "store";
    const NEXT: &str = "check blob_url, the section s3, and what the key is allowed to do";
    let place = match place(config) {
        Ok(None) => return Finding::ok(CHECK, format!("in the data folder, {}", config.data_dir.display())),
        Ok(Some(place)) => place,
        Err(error) => return Finding::fail(CHECK, error.to_string(), NEXT),
    };
    let shown = format!("{} at {}", config.blob_url, place.endpoint.as_deref().unwrap_or("AWS"));
    match place.store_id().await {
        Ok(Some(id)) => Finding::ok(CHECK, format!("{shown} answers, its id is {id}")),
        Ok(None) => Finding::ok(CHECK, format!("{shown} answers; the first `lhfile serve` gives it its id")),
        Err(error) => Finding::fail(CHECK, format!("{shown}: {error}"), NEXT),
    }
}
