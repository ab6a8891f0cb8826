//! Whether the store of bytes that the configuration names answers us, lets us do what the service does, and is the one
//! that the database belongs to.
//!
//! Not here: files in the data folder (`machine.rs`).

use super::Finding;
use crate::{
    config::Config,
    server::blobs::{find_strangers, place},
};

/// The place, and what it says; then whether the database's bytes are there.
pub(super) async fn ask(config: &Config) -> Vec<Finding> {
    let store = ask_store(config).await;
    if store.level == super::Level::Fail {
        // What does not answer does not tell whose it is.
        return vec![store];
    }
    vec![store, ask_pair(config).await]
}

async fn ask_store(config: &Config) -> Finding {
    const CHECK: &str = "store";
    const NEXT: &str = "check blob_url, the section s3, and what the key is allowed to do";
    let place = match place(config) {
        Ok(None) => return Finding::ok(CHECK, format!("in the data folder, {}", config.data_dir.display())),
        Ok(Some(place)) => place,
        Err(error) => return Finding::fail(CHECK, error.to_string(), NEXT),
    };
    let shown = format!("{} at {}", config.blob_url, place.endpoint.as_deref().unwrap_or("AWS"));
    // The id first: a place that holds something else is not written to.
    let id = match place.store_id().await {
        Ok(id) => place.check().await.map(|()| id),
        Err(error) => Err(error),
    };
    match id {
        Ok(Some(id)) => Finding::ok(CHECK, format!("{shown} answers and allows what is needed, its id is {id}")),
        Ok(None) => Finding::ok(
            CHECK,
            format!("{shown} answers and allows what is needed; the first `lhfile serve` gives it its id"),
        ),
        Err(error) => Finding::fail(CHECK, format!("{shown}: {error}"), NEXT),
    }
}

async fn ask_pair(config: &Config) -> Finding {
    const CHECK: &str = "pair";
    const NEXT: &str = "until then `lhfile serve` does not start, so that nothing is served or removed by mistake";
    match find_strangers(config).await {
        Ok(None) => Finding::ok(CHECK, "nothing says that the database belongs to another store of bytes"),
        Ok(Some(why)) => Finding::fail(CHECK, why, NEXT),
        Err(error) => Finding::warn(CHECK, error.to_string(), "mend what does not answer, then ask again"),
    }
}
