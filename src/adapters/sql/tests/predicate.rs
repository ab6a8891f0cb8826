//! The statement that finds what a rule deletes, against the rule itself and against the formula of its specification, on
//! random rows whose ages lie at the very edges.
//!
//! Not here: the rule's own table of truth (`domain/retention.rs`).

use std::collections::BTreeSet;

use super::{super::million::Words, explain::WORDS, *};
use crate::{
    adapters::tests::store::differential::draw::Draw,
    domain::{
        AgesAs, FileState, PlanId,
        retention::{Facts, Rule, keeps, tests::formula},
        run::Checkpoint,
    },
    ports::{BegunRun, NewPlan, NewRun},
};

const DAY: i64 = 86_400 * Time::SECOND;

/// A number below `most` that depends on `i` and `salt` alone.
fn chance(salt: i64, most: i64) -> String {
    format!("(((i * 48271 + {salt}) % 2147483647 * 16807 + {salt} * 127773) % 2147483647 / 7 % {most})")
}

/// Before `base` by no days or some that rules have, and at most a second beside.
fn edge(base: i64, salt: i64) -> String {
    format!(
        "{base} - (CASE {} WHEN 0 THEN 0 WHEN 1 THEN 7 WHEN 2 THEN 30 WHEN 3 THEN 60 ELSE {} END) * {DAY} \
         + (CASE {} WHEN 0 THEN -1000000 WHEN 1 THEN -1 WHEN 2 THEN 0 WHEN 3 THEN 1 ELSE 1000000 END)",
        chance(salt, 5),
        chance(salt + 1, 100),
        chance(salt + 2, 5),
    )
}

/// So many files of every kind, around this moment.
fn fill(w: &World, words: Words, files: i64, base: i64) {
    let id = words.bytes("i", 16);
    let numbers = words.numbers(files);
    let hash = words.bytes("1", 32);
    let one_in = |salt, most| format!("{} = 0", chance(salt, most));
    let chats = format!(
        "INSERT INTO chats (id, status, version, deleted, updated_at) {} SELECT 'c' || i, 'ACTIVE', 1, FALSE, 0 FROM s",
        words.numbers(3)
    );
    let blob = format!(
        "INSERT INTO blobs (id, key, sha256, size, state, verdict, engine, signatures, scanned_at, created_at) \
         VALUES (1, {}, {hash}, 10, 'ACTIVE', 'CLEAN', '', '', 1, 1)",
        words.bytes("1", 16)
    );
    let rows = format!(
        "INSERT INTO files (number, id, code_hash, blob_id, state, display_name, extension, media_type, uploader_kind, \
         uploader_id, home_chat_id, persistent, sha256, size, uploaded_sha256, revision, created_at, restored_at, \
         ages_as) {numbers} SELECT i, {id}, {id}, 1, CASE {} WHEN 0 THEN 'DELETED' ELSE 'READY' END, 'a', 'txt', 'text/plain', \
         CASE {} WHEN 0 THEN 'VISITOR' WHEN 1 THEN 'OPERATOR' WHEN 2 THEN 'SERVICE' WHEN 3 THEN 'VISITOR' ELSE 'OPERATOR' \
         END, 'p' || {}, CASE {} WHEN 0 THEN 'c3' ELSE NULL END, {}, {hash}, 10, {hash}, 1, {}, \
         CASE {} WHEN 0 THEN {} ELSE NULL END, CASE {} WHEN 0 THEN 'VISITOR' WHEN 1 THEN 'OPERATOR' WHEN 2 THEN NULL \
         WHEN 3 THEN 'VISITOR' ELSE 'OPERATOR' END FROM s",
        chance(1, 8),
        chance(2, 5),
        chance(3, 40),
        chance(4, 25),
        one_in(5, 6),
        edge(base, 6),
        chance(9, 3),
        edge(base, 10),
        chance(2, 5),
    );
    // To one chat, to another that is held, to both, or to none.
    let attached = |chat: &str, salt, most| {
        format!(
            "INSERT INTO attachments (chat_id, file_number, by_kind, by_id, at, file_created_at, file_size) {numbers} \
             SELECT '{chat}', i, 'SERVICE', 'b', 0, 0, 10 FROM s WHERE {}",
            one_in(salt, most)
        )
    };
    let held = format!(
        "INSERT INTO holds (what, target, file_number, matter, by_kind, by_id, at) {numbers} SELECT 'FILE', 'f' || i, i, \
         'x', 'SERVICE', 'b', 0 FROM s WHERE {}",
        one_in(13, 20)
    );
    let others = "INSERT INTO holds (what, target, matter, by_kind, by_id, at) VALUES ('CHAT', 'c2', 'x', 'SERVICE', 'b', 0), \
                  ('CHAT', 'c3', 'x', 'SERVICE', 'b', 0), ('VISITOR', 'p7', 'x', 'SERVICE', 'b', 0), \
                  ('OPERATOR', 'p9', 'x', 'SERVICE', 'b', 0)";
    for sql in [chats, blob, rows, attached("c1", 14, 3), attached("c2", 15, 20), held, others.to_owned()] {
        w.execute(&format!("{}; {sql}", words.at_ease()));
    }
}

/// Every row with its facts, told by statements that share nothing with the store's.
fn facts(w: &World) -> Vec<(i64, Facts)> {
    let lines = w.query(
        "SELECT f.number || ' ' || f.state || ' ' || COALESCE(f.ages_as, '-') || ' ' || CASE WHEN f.persistent THEN 1 ELSE 0 END \
         || ' ' || CASE WHEN f.number IN (SELECT file_number FROM attachments) THEN 1 ELSE 0 END || ' ' || \
         CASE WHEN f.number IN (SELECT file_number FROM holds WHERE file_number IS NOT NULL) \
         OR f.number IN (SELECT file_number FROM attachments WHERE chat_id IN ('c2', 'c3')) OR f.home_chat_id = 'c3' \
         OR (f.uploader_kind = 'VISITOR' AND f.uploader_id = 'p7') OR (f.uploader_kind = 'OPERATOR' AND f.uploader_id = 'p9') \
         THEN 1 ELSE 0 END || ' ' || f.created_at || ' ' || COALESCE(CAST(f.restored_at AS TEXT), '-') AS line FROM files f",
    );
    let read = |line: String| {
        let words: Vec<&str> = line.split(' ').collect();
        let [number, state, kind, persistent, attached, held, created, restored] = words[..] else {
            panic!("eight columns: {line}")
        };
        let time = |text: &str| text.parse().map(Time).ok();
        let facts = Facts {
            state: if state == "READY" { FileState::Ready } else { FileState::Deleted },
            owner: match kind {
                "VISITOR" => AgesAs::Visitor,
                "OPERATOR" => AgesAs::Operator,
                _ => AgesAs::NoOne,
            },
            persistent: persistent == "1",
            attached: attached == "1",
            held: held == "1",
            created_at: time(created).expect("a number"),
            restored_at: time(restored),
        };
        (number.parse().expect("a number"), facts)
    };
    lines.into_iter().map(read).collect()
}

/// What a plan of this rule finds, judged at this moment.
async fn found(w: &World, rule: Rule, base: Time) -> BTreeSet<i64> {
    let id = PlanId(w.id());
    let (by, now) = (Actor::SYSTEM, w.now());
    w.store.judge_clock(now, true).await.expect("tells");
    let new = NewPlan { id, rule, proposed: true, token: String::new(), by, now };
    w.store.begin_plan(new).await.expect("begins");
    w.execute(&format!("UPDATE plans SET created_at = {}", base.0));
    while w.store.grow_plan(id, 10_000).await.expect("grows") {}
    let (mut all, mut after) = (BTreeSet::new(), Checkpoint::START);
    loop {
        let page = w.store.list_plan_files(id, after, 10_000).await.expect("lists");
        let Some(last) = page.last() else { return all };
        assert!(page.is_sorted_by_key(|file| file.at) && page[0].at > after, "the oldest first");
        after = last.at;
        all.extend(page.into_iter().map(|file| file.at.number));
    }
}

/// What a run of this rule deletes by its own walk, without a plan and without a guard, judged at this moment.
async fn deleted_by_a_run(w: &World, rule: Rule, base: Time) -> BTreeSet<i64> {
    let ready = || facts(w).into_iter().filter(|(_, facts)| facts.state == FileState::Ready).map(|(number, _)| number);
    let before: BTreeSet<i64> = ready().collect();
    let new = NewRun { lease_secs: 3_600, ..w.new_run(rule) };
    let BegunRun::Started(_, lease) = w.store.begin_run(new).await.expect("begins") else { panic!("the first") };
    w.execute(&format!("UPDATE runs SET begun_at = {}", base.0));
    w.execute("UPDATE run_tasks SET guard = NULL");
    let report = loop {
        let batch = w.store.expire_batch(lease, 1_000, base).await.expect("deletes");
        if !batch.more {
            break batch.report;
        }
    };
    let after: BTreeSet<i64> = ready().collect();
    let gone: BTreeSet<i64> = before.difference(&after).copied().collect();
    assert_eq!((report.done, report.kept, report.failed), (gone.len() as u64, 0, 0));
    gone
}

async fn finds_what_the_rule_deletes(files: i64, rules: usize) {
    let (w, words) = (world(), WORDS);
    let base = Time(1_700_000_000 * Time::SECOND);
    fill(&w, words, files, base.0);
    let rows = facts(&w);
    assert_eq!(rows.len() as i64, files);
    let mut draw = Draw::new(11);
    let (mut some, mut edges) = (0, 0);
    for _ in 0..rules {
        let mut flag = || draw.once_in(2);
        let (visitors, operators, unassigned, assigned) = (flag(), flag(), flag(), flag());
        let rule = Rule {
            visitors,
            operators,
            unassigned,
            assigned,
            visitor_days: draw.of(&[0, 7, 30, 60]),
            operator_days: draw.of(&[0, 7, 30, 60]),
        };
        let by_rule: BTreeSet<i64> =
            rows.iter().filter(|(_, facts)| keeps(&rule, facts, base).is_none()).map(|(number, _)| *number).collect();
        let by_formula: BTreeSet<i64> =
            rows.iter().filter(|(_, facts)| formula(&rule, facts, base)).map(|(number, _)| *number).collect();
        let by_statement = found(&w, rule, base).await;
        assert!(by_rule == by_formula, "{rule:?}");
        let differ: Vec<_> = by_rule.symmetric_difference(&by_statement).take(5).collect();
        assert!(differ.is_empty(), "{rule:?}: {differ:?}");
        some += usize::from(!by_rule.is_empty());
        let at_edge = |facts: &Facts| (base.0 - facts.created_at.0) % DAY == 1;
        edges += rows.iter().filter(|(number, facts)| at_edge(facts) && by_rule.contains(number)).count();
    }
    assert!(some * 3 > rules && edges > 0, "rules that delete something, also what is older by a microsecond alone");
    let rule = Rule {
        visitors: true,
        operators: true,
        unassigned: true,
        assigned: false,
        visitor_days: 30,
        operator_days: 60,
    };
    let by_rule = rows.iter().filter(|(_, facts)| keeps(&rule, facts, base).is_none()).map(|(number, _)| *number);
    let (by_rule, by_run): (BTreeSet<i64>, _) = (by_rule.collect(), deleted_by_a_run(&w, rule, base).await);
    let differ: Vec<_> = by_rule.symmetric_difference(&by_run).take(5).collect();
    assert!(differ.is_empty() && !by_run.is_empty(), "a run: {differ:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_thousand_random_files_the_statement_finds_what_the_rule_deletes() {
    finds_what_the_rule_deletes(100_000, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a million rows: make soak"]
async fn of_a_million_random_files_the_statement_finds_what_the_rule_deletes() {
    finds_what_the_rule_deletes(1_000_000, 12).await;
}
