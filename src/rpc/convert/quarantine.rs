//! Rescans, the quarantine and releases from it: what is asked in, what was found out.
//!
//! Not here: bounds of what is told (`domain/quarantine.rs`), what a rescan does (`app/rescan.rs`).

use super::{count, files::person, time, timestamp};
use crate::{
    app::{
        QuarantinePage, QuarantinedBlob, Release, ReleaseAsked, ReleaseOf, RescanAsked, RescanProgress, RescanResult,
        Rescanned,
    },
    domain::{Actor, FileId, Refusal, Verdict},
    rpc::pb::{self, release_quarantine_request, rescan_request},
};

/// What a request asks to be scanned again.
///
/// # Errors
/// `BAD_ARGUMENT`; `NOT_FOUND` for what cannot be an id.
pub fn asked(request: pb::RescanRequest) -> Result<RescanAsked, Refusal> {
    use rescan_request::What;
    let pb::RescanRequest { what, confirm_signature } = request;
    if !confirm_signature.is_empty() && !matches!(what, Some(What::All(true))) {
        let why = "confirm_signature is of a rescan of all: name all, and no file or chat";
        return Err(Refusal::argument("confirm_signature", why));
    }
    match what {
        Some(What::FileId(id)) => Ok(RescanAsked::File(id.parse()?)),
        Some(What::ChatId(id)) => Ok(RescanAsked::Chat(id.parse()?)),
        Some(What::All(true)) => Ok(RescanAsked::All { confirm_signature: named(confirm_signature) }),
        Some(What::All(false)) | None => {
            Err(Refusal::argument("what", "what must be file_id, chat_id or all: name one"))
        }
    }
}

/// A name that may be left out.
pub fn named(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// What was found, and how far the rescan of all is.
pub fn rescanned(rescanned: Rescanned) -> pb::RescanResponse {
    let Rescanned { files, progress } = rescanned;
    pb::RescanResponse { files: files.into_iter().map(file).collect(), progress: Some(self::progress(progress)) }
}

fn file((id, result): (FileId, RescanResult)) -> pb::RescannedFile {
    let (result, signature, cause) = match result {
        RescanResult::Clean => (pb::RescanResult::Clean, String::new(), String::new()),
        RescanResult::Quarantined { signature } => (pb::RescanResult::Quarantined, signature, String::new()),
        RescanResult::Unscannable { cause } => (pb::RescanResult::Unscannable, String::new(), cause),
        RescanResult::Released => (pb::RescanResult::Released, String::new(), String::new()),
        RescanResult::NotScanned => (pb::RescanResult::NotScanned, String::new(), String::new()),
        RescanResult::Corrupt => (pb::RescanResult::Corrupt, String::new(), String::new()),
    };
    pb::RescannedFile { file_id: id.to_string(), result: result.into(), signature, cause }
}

/// How far the rescan of all is.
pub fn progress(progress: RescanProgress) -> pb::RescanProgress {
    let RescanProgress {
        target_signatures,
        node,
        done_blobs,
        done_bytes,
        left_blobs,
        left_bytes,
        hits,
        budget_left_bytes,
        started_at,
        ended_at,
        braked,
    } = progress;
    let braked = braked.into_iter().map(|(signature, hits)| pb::BrakedSignature { signature, hit_count: count(hits) });
    pb::RescanProgress {
        target_signatures,
        node: node.unwrap_or_default(),
        done_count: count(done_blobs),
        done_bytes: count(done_bytes),
        left_count: count(left_blobs),
        left_bytes: count(left_bytes),
        hit_count: count(hits),
        budget_left_bytes: count(budget_left_bytes),
        start_time: started_at.map(timestamp),
        end_time: ended_at.map(timestamp),
        braked: braked.collect(),
    }
}

/// A page of what is in quarantine.
pub fn page(page: QuarantinePage) -> pb::ListQuarantineResponse {
    let QuarantinePage { blobs, next_token } = page;
    pb::ListQuarantineResponse { blobs: blobs.into_iter().map(blob).collect(), next_page_token: next_token }
}

fn blob(blob: QuarantinedBlob) -> pb::QuarantinedBlob {
    let QuarantinedBlob { sha256, size, signature, verdict, files, file_ids, quarantined_at } = blob;
    // Its kind is that it is here; when it was found is when it came here.
    let Verdict { kind: _, engine, signatures, at: _ } = verdict;
    pb::QuarantinedBlob {
        sha256: sha256.to_string(),
        size_bytes: count(size),
        signature,
        engine,
        signature_version: signatures,
        file_count: count(files),
        file_ids: file_ids.iter().map(ToString::to_string).collect(),
        quarantine_time: Some(timestamp(quarantined_at)),
    }
}

/// What a request asks to be released.
///
/// # Errors
/// `BAD_ARGUMENT`.
pub fn release_asked(request: pb::ReleaseQuarantineRequest) -> Result<ReleaseAsked, Refusal> {
    use release_quarantine_request::What;
    let pb::ReleaseQuarantineRequest { what, reason, expire_time } = request;
    let what = match what {
        Some(What::Sha256(hex)) => ReleaseOf::Blob(hex.parse()?),
        Some(What::Signature(name)) => ReleaseOf::Signature(name),
        None => return Err(Refusal::argument("what", "what must be sha256 or signature: name one")),
    };
    let until = expire_time.map(|sent| time("expire_time", sent)).transpose()?;
    Ok(ReleaseAsked { what, reason, until })
}

/// A release.
pub fn release(release: Release) -> pb::Release {
    let Release { number, sha256, signature, reason, by, at, until } = release;
    let Actor { person: creator, acting_service: _ } = by;
    pb::Release {
        number,
        sha256: sha256.map(|sha256| sha256.to_string()).unwrap_or_default(),
        signature,
        reason,
        creator: creator.as_ref().map(person),
        create_time: Some(timestamp(at)),
        expire_time: until.map(timestamp),
    }
}

/// A page of releases.
pub fn releases((releases, next_token): (Vec<Release>, String)) -> pb::ListReleasesResponse {
    pb::ListReleasesResponse { releases: releases.into_iter().map(release).collect(), next_page_token: next_token }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Reason;

    #[test]
    fn rescan_is_of_one_thing_and_only_that_of_all_confirms_a_signature() {
        use rescan_request::What;
        let of = |what, confirm: &str| asked(pb::RescanRequest { what, confirm_signature: confirm.to_owned() });
        let id = FileId([7; 16]);
        assert!(matches!(of(Some(What::FileId(id.to_string())), ""), Ok(RescanAsked::File(asked)) if asked == id));
        assert!(
            matches!(of(Some(What::ChatId("42".into())), ""), Ok(RescanAsked::Chat(chat)) if chat.to_string() == "42")
        );
        assert!(matches!(of(Some(What::All(true)), ""), Ok(RescanAsked::All { confirm_signature: None })));
        let confirmed = of(Some(What::All(true)), "Zip.Any");
        assert!(matches!(confirmed, Ok(RescanAsked::All { confirm_signature: Some(name) }) if name == "Zip.Any"));
        for (field, bad) in [
            ("what", of(None, "")),
            ("what", of(Some(What::All(false)), "")),
            ("confirm_signature", of(Some(What::ChatId("42".into())), "Zip.Any")),
            ("confirm_signature", of(None, "Zip.Any")),
        ] {
            let Err(refusal) = bad else { panic!("{field} is wrong") };
            assert_eq!((refusal.reason, refusal.get("field")), (Reason::BadArgument, Some(field)));
        }
        let Err(never) = of(Some(What::FileId("x".into())), "") else { panic!("no id") };
        assert_eq!(never.reason, Reason::NotFound);
    }

    #[test]
    fn release_is_of_bytes_or_of_a_signature_until_a_time_or_for_good() {
        use release_quarantine_request::What;
        let of = |what, seconds: Option<i64>| {
            let expire_time = seconds.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 });
            release_asked(pb::ReleaseQuarantineRequest { what, reason: "false alarm".to_owned(), expire_time })
        };
        let blob = of(Some(What::Sha256("0a".repeat(32))), None).expect("bytes");
        assert!(matches!(blob.what, ReleaseOf::Blob(sha256) if sha256.to_string() == "0a".repeat(32)));
        assert_eq!((blob.reason.as_str(), blob.until), ("false alarm", None));
        let signature = of(Some(What::Signature("Zip.Any".into())), Some(5)).expect("a signature");
        assert!(matches!(signature.what, ReleaseOf::Signature(name) if name == "Zip.Any"));
        assert_eq!(signature.until.map(crate::domain::Time::secs), Some(5));
        for bad in [
            of(None, None),
            of(Some(What::Sha256("xyz".into())), None),
            of(Some(What::Signature("Zip.Any".into())), Some(i64::MAX)),
        ] {
            let Err(refusal) = bad else { panic!("it is wrong") };
            assert_eq!(refusal.reason, Reason::BadArgument);
        }
    }
}
