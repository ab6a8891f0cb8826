//! A journal compared with the server: acknowledged uploads are there with the same bytes, deleted files are not.
//!
//! Not here: what the journal says (`journal.rs`).

use std::{
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicI64, Ordering::Relaxed},
};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    Bytes,
    journal::{Expected, Journal, Promise},
    progress::Progress,
};
use crate::{
    cli::{Context, client::Authorized, failure::Failure, output, patience::Patience},
    domain::FileId,
    rpc::pb::{
        self, download_file_request, download_file_response::Part, file_service_client::FileServiceClient,
        get_file_request,
    },
};

/// Files that are asked for at once.
const AT_A_TIME: usize = 8;

/// What is not as the journal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It was acknowledged, and is not there.
    Lost,
    /// It is there with other bytes.
    Altered,
    /// Its row is right, and its bytes cannot be read.
    Unreadable,
    /// It was deleted, and is there.
    Undeleted,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Lost, Self::Altered, Self::Unreadable, Self::Undeleted];

    const fn name(self) -> &'static str {
        match self {
            Self::Lost => "LOST",
            Self::Altered => "ALTERED",
            Self::Unreadable => "UNREADABLE",
            Self::Undeleted => "UNDELETED",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Lost => "its upload was answered OK, and nobody deleted it here: this caller is not shown it",
            Self::Altered => "it has another SHA-256 or size than its upload was answered with",
            Self::Unreadable => "its row is there, and its bytes are missing or wrong: restore them from a backup",
            Self::Undeleted => "it was deleted, and is there: somebody restored it, or the journal lacks a line",
        }
    }
}

/// What was counted.
#[derive(Debug, Default)]
struct Counts {
    there: u64,
    deleted: u64,
    hashed: u64,
    found: [u64; 4],
}

/// Compares all of it, and prints what is not so.
///
/// # Errors
/// The journal cannot be read; the server refuses, or is out of reach for too long.
pub(super) async fn compare(context: &Context, path: &Path, bytes: Bytes) -> Result<ExitCode, Failure> {
    let unreadable = || Failure::failed(format!("{} cannot be read", path.display()));
    let journal = Journal::open(path).map_err(unreadable())?;
    let files = context.connection.files().await?;
    let asker = Asker { files, left: AtomicI64::new(bytes.as_request()), unbounded: bytes == Bytes::All };
    let told = |line: u64, kind: &str, file: &str, why: &str| {
        output::line(&if context.json {
            json!({"kind": kind, "line": line, "file_id": file, "message": why}).to_string()
        } else {
            let file = if file.is_empty() { String::new() } else { format!("{file}: ") };
            format!("{kind}  line {line}: {file}{why}")
        })
    };
    for bad in &journal.bad.0 {
        told(bad.line, "BAD_LINE", "", bad.why)?;
    }
    let progress = Progress::new(context.json);
    let mut counts = Counts::default();
    for part in 0..journal.parts() {
        let expected = journal.part(part).map_err(unreadable())?;
        let mut answers = stream::iter(&expected).map(|expected| asker.ask(expected)).buffered(AT_A_TIME);
        for expected in &expected {
            let Some(answer) = answers.next().await else { break };
            let answer = answer?;
            counts.hashed += u64::from(answer.hashed);
            match &expected.promise {
                Some(_) => counts.there += 1,
                None => counts.deleted += 1,
            }
            if let Some(kind) = answer.found {
                counts.found[kind as usize] += 1;
                progress.suspend(|| told(expected.line, kind.name(), &expected.file.to_string(), kind.meaning()))?;
            }
            progress.tell(|| format!("{} files compared", counts.there + counts.deleted));
        }
    }
    progress.clear();
    let bad = journal.bad.1;
    output::line(&counts.summary(bad, context.json))?;
    let clean = bad == 0 && counts.found.iter().all(|count| *count == 0);
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

impl Counts {
    fn summary(&self, bad: u64, as_json: bool) -> String {
        let Self { there, deleted, hashed, found } = self;
        if as_json {
            let mut summary = json!({
                "uploaded_count": there, "deleted_count": deleted, "hashed_count": hashed, "bad_line_count": bad
            });
            for (kind, count) in Kind::ALL.iter().zip(found) {
                summary[format!("{}_count", kind.name().to_lowercase())] = Value::from(*count);
            }
            return summary.to_string();
        }
        let kinds = Kind::ALL.iter().zip(found).filter(|(_, count)| **count > 0);
        let mut wrong: Vec<_> = kinds.map(|(kind, count)| format!("{count} {}", kind.name())).collect();
        if bad > 0 {
            wrong.push(format!("{bad} BAD_LINE"));
        }
        let verdict = if wrong.is_empty() { "all as the journal says".to_owned() } else { wrong.join(", ") };
        format!("{there} uploaded files, {hashed} of them read; {deleted} deleted ones: {verdict}")
    }
}

/// What came of one file.
struct Answer {
    found: Option<Kind>,
    hashed: bool,
}

/// Who asks for them.
struct Asker {
    files: FileServiceClient<Authorized>,
    /// Bytes that may still be read.
    left: AtomicI64,
    unbounded: bool,
}

impl Asker {
    async fn ask(&self, expected: &Expected) -> Result<Answer, Failure> {
        let mut patience = Patience::default();
        loop {
            match self.try_ask(expected).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => patience.wait_after(failure).await?,
            }
        }
    }

    async fn try_ask(&self, expected: &Expected) -> Result<Answer, Failure> {
        let Expected { file, promise, line: _ } = expected;
        let row = self.row(*file).await?;
        let found = |kind| Ok(Answer { found: Some(kind), hashed: false });
        let (row, promise) = match (row, promise) {
            (None, None) => return Ok(Answer { found: None, hashed: false }),
            (Some(_), None) => return found(Kind::Undeleted),
            (None, Some(_)) => return found(Kind::Lost),
            (Some(row), Some(promise)) => (row, promise),
        };
        let same = u64::try_from(row.size_bytes) == Ok(promise.size)
            && row.sha256 == data_encoding::HEXLOWER.encode(&promise.sha256);
        if !same {
            return found(Kind::Altered);
        }
        if !self.may_read(promise.size) {
            return Ok(Answer { found: None, hashed: false });
        }
        Ok(Answer { found: self.read(*file, promise).await?, hashed: true })
    }

    fn may_read(&self, size: u64) -> bool {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        self.unbounded
            || self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(size).filter(|l| *l >= 0)).is_ok()
    }

    /// The row, if this caller is shown it.
    async fn row(&self, file: FileId) -> Result<Option<pb::File>, Failure> {
        let by = Some(get_file_request::By::FileId(file.to_string()));
        match self.files.clone().get_file(pb::GetFileRequest { by }).await.map_err(Failure::from) {
            Ok(answer) => output::expected(answer.into_inner().file).map(Some),
            Err(failure) if failure.reason() == Some("NOT_FOUND") => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// What is wrong with the bytes.
    async fn read(&self, file: FileId, promise: &Promise) -> Result<Option<Kind>, Failure> {
        match self.hash(file).await {
            Ok(sha256) if sha256 == promise.sha256 => Ok(None),
            Ok(_) => Ok(Some(Kind::Unreadable)),
            Err(failure) if failure.reason() == Some("CORRUPT") => Ok(Some(Kind::Unreadable)),
            Err(failure) if failure.reason() == Some("NOT_FOUND") => Ok(Some(Kind::Lost)),
            Err(failure) => Err(failure),
        }
    }

    async fn hash(&self, file: FileId) -> Result<[u8; 32], Failure> {
        let by = Some(download_file_request::By::FileId(file.to_string()));
        let request = pb::DownloadFileRequest { by, offset: 0, limit: 0, inline: false };
        let mut stream = self.files.clone().download_file(request).await?.into_inner();
        let mut hash = Sha256::new();
        while let Some(message) = stream.message().await? {
            if let Some(Part::Chunk(chunk)) = message.part {
                hash.update(&chunk.data);
            }
        }
        Ok(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_under_their_own_names() {
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at, "{}", kind.name());
        }
        let counts = Counts { there: 5, deleted: 2, hashed: 4, found: [1, 0, 2, 0] };
        let told: Value = serde_json::from_str(&counts.summary(3, true)).expect("an object");
        assert_eq!((&told["lost_count"], &told["unreadable_count"]), (&json!(1), &json!(2)));
        assert_eq!((&told["altered_count"], &told["bad_line_count"]), (&json!(0), &json!(3)));
        let line = counts.summary(0, false);
        assert_eq!(line, "5 uploaded files, 4 of them read; 2 deleted ones: 1 LOST, 2 UNREADABLE");
        assert!(Counts::default().summary(0, false).ends_with("all as the journal says"));
    }
}
