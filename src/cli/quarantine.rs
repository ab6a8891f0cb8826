//! `lhfile quarantine ls|release|releases|end`: what was found infected, and what is let out again.
//!
//! Not here: looking for it (`scanner.rs`), and what a release does (the server decides).

use clap::{Args, Subcommand};

use super::{Context, arguments, failure::Failure, output, pages};
use crate::rpc::pb::{self, release_quarantine_request::What};

/// What to do with the quarantine.
#[derive(Debug, Subcommand)]
pub enum Quarantine {
    /// List what was found infected, what was stored last first
    Ls(Ls),
    /// Serve it again: the alarm was false
    Release(Release),
    /// List releases, the newest first, those too that have ended
    Releases(Releases),
    /// End a release: what it let out is looked at again
    End(End),
}

/// Which of it.
#[derive(Debug, Args)]
pub struct Ls {
    /// What this signature hit
    #[arg(long, value_name = "NAME")]
    signature: Option<String>,
    /// Most contents
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// What to release.
#[derive(Debug, Args)]
pub struct Release {
    #[command(flatten)]
    what: Released,
    /// Why, for those who come later
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Until when, e.g. 2026-12-24T00:00:00Z; for good, if it is not given
    #[arg(long, value_name = "TIME", value_parser = arguments::time)]
    until: Option<prost_types::Timestamp>,
}

/// One of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Released {
    /// The bytes with this SHA-256, with all files that have them
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// All that this signature hits, now or later
    #[arg(long, value_name = "NAME")]
    signature: Option<String>,
}

/// Which releases.
#[derive(Debug, Args)]
pub struct Releases {
    /// Most releases
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Which release.
#[derive(Debug, Args)]
pub struct End {
    /// Its number
    #[arg(value_name = "NUMBER")]
    number: i64,
}

impl Quarantine {
    /// Does it and prints what is in quarantine, the release, or all.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut maintenance = context.connection.maintenance().await?;
        match self {
            Quarantine::Ls(Ls { signature, limit }) => {
                let signature = signature.unwrap_or_default();
                let (found, more) = pages::rows(limit, async |page_size, page_token| {
                    let request = pb::ListQuarantineRequest { signature: signature.clone(), page_size, page_token };
                    let page = maintenance.list_quarantine(request).await?.into_inner();
                    Ok((page.blobs, page.next_page_token))
                })
                .await?;
                if context.json {
                    return found.iter().try_for_each(|blob| output::line(&output::json("QuarantinedBlob", blob)));
                }
                output::line(&output::table(&BLOBS, found.iter().map(|one| blob(one).to_vec())))?;
                if !found.is_empty() {
                    eprintln!("{WAYS_OUT}");
                }
                tell_of_more(more);
                Ok(())
            }
            Quarantine::Release(Release { what: Released { sha256, signature }, reason, until }) => {
                let what = sha256.map(What::Sha256).or(signature.map(What::Signature));
                let request = pb::ReleaseQuarantineRequest { what, reason, expire_time: until };
                let answer = maintenance.release_quarantine(request).await?.into_inner();
                output::one(context.json, "ReleaseQuarantineResponse", &answer, |answer| {
                    let release = answer.release.clone().unwrap_or_default();
                    format!(
                        "release {} of {}: {} served again",
                        release.number,
                        of(&release),
                        counted(answer.blob_count)
                    )
                })
            }
            Quarantine::Releases(Releases { limit }) => {
                let (found, more) = pages::rows(limit, async |page_size, page_token| {
                    let request = pb::ListReleasesRequest { page_size, page_token };
                    let page = maintenance.list_releases(request).await?.into_inner();
                    Ok((page.releases, page.next_page_token))
                })
                .await?;
                if context.json {
                    return found.iter().try_for_each(|release| output::line(&output::json("Release", release)));
                }
                output::line(&output::table(&RELEASES, found.iter().map(|one| release(one).to_vec())))?;
                tell_of_more(more);
                Ok(())
            }
            Quarantine::End(End { number }) => {
                let answer = maintenance.end_release(pb::EndReleaseRequest { number }).await?.into_inner();
                output::one(context.json, "Release", &output::expected(answer.release)?, |release| {
                    format!("release {} of {} counts no more", release.number, of(release))
                })
            }
        }
    }
}

fn tell_of_more(more: bool) {
    if more {
        eprintln!("there are more: --limit N");
    }
}

/// Beside the table, as what else people are told of it.
const WAYS_OUT: &str = "a false alarm: `lhfile quarantine release --sha256 SHA256 --reason TEXT`; to be gone for good: `lhfile purge FILE_ID…`, `lhfile rm` finds none of these";

const BLOBS: [&str; 6] = ["SHA256", "SIZE", "SIGNATURE", "FILES", "SINCE", "FILE_IDS"];

fn blob(blob: &pb::QuarantinedBlob) -> [String; 6] {
    let more = usize::try_from(blob.file_count).is_ok_and(|count| count > blob.file_ids.len());
    [
        blob.sha256.clone(),
        output::size(blob.size_bytes),
        blob.signature.clone(),
        blob.file_count.to_string(),
        output::time(blob.quarantine_time.as_ref()),
        blob.file_ids.join(" ") + if more { " …" } else { "" },
    ]
}

const RELEASES: [&str; 6] = ["NUMBER", "OF", "REASON", "BY", "SINCE", "UNTIL"];

fn release(release: &pb::Release) -> [String; 6] {
    [
        release.number.to_string(),
        of(release),
        release.reason.clone(),
        output::person(release.creator.as_ref()),
        output::time(release.create_time.as_ref()),
        output::time(release.expire_time.as_ref()),
    ]
}

/// What it is about.
fn of(release: &pb::Release) -> String {
    let signature = output::printable(&release.signature);
    if release.sha256.is_empty() { signature } else { format!("{} ({signature})", output::printable(&release.sha256)) }
}

fn counted(contents: i64) -> String {
    if contents == 1 { "1 content is".to_owned() } else { format!("{contents} contents are") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_what_a_release_is_about_and_that_there_are_more_files() {
        let of_bytes = pb::Release { sha256: "0a".repeat(32), signature: "Zip.Any".into(), ..Default::default() };
        assert_eq!(of(&of_bytes), format!("{} (Zip.Any)", "0a".repeat(32)));
        let of_all = pb::Release { signature: "Zip.\u{1b}Any".into(), ..Default::default() };
        assert_eq!(of(&of_all), "Zip.\u{fffd}Any");
        let found = pb::QuarantinedBlob { file_count: 3, file_ids: vec!["a".into(), "b".into()], ..Default::default() };
        assert_eq!(blob(&found)[5], "a b …");
        assert_eq!((counted(1).as_str(), counted(0).as_str()), ("1 content is", "0 contents are"));
    }
}
