//! Points at which the tests kill the process: `fault_point!("U4")` writes a marker file and parks the thread when
//! `LHFILE_FAULT_POINT` names the point. Without the cargo feature `fault-points` it is nothing.
//!
//! U2 to U12 stand between the steps of an upload; `U2-written` and `U11-written` inside the transactions, their rows
//! written and not committed; `U4-made` before the first byte of the spool's file; `U9-renamed` between rename and the
//! folder's fsync; `U9-begun` and `U9-noted` before and after the id of an upload in parts is written down, `U9-part`
//! after its first part, `U9-put` with the whole object in the store and its bytes still in the spool; `S1-claimed` and `S1-put` in a first
//! start, with the store's id in the database, then in both; `R1` in a removal, the bytes gone and their row still there.
//! Of a run of maintenance: `M1`, it is begun; `M3` before a batch, `M4-written` inside it, its tombstones written and not
//! committed, `M5` after it; `M8`, all tasks have ended; `M9`, the run has.
//! Of a purge: `D4` before its transaction and `D4-written` in it, `D5` before bytes are removed, `D6` before it is looked
//! whether they are gone, `D7` before their rows go.
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
        loop {
            std::thread::park();
        }
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

/// Names a point of the protocol of an upload, a delete or a maintenance run.
#[macro_export]
macro_rules! fault_point {
    ($point:literal) => {
        #[cfg(feature = "fault-points")]
        $crate::faults::reach($point);
    };
}
