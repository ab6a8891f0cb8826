//! `lhfile download`: the bytes of a file, or a range of them, into a file or to standard output. A file appears under
//! its name only when all its bytes are there, are right, and are on the disk.
//!
//! Not here: the partial file (`download/partial.rs`).

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;
use sha2::{Digest as _, Sha256};

use super::{Context, failure::Failure, output, upload};
use crate::rpc::pb::{self, download_file_request::By, download_file_response::Part};

mod partial;
use partial::Partial;

/// Which file, where to.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub struct Download {
    /// The file
    #[arg(group = "which")]
    file_id: Option<String>,
    /// A link of `lhfile link`; needs no token
    // One in 64 begins with a dash.
    #[arg(long, group = "which", allow_hyphen_values = true)]
    link: Option<String>,
    /// Where to; `-` is standard output [default: the file's name, here, if there is none such]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// First byte
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    offset: i64,
    /// Most bytes; 0 is all
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    limit: i64,
}

impl Download {
    /// Downloads, then prints the header (JSON) or where it went.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let by = match (self.file_id, self.link) {
            (_, Some(link)) => By::Link(link),
            (file_id, None) => By::FileId(file_id.unwrap_or_default()),
        };
        let request = pb::DownloadFileRequest { by: Some(by), offset: self.offset, limit: self.limit, inline: false };
        let mut stream = context.connection.files().await?.download_file(request).await?.into_inner();
        let Some(Part::Header(header)) = stream.message().await?.and_then(|message| message.part) else {
            return output::expected(None);
        };
        let mut sink = Sink::open(self.output, &header)?;
        let name = header.file.as_ref().map_or("", |file| &file.display_name);
        let bar = upload::bar(u64::try_from(header.length).ok(), name, context.json);
        let mut check = Check::new(&header);
        while let Some(message) = stream.message().await? {
            let Some(Part::Chunk(chunk)) = message.part else { return output::expected(None) };
            check.add(&chunk)?;
            sink.write(&chunk.data)?;
            bar.inc(chunk.data.len() as u64);
        }
        bar.finish_and_clear();
        check.end()?;
        match sink.finish()? {
            None => Ok(()),
            Some(path) => output::one(context.json, "DownloadHeader", header.as_ref(), |header| {
                format!("{} ({})", path.display(), output::size(header.length))
            }),
        }
    }
}

/// Where the bytes go.
enum Sink {
    Stdout,
    File(Partial),
}

impl Sink {
    fn open(path: Option<PathBuf>, header: &pb::DownloadHeader) -> Result<Self, Failure> {
        let partial = match path {
            Some(path) if path == Path::new("-") => return Ok(Self::Stdout),
            Some(path) => Partial::create(path, true),
            None => Partial::create(own_name(header)?, false),
        };
        partial.map(Self::File).map_err(Failure::failed("cannot be written"))
    }

    fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Stdout => std::io::stdout().write_all(data).map_err(Failure::failed("standard output")),
            Self::File(partial) => partial.write(data).map_err(Failure::failed("cannot be written")),
        }
    }

    /// The file's final name, if it is a file.
    fn finish(self) -> Result<Option<PathBuf>, Failure> {
        match self {
            Self::Stdout => std::io::stdout().flush().map_err(Failure::failed("standard output")).map(|()| None),
            Self::File(partial) => partial.finish().map(Some).map_err(Failure::failed("cannot be written")),
        }
    }
}

/// The file's own name in the current folder: never a path, whatever the server says.
fn own_name(header: &pb::DownloadHeader) -> Result<PathBuf, Failure> {
    let name = header.file.as_ref().map_or("", |file| &file.display_name);
    let plain = Path::new(name).file_name().filter(|last| *last == name && !name.starts_with('.'));
    plain.map(PathBuf::from).ok_or_else(|| Failure::Usage("say where to: -o PATH".to_owned()))
}

/// Length, checksums and, of a whole file, the SHA-256.
struct Check {
    hash: Option<(Sha256, String)>,
    left: i64,
}

impl Check {
    fn new(header: &pb::DownloadHeader) -> Self {
        let whole = header.offset == 0 && header.length == header.total_bytes;
        let sha256 = header.file.as_ref().map(|file| file.sha256.clone()).filter(|hex| whole && !hex.is_empty());
        Self { hash: sha256.map(|hex| (Sha256::new(), hex)), left: header.length }
    }

    fn add(&mut self, chunk: &pb::DownloadChunk) -> Result<(), Failure> {
        if crc_fast::crc32_iscsi(&chunk.data) != chunk.crc32c {
            return Err(Failure::Failed("a checksum does not match the bytes received: try again".to_owned()));
        }
        self.left -= i64::try_from(chunk.data.len()).unwrap_or(i64::MAX);
        if let Some((hash, _)) = &mut self.hash {
            hash.update(&chunk.data);
        }
        Ok(())
    }

    fn end(self) -> Result<(), Failure> {
        if self.left != 0 {
            return Err(Failure::Failed("not all bytes came, or too many: try again".to_owned()));
        }
        if let Some((hash, sha256)) = self.hash
            && data_encoding::HEXLOWER.encode(&hash.finalize()) != sha256
        {
            return Err(Failure::Failed("the SHA-256 does not match the bytes received: try again".to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, bytes: &[u8], total: i64) -> pb::DownloadHeader {
        let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(bytes));
        let file = pb::File { display_name: name.to_owned(), sha256, ..pb::File::default() };
        pb::DownloadHeader { file: Some(file), total_bytes: total, length: bytes.len() as i64, ..Default::default() }
    }

    fn outcome(header: &pb::DownloadHeader, chunks: &[(&'static [u8], u32)]) -> Result<(), Failure> {
        let mut check = Check::new(header);
        for (data, crc32c) in chunks {
            check.add(&pb::DownloadChunk { data: bytes::Bytes::from_static(data), crc32c: *crc32c })?;
        }
        check.end()
    }

    #[test]
    fn bytes_that_are_missing_too_many_or_wrong_fail_the_download() {
        let crc = crc_fast::crc32_iscsi;
        let whole = header("a", b"abcd", 4);
        outcome(&whole, &[(b"ab", crc(b"ab")), (b"cd", crc(b"cd"))]).expect("right");
        outcome(&whole, &[(b"ab", crc(b"ab"))]).expect_err("missing");
        outcome(&whole, &[(b"abcd", crc(b"abcd")), (b"e", crc(b"e"))]).expect_err("too many");
        outcome(&whole, &[(b"abcd", 1)]).expect_err("checksum");
        outcome(&whole, &[(b"abcx", crc(b"abcx"))]).expect_err("SHA-256");
        outcome(&header("a", b"zz", 9), &[(b"ab", crc(b"ab"))]).expect("a range has no SHA-256");
    }

    #[test]
    fn only_a_plain_name_is_taken_from_the_server() {
        assert_eq!(own_name(&header("a b.pdf", b"", 0)).expect("plain"), Path::new("a b.pdf"));
        for bad in ["", "..", "../a", "/etc/passwd", "a/", ".bashrc"] {
            own_name(&header(bad, b"", 0)).expect_err(bad);
        }
    }
}
