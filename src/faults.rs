//! Points at which the tests kill the process: `fault_point!("U4")` writes a marker file and parks the thread when
//! `LHFILE_FAULT_POINT` names the point. Without the cargo feature `fault-points` it is nothing.
//!
//! U2 to U12 stand between the steps of an upload; `U2-written` and `U11-written` inside the transactions, their rows
//! written and not committed; `U4-made` before the first byte of the spool's file; `U9-renamed` between rename and the
//! folder's fsync; `U9-begun` and `U9-noted` before and after the id of an upload in parts is written down, `U9-part`
//! after its first part, `U9-put` with the whole object in the store and its bytes still in the spool; `S1-claimed` and `S1-put` in a first
//! start, with the store's id in the database, then in both; `R1` in a removal, the bytes gone and their row still there.
//! Of a run of maintenance: `M1-written`, its row written and not committed, `M1`, it is begun; `M2`, it is told which files
//! are old enough; `M3` before a batch, `M4-written` inside it, its tombstones written and not committed, `M5` after it;
//! `M6` before bytes go that no row names, and `M6-removed` after it; `M7` before dead uploads are ended, `M7-written`, the
//! row of one gone and that not committed; `M8`, all tasks have ended; `M9`, the run has.
//! Of a delete: `D1`, the right to it judged; `D2-written`, the tombstone written and not committed; `D3`, committed and not
//! answered. Of a purge: `D4` before its transaction and `D4-written` in it, `D5` before bytes are removed, `D6` before it
//! is looked whether they are gone, `D7` before their rows go.
//! Of an erasure: `E1`, its files are purged; `E2`, its events name the pseudonym; `E2-written`, its end written and not committed.
//! Of a move: `M-begun`, the target claimed; `M-rows` and `M-bytes`, the first of them there; `M-closed`, `read_only` set;
//! `M-compared` and `M-filled`, all there and the switch not made.

/// Parks here when the test asks for it.
#[cfg(feature = "fault-points")]
#[expect(clippy::disallowed_methods, reason = "a test's own switch, compiled out of every release")]
pub fn reach(point: &str) {
    if std::env::var("LHFILE_FAULT_POINT").is_ok_and(|wanted| wanted == point) {
        if let Ok(marker) = std::env::var("LHFILE_FAULT_MARKER") {
            std::fs::write(marker, point).expect("the test gave a place that can be written");
        }
        // What else this thread was to do is done by another one: connections that are waited for, say.
        tokio::task::block_in_place(|| {
            loop {
                std::thread::park();
            }
        });
    }
}

/// How often a node asks for what others changed: as often as it does, or as seldom as a test wants (in seconds), so that
/// what it heard is told from what it asked for.
pub fn poll_every(every: std::time::Duration) -> std::time::Duration {
    #[cfg(feature = "fault-points")]
    #[expect(clippy::disallowed_methods, reason = "a test's own switch, compiled out of every release")]
    if let Some(seconds) = std::env::var("LHFILE_FAULT_POLL").ok().and_then(|text| text.parse().ok()) {
        return std::time::Duration::from_secs(seconds);
    }
    every
}

/// How old, in seconds, bytes must be before they count as left: as old as it is said, or as a test wants
/// (`LHFILE_FAULT_LEFT_AGE`), since no object store lets anybody set its objects back.
pub fn left_age(seconds: i64) -> i64 {
    #[cfg(feature = "fault-points")]
    #[expect(clippy::disallowed_methods, reason = "a test's own switch, compiled out of every release")]
    if let Some(wanted) = std::env::var("LHFILE_FAULT_LEFT_AGE").ok().and_then(|text| text.parse().ok()) {
        return wanted;
    }
    seconds
}

/// How many seconds a test has set this node's clock ahead: as the file says that `LHFILE_FAULT_CLOCK` names, asked each
/// time. 0 without one.
pub fn clock_ahead() -> i64 {
    #[cfg(feature = "fault-points")]
    #[expect(clippy::disallowed_methods, reason = "a test's own switch, compiled out of every release")]
    if let Ok(file) = std::env::var("LHFILE_FAULT_CLOCK") {
        return std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    }
    0
}

/// Names a point of the protocol of an upload, a delete or a maintenance run.
#[macro_export]
macro_rules! fault_point {
    ($point:literal) => {
        #[cfg(feature = "fault-points")]
        $crate::faults::reach($point);
    };
}
