//! What the service tells of itself: metrics under their documented names, and logs without a name, token or content.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;

use crate::harness::{Authority, Caller as _, Node, Operator, Setup, Visitor, assert_refused, samples};

impl Node {
    /// All that Prometheus would read.
    pub async fn metrics(&self) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.metrics_address()).await.expect("it listens");
        let get = b"GET /metrics HTTP/1.1\r\nhost: tests\r\nconnection: close\r\n\r\n";
        stream.write_all(get).await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("read");
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        text
    }

    /// The sum over all labels of one metric.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let values = text.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }
}

#[tokio::test]
async fn every_documented_metric_is_told_and_none_else_of_ours() {
    let authority = Authority::new();
    let node = Node::start(Setup::new().secured(authority.config(), authority.trusting())).await;
    node.put_chat("42").await;
    let operator = Operator::new();
    let upload = node.upload("a.pdf", samples::sample("pdf")).to_chat("42");
    let file = upload.passes_by(&operator).await;
    upload.passes_by(&operator).await;
    node.download(&file.file_id, &operator).await.expect("its own");
    let eicar = node.upload("a.txt", samples::eicar()).to_chat("42");
    assert_refused(eicar.by(&operator).await, Code::InvalidArgument, "INFECTED");
    let elsewhere = node.postgres().map(|_| lhfile::telemetry::names::DATABASE_GROUP);
    // The test signatures have no date.
    let told = |name| elsewhere != Some(name) && name != lhfile::telemetry::names::SIGNATURES_MADE;
    // Some are told by a look at the scanner and the database, which comes when it comes.
    let patience = Instant::now() + Duration::from_secs(30);
    let text = loop {
        let text = node.metrics().await;
        let of_it = |name: &str| text.contains(&format!("# TYPE {name} "));
        let metrics = lhfile::telemetry::METRICS.iter().map(|metric| metric.name);
        let missing: Vec<_> = metrics.filter(|name| told(name) && !of_it(name)).collect();
        if missing.is_empty() {
            break text;
        }
        assert!(Instant::now() < patience, "{missing:?} are not told:\n{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for line in text.lines().filter_map(|l| l.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().expect("a name");
        assert!(lhfile::telemetry::METRICS.iter().any(|m| m.name == name), "{name} is not documented");
    }
    let uploads = |labels: &str| text.lines().find(|l| l.starts_with(&format!("lhfile_uploads_total{{{labels}}}")));
    assert!(uploads(r#"outcome="refused",reason="INFECTED""#).is_some_and(|l| l.ends_with(" 1")), "{text}");
    for verdict in ["clean", "infected", "reused"] {
        let of = format!("lhfile_verdicts_total{{kind=\"{verdict}\"}} ");
        assert!(text.lines().any(|l| l.starts_with(&of)), "{verdict}:\n{text}");
    }
    assert_eq!(node.metric("lhfile_scanner_up").await, 1.0);
    assert_eq!(node.metric("lhfile_uploads_total").await, 3.0);
    assert_eq!(node.metric("lhfile_uploads_running").await, 0.0);
    assert_eq!(node.metric("lhfile_download_bytes_total").await, samples::sample("pdf").len() as f64);
}

#[tokio::test]
async fn logs_and_metrics_hold_no_name_token_link_or_content() {
    let node = Node::start(Setup::new().config("log.filter = \"info,lhfile=trace\"")).await;
    node.put_chat("42").await;
    let operator = Operator::with(&["*"]);
    let visitor = Visitor::of_chat("42");
    let content = "CANARY-CONTENT is not to be told. ".repeat(100);
    let upload = |name: &str, bytes: &[u8]| node.upload(name, bytes.to_vec()).to_chat("42");
    let file = upload("CANARY-NAME.txt", content.as_bytes()).passes_by(&operator).await;
    node.download(&file.file_id, &operator).await.expect("its own");
    let link = node.link(&file.file_id, &operator).await.expect("its own");
    node.download_link(&link).await.expect("a good link");
    let _ = node.download_link("CANARY-LINK").await.expect_err("a bad link");
    let infected = upload("CANARY-NAME-2.txt", &samples::eicar()).by(&operator).await.expect_err("infected");
    let odd = upload("CANARY-NAME-3.exe", content.as_bytes()).by(&operator).await.expect_err("not allowed");
    let bad = upload("CANARY-NAME-4/.txt", content.as_bytes()).by(&visitor).await.expect_err("a bad name");
    let fake = upload("CANARY-NAME-5.pdf", content.as_bytes()).by(&visitor).await.expect_err("not a pdf");
    let stranger = upload("CANARY-NAME-6.pdf", content.as_bytes()).by("CANARY-TOKEN").await.expect_err("nobody");
    node.delete(&file.file_id, &operator).await.expect("permitted");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (log, metrics) = (node.log(), node.metrics().await);
    assert!(log.lines().count() > 5, "it does tell something:\n{log}");
    let answers = [infected, odd, bad, fake, stranger].map(|s| format!("{s:?}")).join("\n");
    let tokens = [operator.token(), visitor.token()];
    let eicar = String::from_utf8(samples::eicar()).expect("ASCII");
    for secret in ["CANARY", "canary-name", crate::harness::callers::SECRET, &link, &eicar]
        .into_iter()
        .chain(tokens.iter().map(String::as_str))
    {
        for (place, text) in [("log", &log), ("metrics", &metrics), ("answers", &answers)] {
            assert!(!text.contains(secret), "the {place} tells {secret}:\n{text}");
        }
    }
}
