//! What an administrator takes from `examples/monitoring`: the rules fire when they must, they and the dashboard ask for
//! documented metrics only, and a node tells what they ask for.
//!
//! Not here: what is counted when (`telling.rs`), and the tool that is missing: `make test` installs it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use lhfile::telemetry::{METRICS, Metric, MetricKind};
use serde_json::Value;

use crate::{
    cli::program::lhfile,
    foreign::installed,
    harness::{Caller as _, Node, Operator, Service, Setup, samples},
};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/monitoring").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(example(name)).expect("an example")
}

/// What promtool says; it must be content.
#[track_caller]
fn promtool(words: &[&str], file: &Path) -> String {
    let folder = file.parent().expect("in a folder");
    let output = Command::new(installed("promtool/promtool")).args(words).arg(file).current_dir(folder).output();
    let output = output.expect("it can run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {words:?} {}: {said}", file.display());
    said
}

/// The names of all alerts.
fn alerts(rules: &str) -> Vec<&str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

#[test]
fn every_alert_fires_when_it_must_and_says_what_to_do_next() {
    promtool(&["check", "config"], &example("prometheus.yml"));
    promtool(&["test", "rules"], &example("alerts.test.yml"));
    let (rules, tests) = (text("alerts.yml"), text("alerts.test.yml"));
    let alerts = alerts(&rules);
    assert!(alerts.len() > 20, "{alerts:?}");
    for alert in &alerts {
        assert!(tests.contains(&format!("alertname=\"{alert}\"")), "no test has {alert} fire");
        let (_, rest) = rules.split_once(&format!("- alert: {alert}\n")).expect("it is there");
        let rule = rest.split("- alert: ").next().expect("its own lines");
        for part in ["severity: ", "summary: \"", "description: "] {
            assert_eq!(rule.matches(part).count(), 1, "{alert} has no {part}");
        }
        assert!(rule.contains("severity: critical") || rule.contains("severity: warning"), "{alert}");
    }
}

#[test]
fn commands_that_the_alerts_name_exist() {
    let rules = text("alerts.yml").split_whitespace().collect::<Vec<_>>().join(" ");
    let quoted = rules.split('`').skip(1).step_by(2);
    let commands: BTreeSet<&str> = quoted.filter_map(|words| words.strip_prefix("lhfile ")).collect();
    assert!(commands.len() > 8, "{commands:?}");
    for command in commands {
        let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
        let words: Vec<&str> = command.split(' ').take_while(is_word).chain(["--help"]).collect();
        let told = lhfile(&words, &[], &std::env::temp_dir());
        assert_eq!(told.code, Some(0), "lhfile {command}: {}", told.err);
        for flag in command.split(' ').filter(|word| word.starts_with("--")) {
            assert!(told.text().contains(flag), "lhfile {command} has no {flag}");
        }
    }
}

/// Each of our metrics that a text names, with the labels that stand behind it in braces.
fn asked(text: &str) -> Vec<(&str, Vec<&str>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in text.match_indices("lhfile_") {
        let rest = &text[at..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let braces = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')).map_or("", |(inner, _)| inner);
        let labels = braces.split(',').filter_map(|one| one.split(['=', '!']).next()).map(str::trim);
        found.push((name, labels.filter(|label| !label.is_empty()).collect()));
    }
    found
}

/// The documented metric of a name, also by its histogram's series.
fn documented(name: &str) -> Option<&'static Metric> {
    let of = |name: &str| METRICS.iter().find(|metric| metric.name == name);
    let series = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    of(name).or_else(|| series.and_then(of).filter(|metric| metric.kind == MetricKind::Histogram))
}

/// Names and labels of what is asked, and of what it is grouped by.
fn judge(place: &str, expression: &str) {
    let asked = asked(expression);
    let mut carried = BTreeSet::from(["job", "instance", "le"]);
    for (name, labels) in &asked {
        let metric = documented(name).unwrap_or_else(|| panic!("{place}: {name} is no documented metric"));
        carried.extend(metric.labels);
        for label in labels {
            let known = ["job", "instance"].contains(label) || metric.labels.contains(label);
            assert!(known, "{place}: {name} has no label {label}");
        }
    }
    for group in expression.split("by (").skip(1).chain(expression.split("on (").skip(1)) {
        for label in group.split(')').next().unwrap_or_default().split(',').map(str::trim) {
            assert!(carried.contains(label), "{place}: nothing there has the label {label}: {expression}");
        }
    }
}

/// All panels of the dashboard.
fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&text("dashboard.json")).expect("it is JSON");
    dashboard["panels"].as_array().expect("a list").clone()
}

/// What a panel asks for.
fn expressions(panel: &Value) -> Vec<String> {
    let targets = panel["targets"].as_array().expect("a list");
    targets.iter().map(|target| target["expr"].as_str().expect("PromQL").to_owned()).collect()
}

#[test]
fn rules_and_dashboard_ask_for_documented_metrics_by_their_labels_alone() {
    let rules = text("alerts.yml");
    for rule in rules.split("- alert: ").skip(1) {
        let (name, rest) = rule.split_once('\n').expect("more than its name");
        let expression = rest.split("labels:").next().expect("before its labels");
        judge(name, expression);
        assert!(!asked(expression).is_empty() || expression.contains("up{"), "{name} asks for nothing");
    }
    // Those that the words name are to be found, too.
    for (name, _) in asked(&rules).iter().chain(&asked(&text("alerts.test.yml"))) {
        assert!(documented(name).is_some(), "{name}");
    }
    let mut shown = BTreeSet::new();
    for panel in panels() {
        for expression in expressions(&panel) {
            judge(&panel["title"].to_string(), &expression);
            shown.extend(asked(&expression).iter().filter_map(|(name, _)| documented(name)).map(|metric| metric.name));
        }
    }
    let all: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    let unseen: Vec<_> = all.difference(&shown).collect();
    assert!(unseen.is_empty(), "the dashboard does not show {unseen:?}");
}

#[test]
fn dashboard_can_be_imported_and_each_panel_explains_itself() {
    let dashboard: Value = serde_json::from_str(&text("dashboard.json")).expect("it is JSON");
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= 38), "Grafana 10's");
    let variables = dashboard["templating"]["list"].as_array().expect("a list");
    assert!(variables.iter().any(|one| one["type"] == "datasource" && one["name"] == "datasource"), "{variables:?}");
    let (mut ids, mut titles, mut places) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut rules = String::from("groups:\n  - name: dashboard\n    rules:\n");
    for panel in panels() {
        let title = panel["title"].as_str().expect("a title").to_owned();
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "two panels have the id of {title}");
        assert!(places.insert(panel["gridPos"].to_string()), "two panels lie where {title} does");
        assert!(panel["description"].as_str().is_some_and(|words| words.ends_with('.')), "{title} explains nothing");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for expression in expressions(&panel) {
            let expression = expression.replace("$__rate_interval", "5m").replace("$__range", "1d");
            let quoted = serde_json::to_string(&expression).expect("a string");
            rules += &format!("      - record: dashboard:panel:{}\n        expr: {quoted}\n", rules.len());
        }
        assert!(titles.insert(title.clone()), "two panels are called {title}");
    }
    let file = std::env::temp_dir().join(format!("lhfile-dashboard-{}.yml", std::process::id()));
    fs::write(&file, rules).expect("a temporary file");
    promtool(&["check", "rules"], &file);
    fs::remove_file(&file).expect("our own");
}

/// The value of one series, if it is told.
fn find_value(told: &str, series: &str) -> Option<f64> {
    told.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?.parse().ok()
}

fn value(told: &str, series: &str) -> f64 {
    find_value(told, series).unwrap_or_else(|| panic!("{series} is not told:\n{told}"))
}

/// Waits until a series has what is wanted.
async fn until(node: &Node, series: &str, wanted: impl Fn(f64) -> bool) -> f64 {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let found = find_value(&node.metrics().await, series);
        if let Some(found) = found.filter(|found| wanted(*found)) {
            return found;
        }
        assert!(Instant::now() < patience, "{series} stays {found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_how_it_fares_and_what_the_database_knows_also_after_a_restart() {
    let mut node = Node::start(Setup::new()).await;
    for part in ["uploads", "scanner", "database", "blobs"] {
        until(&node, &format!("lhfile_health{{part=\"{part}\"}}"), |works| works == 1.0).await;
    }
    until(&node, "lhfile_test_signatures_only", |only| only == 1.0).await;
    until(&node, "lhfile_spool_room_bytes", |room| room > 0.0).await;
    until(&node, "lhfile_last_run_end", |never| never == 0.0).await;
    until(&node, "lhfile_braked_signatures", |none| none == 0.0).await;
    let told = node.metrics().await;
    for never in [
        "lhfile_last_run_end",
        "lhfile_quarantined_blobs",
        "lhfile_rescan_left_bytes",
        "lhfile_braked_signatures",
        "lhfile_corrupt_total",
        "lhfile_connections_refused_total",
        "lhfile_runs_total{outcome=\"DONE\"}",
        "lhfile_runs_total{outcome=\"FAILED\"}",
        "lhfile_task_outcomes_total{task=\"EXPIRE\",outcome=\"GUARD_REACHED\"}",
    ] {
        assert_eq!(value(&told, never), 0.0, "{never}");
    }

    let chat = node.new_chat().await;
    node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&Operator::with(&["*"])).await;
    assert!(node.change("UPDATE blobs SET state = 'QUARANTINED'") > 0);
    let run = ["maintenance", "run", "--wait", "--task", "expire", "--task", "trim"];
    let (address, token) = (node.address().to_string(), Service::all().token());
    let ended = lhfile(&run, &[("LHFILE_ADDR", &address), ("LHFILE_TOKEN", &token)], node.folder());
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let ended = until(&node, "lhfile_last_run_end", |end| end > 1.7e9).await;
    let told = node.metrics().await;
    for (once, times) in [
        ("lhfile_runs_total{outcome=\"DONE\"}", 1.0),
        ("lhfile_runs_total{outcome=\"FAILED\"}", 0.0),
        ("lhfile_task_outcomes_total{task=\"EXPIRE\",outcome=\"DONE\"}", 1.0),
        ("lhfile_task_outcomes_total{task=\"TRIM\",outcome=\"DONE\"}", 1.0),
        ("lhfile_task_outcomes_total{task=\"PURGE\",outcome=\"DONE\"}", 0.0),
        ("lhfile_quarantined_blobs", 1.0),
    ] {
        assert_eq!(value(&told, once), times, "{once}");
    }

    node.restart().await;
    assert_eq!(until(&node, "lhfile_last_run_end", |end| end > 0.0).await, ended);
    assert_eq!(until(&node, "lhfile_quarantined_blobs", |count| count > 0.0).await, 1.0);
}
