//! Which scanner is asked, and what becomes of a file whose scanner fails: by scanners that do what the test says.
//!
//! Not here: real ones (`tests/it/scanner_faults.rs`).

use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::*;
use crate::ports::{Canary, FitError, SystemClock};

/// What a scanner of the test does with a file.
#[derive(Debug, Clone, Copy)]
enum Does {
    Clean,
    Fail,
    NoVerdict,
    /// Nothing, until it is let go.
    Hang,
}

/// A scanner that does as it is told.
struct Told {
    name: &'static str,
    version: Mutex<Option<EngineVersion>>,
    does: Mutex<Does>,
    asked: Semaphore,
    go: Semaphore,
}

fn version(signatures: &str, day: i64) -> EngineVersion {
    EngineVersion {
        engine: "Told 1".into(),
        signatures: signatures.into(),
        signatures_time: Some(Time::from_secs(day * 86_400)),
        test_only: false,
    }
}

impl Told {
    fn new(name: &'static str, version: EngineVersion) -> Arc<Self> {
        Arc::new(Self {
            name,
            version: Mutex::new(Some(version)),
            does: Mutex::new(Does::Clean),
            asked: Semaphore::new(0),
            go: Semaphore::new(0),
        })
    }

    fn does(&self, does: Does) {
        *self.does.lock().expect("no panic") = does;
    }

    fn is_now(&self, version: Option<EngineVersion>) {
        *self.version.lock().expect("no panic") = version;
    }

    /// How many files came so far.
    fn files(&self) -> usize {
        self.asked.available_permits()
    }
}

#[async_trait]
impl Scanner for Told {
    async fn scan(&self, _source: Arc<dyn ByteSource>, _deadline: Duration) -> Result<ScanReply, ScanError> {
        self.asked.add_permits(1);
        let does = *self.does.lock().expect("no panic");
        match does {
            Does::Clean => Ok(ScanReply::Clean),
            Does::Fail => Err(ScanError::Down(std::io::ErrorKind::ConnectionRefused.into())),
            Does::NoVerdict => Err(ScanError::NoVerdict(std::io::ErrorKind::InvalidData.into())),
            Does::Hang => {
                self.go.acquire().await.expect("it is never closed").forget();
                Ok(ScanReply::Clean)
            }
        }
    }

    async fn ping(&self) -> Result<(), ScanError> {
        self.version().await.map(drop)
    }

    async fn version(&self) -> Result<EngineVersion, ScanError> {
        let version = self.version.lock().expect("no panic").clone();
        version.ok_or_else(|| ScanError::Down(std::io::ErrorKind::ConnectionRefused.into()))
    }

    fn limits(&self) -> ScannerLimits {
        ScannerLimits { max_file_bytes: 1 << 20, max_scan_bytes: 4 << 20, max_files: 10, max_recursion: 10, threads: 2 }
    }

    async fn fit(&self, _max_file_bytes: u64) -> Result<(), FitError> {
        Ok(())
    }

    fn canaries(&self) -> &[Canary] {
        &[]
    }

    fn address(&self) -> String {
        self.name.to_owned()
    }
}

async fn proved(told: &[&Arc<Told>]) -> Arc<Scanning> {
    let scanners = told.iter().map(|told| Arc::clone(told) as Arc<dyn Scanner>).collect();
    let scanning = Scanning::new(scanners, Arc::new(SystemClock), true, Duration::from_secs(60));
    look(&scanning).await;
    Arc::new(scanning)
}

/// Every scanner is looked at once, as the watch does.
async fn look(scanning: &Scanning) {
    for member in &scanning.members {
        member.watch_once(&mut None).await;
    }
    scanning.unite();
}

async fn judge(scanning: &Scanning) -> Result<(Finding, Verdict), Error> {
    scanning.find_verdict(None, None, Arc::new(Bytes::from_static(b"bytes")), Time::from_secs(1), &mut false).await
}

fn reason(result: Result<(Finding, Verdict), Error>) -> Option<Reason> {
    result.err().and_then(|error| error.reason())
}

#[tokio::test]
async fn each_file_goes_to_the_scanner_with_least_to_do() {
    let (a, b) = (Told::new("a", version("1", 1)), Told::new("b", version("1", 1)));
    let scanning = proved(&[&a, &b]).await;
    a.does(Does::Hang);
    b.does(Does::Hang);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let scanning = Arc::clone(&scanning);
        running.spawn(async move { judge(&scanning).await.map(drop) });
        tokio::task::yield_now().await;
    }
    assert_eq!((a.files(), b.files()), (2, 2), "two each, as many as they have slots; two wait");
    let status = scanning.status(&Settings::default()).await;
    let each: Vec<_> = status.members.iter().map(|m| (m.slots_used, m.waiting)).collect();
    assert_eq!((status.slots_used, status.waiting, each), (4, 2, vec![(2, 1), (2, 1)]));
    a.go.add_permits(3);
    b.go.add_permits(3);
    while let Some(done) = running.join_next().await {
        done.expect("no panic").expect("clean");
    }
    assert_eq!((a.files(), b.files()), (3, 3));
    assert_eq!(scanning.status(&Settings::default()).await.waiting, 0);
}

#[tokio::test]
async fn a_scanner_that_fails_is_left_out_and_its_file_goes_to_the_next() {
    let (a, b) = (Told::new("a", version("1", 1)), Told::new("b", version("1", 1)));
    let scanning = proved(&[&a, &b]).await;
    a.does(Does::Fail);
    for _ in 0..3 {
        assert!(matches!(judge(&scanning).await, Ok((Finding::Clean, _))));
    }
    assert_eq!((a.files(), b.files()), (1, 3), "asked once, then left out");
    assert!(scanning.is_healthy());
    b.does(Does::Fail);
    assert_eq!(reason(judge(&scanning).await), Some(Reason::ScannerDown));
    let status = scanning.status(&Settings::default()).await;
    assert!(!status.healthy && status.cause.is_some_and(|cause| cause.contains("a: ") && cause.contains("b: ")));
    look(&scanning).await;
    a.does(Does::Clean);
    b.does(Does::Clean);
    assert!(judge(&scanning).await.is_ok(), "proved again, used again");
}

#[tokio::test]
async fn a_file_without_a_verdict_is_not_given_to_another_scanner() {
    let (a, b) = (Told::new("a", version("1", 1)), Told::new("b", version("1", 1)));
    let scanning = proved(&[&a, &b]).await;
    a.does(Does::NoVerdict);
    b.does(Does::NoVerdict);
    assert_eq!(reason(judge(&scanning).await), Some(Reason::ScannerDown));
    assert_eq!(a.files() + b.files(), 1);
}

#[tokio::test]
async fn a_file_does_not_stay_with_a_scanner_that_went_down_nor_in_its_queue() {
    let (a, b) = (Told::new("a", version("1", 1)), Told::new("b", version("1", 1)));
    let scanning = proved(&[&a, &b]).await;
    b.is_now(None);
    look(&scanning).await;
    a.does(Does::Hang);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let scanning = Arc::clone(&scanning);
        running.spawn(async move { judge(&scanning).await.map(drop) });
        tokio::task::yield_now().await;
    }
    assert_eq!((a.files(), b.files()), (2, 0), "one waits for a slot");
    b.is_now(Some(version("1", 1)));
    a.is_now(None);
    for member in scanning.members.iter().rev() {
        member.watch_once(&mut None).await;
    }
    while let Some(done) = running.join_next().await {
        done.expect("no panic").expect("the other one called it clean");
    }
    assert_eq!((a.files(), b.files()), (2, 3));
}

#[tokio::test]
async fn the_newest_signatures_win_and_who_has_older_ones_catches_up_first() {
    let (a, b) = (Told::new("a", version("1", 1)), Told::new("b", version("1", 1)));
    let scanning = proved(&[&a, &b]).await;
    a.is_now(Some(version("2", 2)));
    look(&scanning).await;
    for _ in 0..3 {
        let (_, verdict) = judge(&scanning).await.expect("clean");
        assert_eq!(verdict.signatures, "2");
    }
    assert_eq!(b.files(), 0);
    let status = scanning.status(&Settings::default()).await;
    assert_eq!(
        status.members.iter().map(|m| (m.address.as_str(), m.used)).collect::<Vec<_>>(),
        [("a", true), ("b", false)]
    );
    assert!(status.healthy && status.warning.is_some());
    b.is_now(Some(version("2", 2)));
    look(&scanning).await;
    a.does(Does::Fail);
    assert!(judge(&scanning).await.is_ok());
    assert_eq!(b.files(), 1);
}

#[test]
fn several_states_are_as_good_as_the_best_and_name_who_is_down() {
    let at = Time::from_secs(1);
    let proved = |signatures, day| ScannerState::Proved { version: version(signatures, day), at };
    let down = |cause: &str| ScannerState::Down { cause: cause.into(), at };
    let unite = |states: &[ScannerState]| {
        let named: Vec<_> = ["a", "b", "c"].map(str::to_owned).into_iter().zip(states.iter().cloned()).collect();
        united(&named, |version| !version.test_only)
    };
    assert_eq!(unite(&[proved("1", 1), proved("2", 2), down("x")]), proved("2", 2));
    assert_eq!(unite(&[down("x"), ScannerState::Unproved]), down("a: x"));
    assert_eq!(unite(&[down("x")]), down("x"), "one alone need not be named");
    assert_eq!(unite(&[down("x"), down("y")]), down("a: x; b: y"));
    assert_eq!(unite(&[ScannerState::Unproved, ScannerState::Unproved]), ScannerState::Unproved);
    let test = EngineVersion { test_only: true, ..version("9", 9) };
    assert_eq!(unite(&[ScannerState::Proved { version: test, at }, proved("1", 1)]), proved("1", 1));
}

#[tokio::test]
async fn a_hit_that_is_remembered_stands_until_newer_signatures_look() {
    let a = Told::new("a", version("2", 2));
    let scanning = proved(&[&a]).await;
    let hit = |signatures: &str, day: Option<i64>| Hit {
        number: 7,
        signature: "Eicar".into(),
        verdict: Verdict {
            kind: VerdictKind::Infected,
            engine: "Told 1".into(),
            signatures: signatures.into(),
            at: Time::from_secs(1),
        },
        made: day.map(|day| Time::from_secs(day * 86_400)),
    };
    for (hit, stands) in [
        (hit("3", Some(3)), true),
        (hit("2", Some(2)), true),
        (hit("2", None), true),
        // Made on the same day, or nobody knows when: a new scan tells.
        (hit("other", Some(2)), false),
        (hit("other", None), false),
        (hit("1", Some(1)), false),
    ] {
        let before = a.files();
        let bytes = Arc::new(Bytes::from_static(b"bytes"));
        let (finding, verdict) =
            scanning.find_verdict(None, Some(&hit), bytes, Time(1), &mut false).await.expect("judged");
        let found = Finding::Found { signature: "Eicar".into(), made: hit.made };
        let expected = if stands { (found, hit.verdict.signatures.as_str()) } else { (Finding::Clean, "2") };
        assert_eq!((finding, verdict.signatures.as_str()), expected, "{hit:?}");
        assert_eq!(a.files() - before, usize::from(!stands), "{hit:?}");
    }
}
