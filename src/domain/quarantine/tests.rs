//! Which blobs a rescan scans, in which order, and where it stops.
//!
//! Not here: the walk itself (`app/tests/rescan.rs`).

use super::*;
use crate::domain::{
    BlobKey,
    settings::{AntivirusScope, SignatureNames},
};

fn candidate(state: BlobState, kind: VerdictKind, signatures: &str) -> Candidate {
    let verdict = Verdict { kind, engine: "e".into(), signatures: signatures.into(), at: Time(0) };
    let blob = Blob { id: 1, key: BlobKey([0; 16]), sha256: Sha256([0; 32]), size: 1, state, verdict };
    Candidate { blob, signature: None, released: false, of_visitor: false, created_at: Time(0) }
}

fn target(signatures: &str, day: Option<i64>) -> Target {
    let made = day.map(|day| Time::from_secs(day * 86_400));
    Target { engine: "e".into(), signatures: signatures.into(), made }
}

fn rule() -> RescanRule {
    RescanRule::of(&Settings::default()).expect("it is on")
}

fn phases_of(candidate: &Candidate, rule: &RescanRule) -> Vec<Phase> {
    let target = target("2", Some(2));
    Phase::ALL.iter().copied().filter(|phase| is_due(*phase, candidate, &target, rule)).collect()
}

#[test]
fn each_blob_is_due_in_one_phase_before_the_walk_of_new_ones() {
    use {BlobState::*, VerdictKind::*};
    let rule = rule();
    for (candidate, phase) in [
        (candidate(Quarantined, Infected, "1"), Some(Phase::Quarantined)),
        (candidate(Active, NotScanned, ""), Some(Phase::NotScanned)),
        (candidate(Active, Released, "2"), Some(Phase::Released)),
        (Candidate { released: true, ..candidate(Active, Released, "1") }, Some(Phase::Rest)),
        (candidate(Active, Clean, "1"), Some(Phase::Rest)),
        (candidate(Active, UnscannableAccepted, "1"), Some(Phase::Rest)),
        (candidate(Active, Clean, "2"), None),
        (candidate(Quarantined, Infected, "2"), None),
        (Candidate { released: true, ..candidate(Active, Released, "2") }, None),
        (candidate(Purging, Clean, "1"), None),
    ] {
        // What came into quarantine since its own phase is met once more.
        let again = phase.filter(|phase| *phase == Phase::Quarantined).map(|_| Phase::Rest);
        let expected: Vec<_> = phase.into_iter().chain(again).chain(phase.map(|_| Phase::New)).collect();
        assert_eq!(phases_of(&candidate, &rule), expected, "{candidate:?}");
    }
}

#[test]
fn what_no_visitor_uploaded_is_left_where_visitors_alone_are_scanned() {
    let settings = Settings { antivirus_scope: AntivirusScope::Visitors, ..Settings::default() };
    let rule = RescanRule::of(&settings).expect("it is on");
    let theirs = candidate(BlobState::Active, VerdictKind::NotScanned, "");
    assert_eq!(phases_of(&theirs, &rule), []);
    assert_eq!(phases_of(&Candidate { of_visitor: true, ..theirs }, &rule), [Phase::NotScanned, Phase::New]);
    assert!(RescanRule::of(&Settings { antivirus_enabled: false, ..Settings::default() }).is_none());
}

#[test]
fn a_signature_that_is_ignored_by_now_is_looked_at_again_and_stays_released() {
    let settings = Settings { ignored_signatures: SignatureNames(vec!["Bad".into()]), ..Settings::default() };
    let (plain, rule) = (rule(), RescanRule::of(&settings).expect("it is on"));
    assert_ne!(plain.text(), rule.text());
    let named = |state, kind| Candidate { signature: Some("Bad".into()), ..candidate(state, kind, "2") };
    let hit = named(BlobState::Quarantined, VerdictKind::Infected);
    assert_eq!((phases_of(&hit, &plain).len(), phases_of(&hit, &rule)[0]), (0, Phase::Quarantined));
    let released = named(BlobState::Active, VerdictKind::Released);
    assert_eq!((phases_of(&released, &plain)[0], phases_of(&released, &rule).len()), (Phase::Released, 0));
}

#[test]
fn signatures_are_newer_by_their_time_then_by_their_name() {
    assert!(target("1", Some(2)).is_newer_than(&target("9", Some(1))));
    assert!(target("2", Some(1)).is_newer_than(&target("1", Some(1))));
    assert!(target("1", Some(1)).is_newer_than(&target("9", None)));
    assert!(target("1", None).is_newer_than(&Target::default()), "anything is newer than none");
    assert!(!target("1", Some(1)).is_newer_than(&target("1", Some(1))));
    assert!(target("1", Some(2)).is_later_than(target("2", Some(1)).made));
    assert!(
        !target("2", Some(2)).is_later_than(target("1", Some(2)).made) && !target("2", Some(2)).is_later_than(None)
    );
}

#[test]
fn a_set_without_an_order_takes_over_on_its_own_node_or_where_the_rescan_is_left() {
    let (known, older) = (target("5", Some(5)), target("9", Some(4)));
    let takes = |offered: &Target, node: &str, is_left| {
        offered.takes_over(node, &Holder { target: &known, node: "own", is_left })
    };
    for (offered, elsewhere, own, left) in [
        (target("1", Some(6)), true, true, true),
        (target("6", Some(5)), true, true, true),
        (target("4", Some(5)), false, true, true),
        (target("6", None), false, true, true),
        (older, false, false, false),
        (known.clone(), false, false, false),
    ] {
        let found = [takes(&offered, "other", false), takes(&offered, "own", false), takes(&offered, "other", true)];
        assert_eq!(found, [elsewhere, own, left], "{offered:?}");
    }
}

#[test]
fn a_rule_tells_from_its_text_what_it_ignores() {
    let names = SignatureNames(vec!["B".into(), "A".into()]);
    let rule = RescanRule::of(&Settings { ignored_signatures: names, ..Settings::default() }).expect("it is on");
    assert_eq!(RescanRule::ignored_in(&rule.text()).collect::<Vec<_>>(), ["A", "B"]);
    let none = [self::rule().text(), String::new()].map(|text| RescanRule::ignored_in(&text).count());
    assert_eq!(none, [0, 0]);
}

#[test]
fn a_signature_is_stopped_above_ten_and_above_a_thousandth() {
    assert_eq!([0, 10_000, 10_999, 11_000, 1_000_000].map(brake), [10, 10, 10, 11, 1_000]);
}

#[test]
fn budget_counts_for_an_hour_and_its_first_blob_always_passes() {
    let at = |secs: i64| Time::from_secs(10_000 + secs);
    let first = Spent::default().spend(500, 100, at(0)).expect("the first passes");
    assert_eq!(first, Spent { since: at(0), bytes: 500, blobs: 1 });
    assert_eq!(first.spend(1, 100, at(3_599)), Err(at(3_600)));
    let next = first.spend(60, 100, at(3_600)).expect("another hour");
    let next = next.spend(40, 100, at(3_700)).expect("all of it");
    assert_eq!((next.bytes, next.left(100, at(3_700)), next.left(100, at(7_200))), (100, 0, 100));
    assert_eq!(next.spend(1, 100, at(3_700)), Err(at(7_200)));
    assert!(next.spend(1, 100, at(0)).is_ok(), "the clock was set back");
}

#[test]
fn phases_read_back_and_follow_each_other_to_the_end() {
    let mut phase = Phase::ALL[0];
    for known in Phase::ALL {
        assert_eq!((phase, Phase::find(known.name())), (*known, Some(*known)));
        phase = phase.next().unwrap_or(phase);
    }
    assert_eq!(phase.next(), None);
}

#[test]
fn reasons_and_names_have_their_bounds() {
    for bad in ["", "a\nb", &"x".repeat(201)] {
        assert_eq!(judge_reason(bad).expect_err("refused").get("field"), Some("reason"));
    }
    for bad in ["", "a b", "a,b", "é", &"x".repeat(201)] {
        assert_eq!(judge_signature("signature", bad).expect_err("refused").get("field"), Some("signature"), "{bad}");
    }
    assert!(judge_reason("a false alarm: ticket 7").is_ok() && is_signature("Win.Test.EICAR_HDB-1(a:68)"));
}
