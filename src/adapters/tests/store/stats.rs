//! Rules of what is counted: pages of rows that add up to what is there, and what a rule would delete as a plan finds it.
//!
//! Not here: the sums themselves ([`crate::domain::stats`]).

use super::{differential::draw::Draw, *};
use crate::{
    domain::{
        BlobState, FileState, HoldOn, Matter, Origin, PlanId,
        retention::Rule,
        run::Checkpoint,
        stats::{BlobFact, FileFact, Stats},
    },
    ports::{ClockSays, NewPlan},
};

/// Files that are drawn.
const FILES: u64 = 240;
const DAY: i64 = 86_400;

/// All files and blobs, a few at a time.
async fn read(w: &World) -> (Vec<FileFact>, Vec<BlobFact>) {
    let (mut files, mut blobs) = (Vec::new(), Vec::new());
    loop {
        let page = w.store.read_files(files.last().map_or(i64::MIN, |file: &FileFact| file.number), 70).await;
        let page = page.expect("reads");
        if page.is_empty() {
            break;
        }
        files.extend(page);
    }
    loop {
        let page = w.store.read_blobs(blobs.last().map_or(i64::MIN, |blob: &BlobFact| blob.id), 70).await;
        let page = page.expect("reads");
        if page.is_empty() {
            break;
        }
        blobs.extend(page);
    }
    (files, blobs)
}

pub async fn what_is_counted_page_by_page_is_what_was_drawn_and_due_as_a_plan_finds_it(w: World) {
    let ClockSays::Now(now) = w.store.judge_clock(w.now(), true).await.expect("tells") else { panic!("confirmed") };
    for id in ["a", "b"] {
        w.put(id, ChatStatus::Active, None).await;
    }
    let mut draw = Draw::new(13);
    let (all, settings) = (service(&["*"]), Settings::default());
    let mut expected = Vec::new();
    let (mut known, mut needs) = (std::collections::HashMap::new(), std::collections::BTreeMap::new());
    for _ in 0..FILES {
        let (tag, days) = (draw.below(80), i64::try_from(draw.below(60)).expect("small"));
        let origin = [None, Some(Origin::Screenshot), Some(Origin::Form), Some(Origin::Mail)];
        let (caller, origin) = match draw.below(3) {
            0 => (visitor("v", &["a"]), None),
            1 => (operator("17", &["a"], &[]), None),
            _ => (all.clone(), origin[usize::try_from(draw.below(4)).expect("small")]),
        };
        let target = if draw.below(3) == 0 { Target::Library } else { chat("a") };
        let name = if draw.below(2) == 0 { "a.txt" } else { "b.zzz" };
        let upload = Upload {
            name: name.into(),
            tag,
            size: 10 + tag,
            origin,
            persistent: Some(draw.below(6) == 0),
            ..Upload::to(target)
        };
        let intent = w.started(&caller, &upload).await;
        let mut commit = w.commit(&caller, &upload, intent);
        if let Some(blob) = known.get(&tag) {
            commit.bytes = BytesAt::Shared(*blob);
        }
        let view = ready(w.store.commit_upload(commit).await.expect("commits"));
        known.insert(tag, view.blob.id);
        *needs.entry(view.blob.id).or_insert(0) += 1;
        let since = now.plus_secs(-days * DAY);
        w.age(&view, since);
        if draw.below(10) == 0 {
            let (on, matter) = (HoldOn::File(view.file.id), Matter::new("x").expect("valid"));
            w.store.put_hold(on, matter, &all, w.now()).await.expect("puts");
        } else if draw.below(8) == 0 {
            w.store.delete_file(FileRef::Id(view.file.id), &all, &settings, w.now()).await.expect("deletes");
        }
        let there = w.find(&view, &all).await.expect("it is there");
        expected.push(FileFact {
            number: view.file.number,
            state: there.file.state,
            uploader: caller.kind(),
            origin,
            extension: name[2..].to_owned(),
            size: 10 + tag,
            since,
        });
    }
    let (files, blobs) = read(&w).await;
    assert_eq!(files, expected);
    let drawn: Vec<(i64, bool)> = needs.iter().map(|(id, files)| (*id, *files > 1)).collect();
    assert_eq!(blobs.iter().map(|blob| (blob.id, blob.shared)).collect::<Vec<_>>(), drawn);
    assert!(blobs.iter().all(|blob| blob.state == BlobState::Active) && drawn.iter().any(|(_, shared)| !shared));
    assert!(files.iter().any(|file| file.state == FileState::Deleted), "some are");

    for (unassigned, assigned) in [(false, false), (true, false), (false, true)] {
        let rule = Rule { visitors: true, operators: true, unassigned, assigned, visitor_days: 20, operator_days: 40 };
        let id = PlanId(w.id());
        let new = NewPlan { id, rule, proposed: true, token: "t".into(), by: Actor::SYSTEM, now: w.now() };
        let begun = w.store.begin_plan(new).await.expect("begins");
        while w.store.grow_plan(id, 50).await.expect("grows") {}
        let plan = w.store.end_plan(id).await.expect("ends");
        let (mut counted, mut place) = (Stats::at(begun.created_at), Some(Checkpoint::START));
        while let Some(after) = place {
            let (groups, next) = w.store.read_due(&rule, begun.created_at, after, 50).await.expect("reads");
            counted.count_due(groups);
            place = next;
        }
        assert!(plan.files() > 0, "{rule:?}");
        assert_eq!(counted.due, plan.groups, "{rule:?}");
        let (guard, _) = w.store.find_guard(&rule, w.now()).await.expect("tells");
        assert_eq!(guard, plan.guard);
    }
}
