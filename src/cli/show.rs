//! `lhfile show FILE`: one file's row, by id or message code.
//!
//! Not here: the bytes (`download.rs`).

use clap::Args;

use super::{Context, failure::Failure, output};
use crate::rpc::pb::{self, get_file_request::By};

/// Which file.
#[derive(Debug, Args)]
pub struct Show {
    /// The file's id, or its message code, e.g. '[file=4294967296_…]'
    #[arg(value_name = "FILE")]
    file: String,
}

impl Show {
    /// Prints the row.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let by = if self.file.starts_with('[') { By::MessageCode(self.file) } else { By::FileId(self.file) };
        let request = pb::GetFileRequest { by: Some(by) };
        let answer = context.connection.files().await?.get_file(request).await?.into_inner();
        output::one(context.json, "File", &output::expected(answer.file)?, output::file_facts)
    }
}
