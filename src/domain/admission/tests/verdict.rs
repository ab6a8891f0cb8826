//! Tests from the last byte on: what arrived, what it is, what the verdict means, the chat judged again; and the
//! options. Not here: what is judged before the first byte (the parent module).

use super::*;

const SHA: Sha256 = Sha256([7; 32]);

fn received(size: u64) -> Received {
    Received { size, sha256: SHA, commit_size: None, commit_sha256: None }
}

fn accepted(caller: &Caller, name: &str, observed: Observed, settings: &Settings) -> Accepted {
    accept(admitted(caller, to_chat(name), settings), received(MIB), observed).expect("accepted")
}

#[test]
fn what_was_declared_must_hold_in_the_order_size_content_hash() {
    let other = Sha256([8; 32]);
    // declared size and hash, commit's size and hash, bytes arrived
    let table = [
        (None, None, None, None, 5, None),
        (Some(5), Some(SHA), Some(5), Some(SHA), 5, None),
        (Some(4), None, None, None, 5, Some(Reason::SizeMismatch)),
        (None, None, Some(6), None, 5, Some(Reason::SizeMismatch)),
        (Some(5), None, Some(6), None, 5, Some(Reason::SizeMismatch)),
        (None, Some(other), None, None, 5, Some(Reason::ChecksumMismatch)),
        (None, None, None, Some(other), 5, Some(Reason::ChecksumMismatch)),
        (Some(4), Some(other), None, None, 5, Some(Reason::SizeMismatch)),
        (None, None, None, None, 0, Some(Reason::Empty)),
        (Some(1), None, None, None, 0, Some(Reason::SizeMismatch)),
        (None, Some(other), Some(0), None, 0, Some(Reason::Empty)),
    ];
    for (size, sha256, commit_size, commit_sha256, arrived, expected) in table {
        let declared = Declared { size, sha256, ..to_chat("a.pdf") };
        let admitted = admitted(&visitor(), declared, &Settings::default());
        let received = Received { size: arrived, sha256: SHA, commit_size, commit_sha256 };
        assert_eq!(reason(complete(admitted.declared(), &received)), expected, "{size:?} {commit_size:?} {arrived}");
        let observed = Observed::plain(Format::Pdf);
        assert_eq!(reason(accept(admitted, received, observed)), expected, "accept asks the same");
    }
}

#[test]
fn a_size_mismatch_tells_both_sizes() {
    let admitted = admitted(&visitor(), to_chat("a.pdf"), &Settings::default());
    let refusal = complete(admitted.declared(), &received(5)).expect_err("1 MiB was declared");
    assert_eq!((refusal.get("declared_bytes"), refusal.get("received_bytes")), (Some("1048576"), Some("5")));
}

#[test]
fn content_that_is_not_what_the_name_says_is_a_type_mismatch_before_anything_about_pixels() {
    let settings = Settings::default();
    let flood = Some((100_000, 100_000));
    for (name, observed, expected) in [
        ("a.pdf", Observed::plain(Format::Pdf), None),
        ("a.pdf", Observed::plain(Format::Png), Some(Reason::TypeMismatch)),
        ("a.docx", Observed::plain(Format::Zip), Some(Reason::TypeMismatch)),
        ("a.png", Observed { pixels: flood, ..Observed::plain(Format::Jpeg) }, Some(Reason::TypeMismatch)),
        ("a.png", Observed { pixels: flood, ..Observed::plain(Format::Png) }, Some(Reason::ImageTooLarge)),
    ] {
        let admitted = admitted(&visitor(), to_chat(name), &settings);
        assert_eq!(reason(accept(admitted, received(MIB), observed)), expected, "{name}");
    }
}

#[test]
fn an_image_at_the_pixel_limit_passes_and_one_over_is_refused() {
    let limit = u32::try_from(MAX_PIXELS).expect("it fits");
    for (pixels, ok) in [((limit, 1), true), ((1, limit + 1), false), ((u32::MAX, u32::MAX), false), ((0, 0), true)] {
        let admitted = admitted(&visitor(), to_chat("a.png"), &Settings::default());
        let observed = Observed { pixels: Some(pixels), ..Observed::plain(Format::Png) };
        match accept(admitted, received(MIB), observed) {
            Ok(_) => assert!(ok, "{pixels:?}"),
            Err(refusal) => {
                assert!(!ok, "{pixels:?}");
                assert_eq!((refusal.reason, refusal.get("limit_pixels")), (Reason::ImageTooLarge, Some("100000000")));
            }
        }
    }
}

fn found() -> Finding {
    Finding::Found { signature: "Win.Test.EICAR_HDB-1".into(), made: None }
}

fn unscannable() -> Finding {
    Finding::Unscannable { cause: "limits exceeded".into() }
}

#[test]
fn the_verdict_means_what_the_settings_say() {
    use VerdictKind::{Clean, NotScanned, UnscannableAccepted};
    let refuse = Settings::default();
    let take = Settings { antivirus_unscannable: AntivirusUnscannable::Accept, ..refuse.clone() };
    let (infected, not_judged) = (Err(Reason::Infected), Err(Reason::Unscannable));
    // finding, archive in trouble | under REFUSE, under ACCEPT
    let table = [
        (Finding::Clean, false, Ok(Clean), Ok(Clean)),
        (Finding::Clean, true, not_judged, Ok(UnscannableAccepted)),
        (unscannable(), false, not_judged, Ok(UnscannableAccepted)),
        (unscannable(), true, not_judged, Ok(UnscannableAccepted)),
        // Under ACCEPT it is scanned all the same, and a hit is refused.
        (found(), false, infected, infected),
        (found(), true, infected, infected),
        // Nobody looked though somebody should have: never stored.
        (Finding::NotDue, false, Err(Reason::ScannerDown), Err(Reason::ScannerDown)),
    ];
    for (finding, trouble, under_refuse, under_accept) in table {
        for (settings, expected) in [(&refuse, under_refuse), (&take, under_accept)] {
            let archive = trouble.then_some(ArchiveTrouble::Encrypted);
            let observed = Observed { archive, ..Observed::plain(Format::Docx) };
            let accepted = accepted(&visitor(), "a.docx", observed, settings);
            assert!(accepted.scan_due());
            let doomed = trouble && settings.antivirus_unscannable == AntivirusUnscannable::Refuse;
            let found = matches!(find_without_scan(&accepted, settings), Some(Finding::Unscannable { .. }));
            assert_eq!(found, doomed);
            let result = clear(accepted, finding.clone(), settings).map(|c| c.verdict).map_err(|r| r.reason);
            assert_eq!(result, expected, "{finding:?} {trouble} {:?}", settings.antivirus_unscannable);
        }
    }
    let off = Settings { antivirus_enabled: false, ..refuse };
    for archive in [None, Some(ArchiveTrouble::Encrypted)] {
        let accepted = accepted(&visitor(), "a.docx", Observed { archive, ..Observed::plain(Format::Docx) }, &off);
        let found = find_without_scan(&accepted, &off);
        assert_eq!(found, Some(Finding::NotDue), "what is wrong with an archive counts where a scan is due");
        assert_eq!(clear(accepted, Finding::NotDue, &off).map(|c| c.verdict), Ok(NotScanned));
    }
}

#[test]
fn a_refusal_by_verdict_names_its_signature_or_cause() {
    let settings = Settings::default();
    let plain = || accepted(&visitor(), "a.pdf", Observed::plain(Format::Pdf), &settings);
    let refusal = clear(plain(), found(), &settings).expect_err("infected");
    assert_eq!(refusal.get("signature"), Some("Win.Test.EICAR_HDB-1"));
    let refusal = clear(plain(), unscannable(), &settings).expect_err("unscannable");
    assert_eq!(refusal.get("cause"), Some("limits exceeded"));
    let bomb = Observed { archive: Some(ArchiveTrouble::UnpacksTooLarge), ..Observed::plain(Format::Docx) };
    let refusal = clear(accepted(&visitor(), "a.docx", bomb, &settings), Finding::Clean, &settings).expect_err("bomb");
    assert_eq!(refusal.get("cause"), Some(ArchiveTrouble::UnpacksTooLarge.cause()));
}

#[test]
fn what_is_cleared_is_served_by_our_media_type_never_the_declared_one() {
    let declared = Declared { content_type: "text/html".into(), persistent: Some(true), ..to_chat("Photo.PNG") };
    let settings = Settings::default();
    let observed = Observed { pixels: Some((3, 4)), ..Observed::plain(Format::Png) };
    let admitted = admitted(&operator(), declared, &settings);
    let cleared = accept(admitted, received(MIB), observed).and_then(|a| clear(a, Finding::Clean, &settings));
    let cleared = cleared.expect("clean");
    assert_eq!(
        (cleared.media_type, cleared.extension.as_str(), cleared.name.as_str()),
        ("image/png", "png", "Photo.PNG")
    );
    assert_eq!((cleared.pixels, cleared.persistent, cleared.received), (Some((3, 4)), true, received(MIB)));
}

#[test]
fn at_the_commit_a_deleted_chat_takes_nothing_and_a_closed_one_visitors_only_within_the_grace() {
    use CallerKind::{Operator, Service, Visitor};
    // Closed at second 1000.
    let (open, closed) = (chat(ChatStatus::Active), chat(ChatStatus::Closed));
    let deleted = Chat { deleted: true, ..open.clone() };
    let at = Time::from_secs;
    for kind in [Visitor, Operator, Service] {
        assert_eq!(judge_again(kind, Some(&open), 0, at(9999)), Ok(()));
        assert_eq!(judge_again(kind, Some(&deleted), 600, at(0)), Err(Refusal::not_found()));
        assert_eq!(judge_again(kind, None, 600, at(0)), Err(Refusal::not_found()));
        assert_eq!(judge_again(kind, Some(&closed), 600, at(1599)), Ok(()));
        let late = (kind == Visitor).then_some(Reason::ChatClosed);
        assert_eq!(reason(judge_again(kind, Some(&closed), 600, at(1600))), late);
        assert_eq!(reason(judge_again(kind, Some(&closed), 0, at(1000))), late);
    }
}

fn told(caller: &Caller, chat: Option<&Chat>, settings: &Settings, healthy: bool) -> Result<UploadOptions, Reason> {
    options(caller, &to_chat("").target, chat, settings, healthy).map_err(|r| r.reason)
}

#[test]
fn options_tell_this_callers_list_limit_and_hints() {
    let settings = Settings {
        bot_extensions: vec!["mp3".into()],
        max_file_bytes: 1000,
        one_file_at_a_time: true,
        voice_visitor: true,
        voice_max_seconds: 12,
        ..Settings::default()
    };
    let bot = chat(ChatStatus::Bot);
    let visitors = told(&visitor(), Some(&bot), &settings, true).expect("told");
    let expected = UploadOptions {
        extensions: vec!["mp3".into()],
        max_file_bytes: 1000,
        one_file_at_a_time: true,
        voice: true,
        voice_max_seconds: 12,
        reasons: Vec::new(),
    };
    assert_eq!(visitors, expected);
    for caller in [operator(), service()] {
        let told = told(&caller, Some(&bot), &settings, true).expect("told");
        assert_eq!((told.extensions, told.voice), (settings.operator_extensions.clone(), false), "{caller:?}");
    }
}

#[test]
fn options_tell_every_reason_why_nothing_may_be_uploaded() {
    use Reason::{ChatClosed, MissingPermission, ReadOnly, ScannerDown, UploadsDisabled};
    let fine = Settings::default();
    let read_only = Settings { read_only: true, ..fine.clone() };
    let off = Settings { visitor_upload_enabled: false, operator_upload_enabled: false, ..read_only.clone() };
    let (open, closed) = (chat(ChatStatus::Active), chat(ChatStatus::Closed));
    let table = [
        (visitor(), &closed, &fine, true, vec![ChatClosed]),
        (visitor(), &closed, &read_only, false, vec![ChatClosed, ReadOnly, ScannerDown]),
        (visitor(), &open, &off, true, vec![UploadsDisabled, ReadOnly]),
        (operator(), &open, &off, false, vec![UploadsDisabled, ReadOnly, ScannerDown]),
        (caller("operator:17", &[]), &open, &fine, true, vec![MissingPermission]),
        (service(), &closed, &fine, false, vec![ScannerDown]),
    ];
    for (caller, chat, settings, healthy, reasons) in table {
        let told = told(&caller, Some(chat), settings, healthy).expect("told");
        assert_eq!((told.reasons, told.extensions), (reasons, Vec::new()), "{caller:?}");
    }
}

#[test]
fn options_of_a_chat_that_is_not_there_are_refused_like_an_upload() {
    let settings = Settings::default();
    assert_eq!(told(&visitor(), None, &settings, true), Err(Reason::NotFound));
    assert_eq!(told(&service(), None, &settings, true), Err(Reason::ChatUnknown));
    let stranger = Caller { chats: ChatSet::none(), ..operator() };
    assert_eq!(told(&stranger, Some(&chat(ChatStatus::Active)), &settings, true), Err(Reason::NotFound));
}
