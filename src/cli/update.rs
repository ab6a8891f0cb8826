//! `lhfile update FILE_ID`: renames a file, or sets whether maintenance spares it.
//!
//! Not here: attaching (`attach.rs`) and deleting (`rm.rs`).

use clap::Args;
use prost_types::FieldMask;

use super::{Context, failure::Failure, output};
use crate::rpc::pb;

/// Which file, and what of it.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true)))]
pub struct Update {
    /// The file
    file_id: String,
    /// The new name
    #[arg(long, group = "change")]
    name: Option<String>,
    /// Whether maintenance's rule spares it
    #[arg(long, group = "change", value_name = "true|false")]
    persistent: Option<bool>,
    /// Only if its etag is still this one
    #[arg(long)]
    etag: Option<String>,
}

impl Update {
    /// Prints the row, after.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let request = self.request();
        let answer = context.connection.files().await?.update_file(request).await?.into_inner();
        output::one(context.json, "File", &output::expected(answer.file)?, output::file_facts)
    }

    fn request(self) -> pb::UpdateFileRequest {
        let named = [("display_name", self.name.is_some()), ("persistent", self.persistent.is_some())];
        let paths = named.iter().filter(|(_, given)| *given).map(|(path, _)| (*path).to_owned()).collect();
        pb::UpdateFileRequest {
            file_id: self.file_id,
            display_name: self.name.unwrap_or_default(),
            persistent: self.persistent.unwrap_or_default(),
            update_mask: Some(FieldMask { paths }),
            etag: self.etag,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_given_is_changed() {
        let update = Update { file_id: "f".into(), name: None, persistent: Some(false), etag: None };
        assert_eq!(update.request().update_mask.expect("a mask").paths, ["persistent"]);
    }
}
