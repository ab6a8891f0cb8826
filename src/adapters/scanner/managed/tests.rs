//! Against the real clamd: what it says of hostile files, and how it comes back from death, silence and change.

use std::{fs, time::Instant as Clock};

use bytes::Bytes;
use rustix::process::{Pid, Signal};

use super::*;
use crate::{
    adapters::scanner::{
        canary::zip_of,
        external::{ClamdConfig, ExternalClamd},
        test_database::eicar,
    },
    ports::Expect,
};

const MIB: u64 = 1 << 20;
const DEADLINE: Duration = Duration::from_secs(30);

/// A managed clamd on the test signatures, with a data folder of its own.
struct Bench {
    clamd: ManagedClamd,
    data: tempfile::TempDir,
}

async fn bench() -> Bench {
    bench_with(|_| {}).await
}

async fn bench_with(change: impl FnOnce(&mut ManagedConfig)) -> Bench {
    let data = tempfile::tempdir().expect("a folder");
    let mut config = ManagedConfig::debian(data.path().join("data"), 20 * MIB);
    config.signature_dir = data.path().join("signatures");
    change(&mut config);
    Bench { clamd: ManagedClamd::start(config).await.expect("started"), data }
}

impl Bench {
    async fn says(&self, bytes: impl Into<Bytes>) -> Result<ScanReply, ScanError> {
        self.clamd.scan(Arc::new(bytes.into()), DEADLINE).await
    }

    fn pid(&self) -> Pid {
        let record = fs::read(self.data.path().join("data/clamd.json")).expect("recorded");
        let record: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
        let pid = record["child"]["pid"].as_i64().and_then(|p| i32::try_from(p).ok()).expect("a child");
        Pid::from_raw(pid).expect("a number")
    }

    async fn signal(&self, signal: Signal) {
        self.clamd.ready(Instant::now() + DEADLINE).await.expect("ready");
        rustix::process::kill_process(self.pid(), signal).expect("sent");
    }

    /// How long until it answers again.
    async fn recovers(&self) -> Duration {
        let started = Clock::now();
        while !matches!(self.says(&b"x"[..]).await, Ok(ScanReply::Clean)) {
            assert!(started.elapsed() < Duration::from_secs(30), "it does not come back");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        started.elapsed()
    }
}

fn is_found(reply: &ScanReply) -> bool {
    matches!(reply, ScanReply::Found { .. })
}

#[tokio::test]
async fn every_canary_comes_back_as_expected() {
    let bench = bench().await;
    for canary in bench.clamd.canaries() {
        let reply = bench.says(canary.bytes.clone()).await.expect("an answer");
        assert!(canary.expect.agrees(&reply), "{}: {reply:?}", canary.name);
    }
    let version = bench.clamd.version().await.expect("a version");
    assert!(version.engine.starts_with("ClamAV ") && version.test_only, "{version:?}");
    assert!(version.signatures.starts_with("test+"), "{version:?}");
    bench.clamd.stop().await;
}

#[tokio::test]
async fn eicar_is_found_as_its_standard_says_and_talk_of_it_is_clean() {
    let bench = bench().await;
    let with = |tail: &[u8]| Bytes::from([&eicar()[..], tail].concat());
    for tail in [&b""[..], b"\n", b"\r\n", b" \t\r\n\x1a", &[b' '; 60]] {
        assert!(is_found(&bench.says(with(tail)).await.expect("an answer")), "{tail:?}");
    }
    let inner = zip_of([&eicar()[..]].into_iter());
    assert!(is_found(&bench.says(zip_of([&inner[..]].into_iter())).await.expect("an answer")));
    for tail in [&b" is the text that every scanner must know."[..], b"\nx", &[b' '; 61]] {
        assert_eq!(bench.says(with(tail)).await.expect("an answer"), ScanReply::Clean, "{tail:?}");
    }
    let quoted = [b"The text reads ", &eicar()[..], b"\r\n"].concat();
    assert_eq!(bench.says(quoted).await.expect("an answer"), ScanReply::Clean);
    bench.clamd.stop().await;
}

#[tokio::test]
async fn all_of_debians_test_files_are_found() {
    let bench = bench().await;
    let mut seen = 0;
    for entry in fs::read_dir("/usr/share/clamav-testfiles").expect("apt-get install clamav-testfiles") {
        let path = entry.expect("readable").path();
        let reply = bench.says(fs::read(&path).expect("readable")).await.expect("an answer");
        assert!(is_found(&reply), "{}: {reply:?}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 44);
    bench.clamd.stop().await;
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_unscannable() {
    let bench = bench().await;
    let too_large = bench.says(vec![0; 20 * 1024 * 1024 + 1]).await.expect("an answer");
    assert_eq!(too_large, ScanReply::Unscannable { cause: "Heuristics.Limits.Exceeded.MaxFileSize".to_owned() });
    let mut nested = zip_of([&b"x"[..]].into_iter());
    for _ in 0..20 {
        nested = zip_of([&nested[..]].into_iter());
    }
    let deep = bench.says(nested).await.expect("an answer");
    assert_eq!(deep, ScanReply::Unscannable { cause: "Heuristics.Limits.Exceeded.MaxRecursion".to_owned() });
    bench.clamd.stop().await;
}

#[tokio::test]
async fn a_larger_stream_than_clamd_takes_is_unscannable() {
    let bench = bench().await;
    bench.clamd.ready(Instant::now() + DEADLINE).await.expect("ready");
    // Past our own check: clamd answers and closes while we still write.
    let reply = clamd::scan(&bench.clamd.address, Arc::new(Bytes::from(vec![0; 60 << 20])), DEADLINE).await;
    assert_eq!(reply.expect("an answer"), ScanReply::Unscannable { cause: "StreamMaxLength".to_owned() });
    bench.clamd.stop().await;
}

#[tokio::test]
async fn a_killed_clamd_is_back_within_ten_seconds() {
    let bench = bench().await;
    for _ in 0..3 {
        bench.signal(Signal::KILL).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(matches!(bench.says(&b"x"[..]).await, Err(ScanError::Down(_))));
        assert!(bench.recovers().await < Duration::from_secs(10));
    }
    bench.clamd.stop().await;
}

#[tokio::test]
async fn a_stopped_clamd_is_down_within_the_deadline_and_back_soon_after() {
    let bench = bench().await;
    bench.signal(Signal::STOP).await;
    let started = Clock::now();
    let deadline = Duration::from_secs(1);
    let reply = bench.clamd.scan(Arc::new(Bytes::from_static(b"x")), deadline).await;
    assert!(matches!(reply, Err(ScanError::Down(_))), "{reply:?}");
    assert!(started.elapsed() < deadline + Duration::from_secs(4));
    // Once the silence has been noticed there is no waiting at all.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let started = Clock::now();
    assert!(matches!(bench.says(&b"x"[..]).await, Err(ScanError::Down(_))));
    assert!(started.elapsed() < Duration::from_secs(1));
    rustix::process::kill_process(bench.pid(), Signal::CONT).expect("sent");
    assert!(bench.recovers().await < Duration::from_secs(10));
    bench.clamd.stop().await;
}

#[tokio::test]
async fn a_clamd_silent_for_half_a_minute_is_replaced() {
    let bench = bench().await;
    bench.signal(Signal::STOP).await;
    let silent = bench.pid();
    let started = Clock::now();
    while bench.pid() == silent || bench.clamd.ping().await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(50), "it was not replaced");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(started.elapsed() > Duration::from_secs(25), "it was given too little time");
    assert!(is_found(&bench.says(eicar().to_vec()).await.expect("an answer")));
    bench.clamd.stop().await;
}

#[tokio::test]
async fn the_orphan_of_a_killed_server_is_ended() {
    let data = tempfile::tempdir().expect("a folder");
    let first = home::Home::open(data.path()).expect("made");
    let signatures = first.test_signatures();
    crate::adapters::scanner::test_database::write_into(&signatures).expect("written");
    let text = config_text::config_text(&first, &signatures, &limits_for(MIB, 2));
    first.prepare(&text).expect("written");
    let program = "/usr/sbin/clamd";
    let argument = home::config_argument(&first.config());
    let null = std::process::Stdio::null;
    let mut orphan =
        std::process::Command::new(program).arg(argument).stdout(null()).stderr(null()).spawn().expect("started");
    first.record_child(orphan.id()).expect("recorded");
    // Its server is gone: nothing holds the lock any more.
    drop(first);
    let mut config = ManagedConfig::debian(data.path().to_owned(), MIB);
    config.signature_dir = data.path().join("none");
    let clamd = ManagedClamd::start(config).await.expect("started");
    assert!(orphan.try_wait().expect("asked").is_some(), "the orphan lives on");
    let reply = clamd.scan(Arc::new(Bytes::from_static(b"x")), DEADLINE).await.expect("an answer");
    assert_eq!(reply, ScanReply::Clean);
    clamd.stop().await;
}

#[tokio::test]
async fn stop_ends_the_process_and_leaves_nothing() {
    let bench = bench().await;
    bench.recovers().await;
    let (pid, ClamdAddress::Unix(socket)) = (bench.pid(), bench.clamd.address.clone()) else { panic!("a socket") };
    bench.clamd.stop().await;
    assert!(rustix::process::test_kill_process(pid).is_err(), "it lives on");
    assert!(!socket.parent().expect("a folder").exists());
    assert_eq!(running_address(&bench.data.path().join("data")), None);
    assert!(matches!(bench.says(&b"x"[..]).await, Err(ScanError::Down(_))));
    assert!(bench.clamd.fit(MIB).await.is_err());
}

#[tokio::test]
async fn fit_raises_and_lowers_while_scans_wait() {
    let bench = bench().await;
    bench.recovers().await;
    let scans = (0..4).map(async |_| {
        for _ in 0..20 {
            assert_eq!(bench.says(vec![0; 1 << 20]).await.expect("no scan is lost"), ScanReply::Clean);
        }
    });
    let fits = async {
        bench.clamd.fit(40 * MIB).await.expect("raised");
        assert_eq!(bench.clamd.limits().max_file_bytes, 40 * MIB);
        assert_eq!(bench.says(vec![0; 40 << 20]).await.expect("an answer"), ScanReply::Clean);
        bench.clamd.fit(5 * MIB).await.expect("lowered");
        let reply = bench.says(vec![0; 6 << 20]).await.expect("an answer");
        assert!(Expect::Unscannable.agrees(&reply), "{reply:?}");
    };
    tokio::join!(futures_util::future::join_all(scans), fits);
    assert!(matches!(bench.clamd.fit(1 << 32).await, Err(FitError::Declared { allowed: CLAMD_MAX_FILE_BYTES, .. })));
    bench.clamd.stop().await;
}

#[tokio::test]
async fn signatures_that_appear_and_change_are_loaded_and_told() {
    let bench = bench().await;
    bench.recovers().await;
    let test = bench.clamd.version().await.expect("a version");
    let folder = bench.data.path().join("signatures");
    crate::adapters::scanner::test_database::write_into(&folder).expect("written");
    let until_changed = async |from: &EngineVersion| {
        let started = Clock::now();
        loop {
            match bench.clamd.version().await {
                Ok(now) if now.signatures != from.signatures => return now,
                _ => assert!(started.elapsed() < Duration::from_secs(20), "the new signatures are not told"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let own = until_changed(&test).await;
    assert!(!own.test_only, "{own:?}");
    let greeting = Bytes::from_static(b"a greeting that own signatures forbid");
    assert_eq!(bench.says(greeting.clone()).await.expect("an answer"), ScanReply::Clean);
    let pid = bench.pid();
    fs::write(folder.join("own.ndb"), "Own-Greeting:0:*:61206772656574696e672074686174\n").expect("written");
    let newer = until_changed(&own).await;
    assert!(is_found(&bench.says(greeting.clone()).await.expect("an answer")), "told before in force: {newer:?}");
    // A broken file changes nothing.
    fs::write(folder.join("broken.hdb"), "broken\n").expect("written");
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(bench.clamd.version().await.expect("a version"), newer);
    assert!(is_found(&bench.says(greeting).await.expect("an answer")));
    assert_eq!(bench.pid(), pid, "a reload needs no restart");
    bench.clamd.stop().await;
}

#[tokio::test]
async fn a_clamd_that_cannot_start_says_why() {
    let absent = bench_with(|c| c.clamd_binary = "/nonexistent/clamd".into()).await;
    let error = absent.says(&b"x"[..]).await.expect_err("nothing to start").to_string();
    assert!(error.contains("apt-get install clamav-daemon"), "{error}");
    let broken = bench_with(|c| {
        fs::create_dir_all(&c.signature_dir).expect("made");
        fs::write(c.signature_dir.join("own.hdb"), "broken\n").expect("written");
    })
    .await;
    let error = broken.says(&b"x"[..]).await.expect_err("broken signatures").to_string();
    assert!(error.contains("Malformed database"), "{error}");
    let fit = broken.clamd.fit(MIB).await.expect_err("still broken").to_string();
    assert!(fit.contains("Malformed database"), "{fit}");
    broken.clamd.stop().await;
    absent.clamd.stop().await;
}

/// A clamd of somebody else on TCP, configured as the text says.
struct Foreign {
    process: std::process::Child,
    clamd: ExternalClamd,
    _folder: tempfile::TempDir,
}

async fn foreign(extra: &str) -> Foreign {
    let folder = tempfile::Builder::new().tempdir_in("/tmp").expect("a folder");
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let place = folder.path().display();
    crate::adapters::scanner::test_database::write_into(&folder.path().join("db")).expect("written");
    let config = folder.path().join("clamd.conf");
    let text = format!(
        "TCPAddr 127.0.0.1\nTCPSocket {port}\nForeground yes\nDatabaseDirectory {place}/db\n\
         TemporaryDirectory {place}\nMaxFiles 1000\nStreamMaxLength 20M\nMaxFileSize 20M\n{extra}\n"
    );
    fs::write(&config, text).expect("written");
    let program = "/usr/sbin/clamd";
    let null = std::process::Stdio::null;
    let process = std::process::Command::new(program)
        .arg(home::config_argument(&config))
        .stdout(null())
        .stderr(null())
        .spawn()
        .expect("started");
    let limits = ScannerLimits { max_files: 1000, ..limits_for(20 * MIB, 10) };
    let address = ClamdAddress::Tcp(format!("127.0.0.1:{port}"));
    let clamd = ExternalClamd::new(ClamdConfig { address, limits });
    let started = Clock::now();
    while clamd.ping().await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "it does not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Foreign { process, clamd, _folder: folder }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn an_external_clamd_passes_the_canaries_only_with_its_alerts_on() {
    let good = foreign("AlertExceedsMax yes\nAlertEncrypted yes").await;
    for canary in good.clamd.canaries() {
        let reply = good.clamd.scan(Arc::new(canary.bytes.clone()), DEADLINE).await.expect("an answer");
        assert!(canary.expect.agrees(&reply), "{}: {reply:?}", canary.name);
    }
    let bad = foreign("AlertExceedsMax no").await;
    let many = bad.clamd.canaries().iter().find(|c| c.expect == Expect::Unscannable).expect("one");
    let reply = bad.clamd.scan(Arc::new(many.bytes.clone()), DEADLINE).await.expect("an answer");
    assert_eq!(reply, ScanReply::Clean, "the caller has to see that this is wrong");
    assert!(!many.expect.agrees(&reply));
    assert!(bad.clamd.version().await.expect("a version").engine.starts_with("ClamAV "));
}
