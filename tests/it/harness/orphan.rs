//! What a killed server leaves outside of its own folder: its clamd, and clamd's folder under /tmp. The next start on
//! the same data would see to both; where none comes, the tests do.
//!
//! Not here: that next start (`adapters/scanner/managed/home.rs`, and its test in `scanner_faults.rs`).

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::process;

/// What the data folder tells of its clamd.
pub fn record(data: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&fs::read(data.join("clamd.json")).ok()?).ok()
}

/// Ends the clamd that a server on this data folder left, and removes its folder. The server must have ended.
pub fn end(data: &Path) {
    let folder = record(data).and_then(|record| record["folder"].as_str().map(PathBuf::from));
    // Only ever what is called like a clamd's folder: this removes all that is in it.
    let folder = folder.filter(|f| f.to_str().is_some_and(|name| name.starts_with("/tmp/lhfile-clamd-")));
    let Some(folder) = folder else { return };
    let argument = format!("--config-file={}", folder.join("clamd.conf").display());
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let left = process::with_argument(&argument);
        if left.is_empty() || Instant::now() > until {
            break;
        }
        for pid in left {
            let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = fs::remove_dir_all(folder);
}
