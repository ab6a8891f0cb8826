//! `lhfile link FILE_ID`: a link that lets whoever holds it download the file for a while.
//!
//! Not here: the download by a link (`download.rs`).

use std::time::Duration;

use clap::Args;

use super::{Context, arguments, failure::Failure, output};
use crate::rpc::pb;

/// To which file, for how long.
#[derive(Debug, Args)]
pub struct Link {
    /// The file
    file_id: String,
    /// How long it lives: 90s, 5m; at most, and if not given, the setting link_ttl_seconds
    #[arg(long, value_parser = arguments::duration)]
    ttl: Option<Duration>,
    /// The link asks for `inline`, which images get
    #[arg(long)]
    inline: bool,
}

impl Link {
    /// Prints the link.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let ttl = self
            .ttl
            .map(|ttl| prost_types::Duration { seconds: i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX), nanos: 0 });
        let request = pb::CreateDownloadLinkRequest { file_id: self.file_id, ttl, inline: self.inline };
        let answer = context.connection.files().await?.create_download_link(request).await?.into_inner();
        output::one(context.json, "CreateDownloadLinkResponse", &answer, |answer| answer.link.clone())
    }
}
