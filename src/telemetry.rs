//! What the service tells of itself: logs, and metrics on a port of their own.
//!
//! Not here: what is logged or counted, which is where it happens. The names are in [`names`]; nothing is counted
//! under a name that [`METRICS`] lacks, and no metric or log line holds a file's name, a token or content.

use std::{io, net::SocketAddr};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use tracing_subscriber::{EnvFilter, filter::ParseError, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Names of metrics, of their labels, and of the fields of log lines.
pub mod names {
    /// Uploads that ended. Labels [`OUTCOME`], [`REASON`].
    pub const UPLOADS: &str = "lhfile_uploads_total";
    /// Bytes received for uploads, whatever became of them.
    pub const UPLOAD_BYTES: &str = "lhfile_upload_bytes_total";
    /// Uploads under way.
    pub const UPLOADS_RUNNING: &str = "lhfile_uploads_running";
    /// From the header to the answer, in seconds. Label [`OUTCOME`].
    pub const UPLOAD_SECONDS: &str = "lhfile_upload_seconds";
    /// A scan in its slot, in seconds.
    pub const SCAN_SECONDS: &str = "lhfile_scan_seconds";
    /// Scans that wait for a slot.
    pub const SCAN_QUEUE: &str = "lhfile_scan_queue";
    /// Judgements, reused ones included. Label [`KIND`].
    pub const VERDICTS: &str = "lhfile_verdicts_total";
    /// 1: the scanner is proved to work. 0: it is not.
    pub const SCANNER_UP: &str = "lhfile_scanner_up";
    /// A call of the database, in seconds. Label [`OP`].
    pub const DATABASE_SECONDS: &str = "lhfile_database_seconds";
    /// Write bodies that shared one transaction, and so one fsync.
    pub const DATABASE_GROUP: &str = "lhfile_database_group";
    /// A call of the blob store, in seconds. Label [`OP`].
    pub const BLOB_SECONDS: &str = "lhfile_blob_seconds";
    /// Downloads asked for. Label [`OUTCOME`].
    pub const DOWNLOADS: &str = "lhfile_downloads_total";
    /// Downloads under way.
    pub const DOWNLOADS_RUNNING: &str = "lhfile_downloads_running";
    /// Bytes sent by downloads.
    pub const DOWNLOAD_BYTES: &str = "lhfile_download_bytes_total";
    /// Calls that ended. Labels [`METHOD`], [`CODE`].
    pub const RPCS: &str = "lhfile_rpc_total";
    /// A call, in seconds. Label [`METHOD`].
    pub const RPC_SECONDS: &str = "lhfile_rpc_seconds";
    /// Connections open now.
    pub const CONNECTIONS: &str = "lhfile_connections";
    /// Connections closed at once because there were too many.
    pub const CONNECTIONS_REFUSED: &str = "lhfile_connections_refused_total";
    /// TLS handshakes that ended. Label [`OUTCOME`].
    pub const TLS_HANDSHAKES: &str = "lhfile_tls_handshakes_total";
    /// When our certificate ends, in seconds since 1970.
    pub const TLS_CERTIFICATE_ENDS: &str = "lhfile_tls_certificate_ends";
    /// 1: the files of the keys cannot be used, and the keys before them stay in force. 0: they are in force.
    pub const KEYS_UNUSABLE: &str = "lhfile_keys_unusable";
    /// Stored bytes found damaged.
    pub const CORRUPT: &str = "lhfile_corrupt_total";
    /// 1: the part works. 0: it does not. Label [`PART`].
    pub const HEALTH: &str = "lhfile_health";
    /// 1: uploads are scanned. 0: the setting `antivirus_enabled` is off, and nothing asks for the scanner.
    pub const ANTIVIRUS_ENABLED: &str = "lhfile_antivirus_enabled";
    /// When the signatures in use were made, in seconds since 1970.
    pub const SIGNATURES_MADE: &str = "lhfile_signatures_made";
    /// 1: the scanner has test signatures only. 0: it has others.
    pub const TEST_SIGNATURES_ONLY: &str = "lhfile_test_signatures_only";
    /// Bytes that the spool may take now.
    pub const SPOOL_ROOM: &str = "lhfile_spool_room_bytes";
    /// When the last good run of maintenance ended, in seconds since 1970; 0: none has.
    pub const LAST_RUN_END: &str = "lhfile_last_run_end";
    /// Runs of maintenance that ended here. Label [`OUTCOME`].
    pub const RUNS: &str = "lhfile_runs_total";
    /// Tasks of maintenance that ended here. Labels [`TASK`], [`OUTCOME`].
    pub const TASK_OUTCOMES: &str = "lhfile_task_outcomes_total";
    /// Blobs in quarantine.
    pub const QUARANTINED_BLOBS: &str = "lhfile_quarantined_blobs";
    /// Bytes that the rescan under way still has to look at.
    pub const RESCAN_LEFT: &str = "lhfile_rescan_left_bytes";
    /// Signatures that the brake keeps from quarantining what they hit.
    pub const BRAKED_SIGNATURES: &str = "lhfile_braked_signatures";

    /// Label: how it went, e.g. `stored`, `refused`, `clean`, `started`.
    pub const OUTCOME: &str = "outcome";
    /// Label and field: the reason of a refusal, e.g. `INFECTED`; empty if there was none.
    pub const REASON: &str = "reason";
    /// Label: `clean`, `infected`, `unscannable`, `not_scanned`, `reused`, `released`.
    pub const KIND: &str = "kind";
    /// Label: `uploads`, `scanner`, `database`, `blobs`.
    pub const PART: &str = "part";
    /// Label and field: the task of maintenance, e.g. `EXPIRE`.
    pub const TASK: &str = "task";
    /// Label: the call of the port, e.g. `commit_upload`.
    pub const OP: &str = "op";
    /// Label and field: the RPC, e.g. `FileService/UploadFile`.
    pub const METHOD: &str = "method";
    /// Label and field: the gRPC code, e.g. `NOT_FOUND`.
    pub const CODE: &str = "code";

    /// Field: the request's id, which an answer of an internal error names.
    pub const REQUEST: &str = "request";
    /// Field: the caller, e.g. `operator:17`.
    pub const CALLER: &str = "caller";
    /// Field: the file's id.
    pub const FILE: &str = "file_id";
    /// Field: the chat's id.
    pub const CHAT: &str = "chat_id";
}

/// What sort of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Seconds, in buckets.
    Histogram,
}

/// One row of the reference of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its sort.
    pub kind: MetricKind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub description: &'static str,
}

const fn row(
    name: &'static str,
    kind: MetricKind,
    labels: &'static [&'static str],
    description: &'static str,
) -> Metric {
    Metric { name, kind, labels, description }
}

/// All metrics: what `/metrics` describes, and the reference page.
pub const METRICS: &[Metric] = {
    use MetricKind::{Counter, Gauge, Histogram};
    use names::*;
    &[
        row(UPLOADS, Counter, &[OUTCOME, REASON], "Uploads that ended, by outcome and reason of the refusal."),
        row(UPLOAD_BYTES, Counter, &[], "Bytes received for uploads, whatever became of them."),
        row(UPLOADS_RUNNING, Gauge, &[], "Uploads under way."),
        row(UPLOAD_SECONDS, Histogram, &[OUTCOME], "Seconds from an upload's header to its answer."),
        row(SCAN_SECONDS, Histogram, &[OUTCOME], "Seconds of a scan in its slot, without the wait for it."),
        row(SCAN_QUEUE, Gauge, &[], "Scans that wait for a slot."),
        row(VERDICTS, Counter, &[KIND], "Judgements of files by kind; reused: the same bytes were known to be clean."),
        row(SCANNER_UP, Gauge, &[], "1 if the scanner answers and every probe came back as it must, else 0."),
        row(DATABASE_SECONDS, Histogram, &[OP], "Seconds of a call of the database."),
        row(DATABASE_GROUP, Histogram, &[], "SQLite alone: writes that shared one transaction, and so one fsync."),
        row(BLOB_SECONDS, Histogram, &[OP], "Seconds of a call of the store of bytes."),
        row(DOWNLOADS, Counter, &[OUTCOME], "Downloads asked for, by outcome: started, or the reason of the refusal."),
        row(DOWNLOADS_RUNNING, Gauge, &[], "Downloads under way."),
        row(DOWNLOAD_BYTES, Counter, &[], "Bytes sent by downloads."),
        row(RPCS, Counter, &[METHOD, CODE], "Calls that ended, by method and gRPC code."),
        row(RPC_SECONDS, Histogram, &[METHOD], "Seconds of a call, streams to their end."),
        row(CONNECTIONS, Gauge, &[], "Connections open now."),
        row(CONNECTIONS_REFUSED, Counter, &[], "Connections closed at once because there were too many."),
        row(
            TLS_HANDSHAKES,
            Counter,
            &[OUTCOME],
            "TLS handshakes that ended: done, failed, late, or crowded_out by newer ones.",
        ),
        row(TLS_CERTIFICATE_ENDS, Gauge, &[], "When the listener's certificate ends, in seconds since 1970."),
        row(KEYS_UNUSABLE, Gauge, &[], "1: the files of the keys cannot be used, and the keys before them stay."),
        row(
            CORRUPT,
            Counter,
            &[],
            "Stored bytes found damaged, gone, or refused by a store that works. Anything above 0 needs a person.",
        ),
        row(HEALTH, Gauge, &[PART], "1 if the part works, else 0; uploads: whether all that they need works."),
        row(
            ANTIVIRUS_ENABLED,
            Gauge,
            &[],
            "1: uploads are scanned. 0: the setting antivirus_enabled is off, and no scanner is needed.",
        ),
        row(
            SIGNATURES_MADE,
            Gauge,
            &[],
            "When the signatures in use were made, in seconds since 1970, if they have a date.",
        ),
        row(TEST_SIGNATURES_ONLY, Gauge, &[], "1: the scanner has test signatures only, and finds no real malware."),
        row(SPOOL_ROOM, Gauge, &[], "Bytes that uploads may still put into the spool; 0 refuses them."),
        row(
            LAST_RUN_END,
            Gauge,
            &[],
            "When the last run with EXPIRE ended of whose tasks none failed, told by every node, in seconds since 1970; \
             0: there was none.",
        ),
        row(RUNS, Counter, &[OUTCOME], "Runs of maintenance that ended on this node; FAILED: a task of it did."),
        row(TASK_OUTCOMES, Counter, &[TASK, OUTCOME], "Tasks of maintenance that ended on this node."),
        row(QUARANTINED_BLOBS, Gauge, &[], "Contents in quarantine, told by every node."),
        row(RESCAN_LEFT, Gauge, &[], "Bytes that the rescan under way has still to look at, told by every node."),
        row(BRAKED_SIGNATURES, Gauge, &[], "Signatures that hit too much to be believed, told by every node."),
    ]
};

/// Bounds of the buckets of all histograms, in seconds.
const BUCKETS: &[f64] =
    &[0.000_25, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];

/// Bounds of the buckets of groups, in members.
const GROUPS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// Why the service cannot tell of itself.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("log.filter = {filter:?} is no filter ({source}): write a level, or as info,lhfile::app=debug")]
    Filter {
        /// As configured.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Logs go somewhere already.
    #[error("a subscriber of logs is installed already")]
    Twice,
    /// The port cannot be listened on.
    #[error("metrics cannot be served on {listen} ({source}): free the port, or change metrics_listen; empty is off")]
    Metrics {
        /// As configured.
        listen: SocketAddr,
        /// Why.
        source: BuildError,
    },
}

/// Sends logs to standard error from now on, as JSON or as text.
///
/// # Errors
/// A filter that does not parse; a second call in one process.
pub fn start_logs(json: bool, filter: &str) -> Result<(), TelemetryError> {
    let filter =
        EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let registry = tracing_subscriber::registry().with(filter);
    let started = if json {
        let lines = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
        registry.with(lines.with_writer(io::stderr)).try_init()
    } else {
        registry.with(fmt::layer().with_target(false).with_writer(io::stderr)).try_init()
    };
    started.map_err(|_| TelemetryError::Twice)
}

/// Serves `/metrics` on a port of its own from now on. Call it on the runtime.
///
/// # Errors
/// A port that is taken; a second call in one process.
pub fn start_metrics(listen: SocketAddr) -> Result<(), TelemetryError> {
    let failed = |source| TelemetryError::Metrics { listen, source };
    PrometheusBuilder::new()
        .with_http_listener(listen)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_group".to_owned()), GROUPS))
        .and_then(PrometheusBuilder::install)
        .map_err(failed)?;
    describe();
    Ok(())
}

/// Tells the recorder what each metric means.
fn describe() {
    for Metric { name, kind, description, .. } in METRICS.iter().copied() {
        match kind {
            MetricKind::Counter => metrics::describe_counter!(name, description),
            MetricKind::Gauge => metrics::describe_gauge!(name, description),
            MetricKind::Histogram if name.ends_with("_seconds") => {
                metrics::describe_histogram!(name, metrics::Unit::Seconds, description);
            }
            MetricKind::Histogram => metrics::describe_histogram!(name, description),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_are_unique_and_tell_their_kind() {
        let mut names: Vec<_> = METRICS.iter().map(|m| m.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            assert!(metric.name.starts_with("lhfile_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == MetricKind::Counter, "{}", metric.name);
            let seconds = metric.name.ends_with("_seconds");
            assert!(!seconds || metric.kind == MetricKind::Histogram, "{}", metric.name);
            assert!(metric.description.ends_with('.'), "{}", metric.name);
        }
    }

    #[tokio::test]
    async fn metrics_are_served_with_their_descriptions_and_buckets() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let listen = probe.local_addr().expect("bound");
        drop(probe);
        start_metrics(listen).expect("served");
        metrics::histogram!(names::RPC_SECONDS, names::METHOD => "FileService/GetFile").record(0.003);
        metrics::gauge!(names::SCANNER_UP).set(1.0);
        let mut answer = String::new();
        for _ in 0..50 {
            if let Ok(mut stream) = tokio::net::TcpStream::connect(listen).await {
                let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
                stream.write_all(request).await.expect("sent");
                stream.read_to_string(&mut answer).await.expect("read");
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(answer.contains("# HELP lhfile_rpc_seconds Seconds of a call"), "{answer}");
        assert!(answer.contains(r#"lhfile_rpc_seconds_bucket{method="FileService/GetFile",le="0.005"} 1"#), "{answer}");
        assert!(answer.contains("lhfile_scanner_up 1"), "{answer}");
    }

    #[test]
    fn bad_filter_is_refused_with_an_example() {
        let error = start_logs(true, "lhfile=loud=1").expect_err("no such level");
        assert!(error.to_string().contains("info,lhfile::app=debug"), "{error}");
    }
}
