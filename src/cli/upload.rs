//! `lhfile upload FILE…`: one stream for each file: header, chunks of 256 KiB with their checksums, commit with size
//! and SHA-256.
//!
//! Not here: the reading of a file piece by piece (`upload/pieces.rs`).

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Context, arguments::Origin, client::Authorized, failure::Failure, output};
use crate::rpc::pb::{
    self, UploadHeader, file_service_client::FileServiceClient, upload_file_request::Part, upload_header::Target,
};

pub(super) mod pieces;
use pieces::{Broken, Pieces};

/// Which files, where to.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("target").required(true)))]
pub struct Upload {
    /// The files; `-` is standard input, which needs --name
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// To this chat
    #[arg(long, group = "target", value_name = "ID")]
    chat: Option<String>,
    /// To the library, for no chat
    #[arg(long, group = "target")]
    library: bool,
    /// For this online visitor, with or without a chat
    #[arg(long, group = "target", value_name = "ID")]
    visitor_id: Option<String>,
    /// Where it comes from, which decides how it ages; services only
    #[arg(long, value_enum, ignore_case = true)]
    origin: Option<Origin>,
    /// The name for people, instead of the file's own; with one file only
    #[arg(long)]
    name: Option<String>,
    /// Whether maintenance's rule spares it [default: true for the library, else false]
    #[arg(long, value_name = "true|false")]
    persistent: Option<bool>,
    /// Makes the upload repeatable: the same id gets the same file, for 24 h; with one file only
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// The chat message that carries it
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
}

impl Upload {
    /// Prints the row of each file as it is stored; stops at the first that is not.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.files.len() > 1 && (self.name.is_some() || self.request_id.is_some()) {
            return Err(Failure::Usage("--name and --request-id go with one file only".to_owned()));
        }
        // A bad name is known before a connection is made.
        let headers: Vec<_> = self.files.iter().map(|path| self.header(path)).collect::<Result<_, _>>()?;
        let mut files = context.connection.files().await?;
        for (path, header) in self.files.iter().zip(headers) {
            let file = send(&mut files, path, header, context.json).await.map_err(|failure| match failure {
                // Which of several it was.
                Failure::Failed(why) => Failure::Failed(format!("{}: {why}", path.display())),
                other => other,
            })?;
            output::one(context.json, "File", &file, output::file_facts)?;
        }
        Ok(())
    }

    fn header(&self, path: &Path) -> Result<UploadHeader, Failure> {
        let own = path.file_name().and_then(|name| name.to_str()).filter(|_| path != Path::new("-"));
        let display_name = self.name.as_deref().or(own).ok_or_else(|| {
            Failure::Usage(format!("{}: its name cannot be known, give one by --name", path.display()))
        })?;
        let target = match (&self.chat, &self.visitor_id) {
            (Some(chat), _) => Target::ChatId(chat.clone()),
            (None, Some(visitor)) => Target::VisitorId(visitor.clone()),
            (None, None) => Target::Library(true),
        };
        Ok(UploadHeader {
            display_name: display_name.to_owned(),
            target: Some(target),
            persistent: self.persistent,
            request_id: self.request_id.clone().unwrap_or_default(),
            message_id: self.message_id.clone().unwrap_or_default(),
            origin: self.origin.map(Into::into),
            ..UploadHeader::default()
        })
    }
}

async fn send(
    files: &mut FileServiceClient<Authorized>,
    path: &Path,
    mut header: UploadHeader,
    json: bool,
) -> Result<pb::File, Failure> {
    let (source, size) = pieces::open(path).await.map_err(Failure::failed("cannot be read"))?;
    header.size_bytes = size.and_then(|size| i64::try_from(size).ok());
    let bar = bar(size, &header.display_name, json);
    let broken = Arc::new(Broken::default());
    let wrap = |part| pb::UploadFileRequest { part: Some(part) };
    let stream = Pieces::new(source, Arc::clone(&broken), bar.clone()).stream(Part::Header(header), wrap);
    let answer = files.upload_file(stream).await;
    bar.finish_and_clear();
    // A file that broke while it was read ends the stream without a commit: that is the cause, not what was said to it.
    if let Some(error) = broken.take() {
        return Err(Failure::Failed(format!("cannot be read: {error}")));
    }
    output::expected(answer?.into_inner().file)
}

/// On a terminal only, and not for programs.
pub(super) fn bar(size: Option<u64>, name: &str, json: bool) -> ProgressBar {
    let shown = !json && std::io::stderr().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(size, target);
    let template = "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {msg}";
    bar.set_style(ProgressStyle::with_template(template).expect("the template is well-formed"));
    bar.set_prefix(output::printable(name));
    if shown {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}
