//! What can be seen without the server: data folder, disk, secret, signatures, clamd, clock.
//!
//! Not here: what only the running server knows (`service.rs`).

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use super::Finding;
use crate::{
    cli::output,
    config::{Config, ScannerMode},
    ports::{Clock as _, Ids as _, SystemClock, SystemIds},
    secret,
};

/// Signature files of ClamAV's own databases.
const DATABASES: &[&str] = &["cvd", "cld"];
/// As the setting `signature_max_age_days` has it by default.
const MAX_AGE_DAYS: i64 = 7;
/// 2026-01-01: a clock before it is wrong.
const BUILT_AFTER: i64 = 1_767_225_600;

/// All checks of files. Blocking.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    let mut findings = vec![data_folder(&config.data_dir)];
    findings.extend(disk(config));
    findings.push(symlinks(&config.data_dir));
    findings.push(own_secret(config));
    findings.push(signatures(config));
    findings.push(clock(&config.data_dir));
    findings
}

fn data_folder(dir: &Path) -> Finding {
    const CHECK: &str = "data folder";
    let shown = dir.display();
    let there = existing(dir);
    let probe = there.join(format!(".lhfile-doctor-{}", data_encoding::HEXLOWER.encode(&SystemIds.random())));
    match fs::File::create_new(&probe).and_then(|_| fs::remove_file(&probe)) {
        Ok(()) if there == dir => Finding::ok(CHECK, format!("{shown} can be written")),
        Ok(()) => Finding::ok(CHECK, format!("{shown} is not there yet; `lhfile serve` makes it")),
        Err(error) => Finding::fail(
            CHECK,
            format!("{} cannot be written: {error}", there.display()),
            "give it to the user that runs the server, or set data_dir",
        ),
    }
}

/// The folder, or the nearest one above it that is there.
fn existing(dir: &Path) -> PathBuf {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    if dir.is_dir() {
        return dir.to_owned();
    }
    absolute.ancestors().find(|above| above.is_dir()).map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

fn disk(config: &Config) -> Option<Finding> {
    const CHECK: &str = "disk";
    let stat = rustix::fs::statvfs(existing(&config.data_dir)).ok()?;
    let (free, all) = (stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize));
    let size = |bytes| output::size(i64::try_from(bytes).unwrap_or(i64::MAX));
    let told = format!("{} free of {}", size(free), size(all));
    let reserve = all / 100 * u64::from(config.spool.reserve_percent);
    Some(if free <= reserve {
        let why = format!("{told}: less than spool.reserve_percent, so uploads are refused");
        Finding::fail(CHECK, why, "make room, or lower spool.reserve_percent")
    } else if free - reserve < config.spool.budget_bytes {
        Finding::warn(CHECK, format!("{told}: less than spool.budget_bytes above the reserve"), "make room")
    } else {
        Finding::ok(CHECK, told)
    })
}

/// A symlink among the stored files may lead out of the folder.
fn symlinks(dir: &Path) -> Finding {
    const CHECK: &str = "symlinks";
    match first_symlink(&dir.join("blobs")) {
        Ok(None) => Finding::ok(CHECK, "none among the stored files"),
        Ok(Some(link)) => {
            let why = format!("{} is one, so the server refuses to start", link.display());
            Finding::fail(CHECK, why, "remove it; mount the folder itself elsewhere instead")
        }
        Err(error) => {
            Finding::fail(CHECK, format!("the stored files cannot be read: {error}"), "run as the server's user")
        }
    }
}

fn first_symlink(root: &Path) -> io::Result<Option<PathBuf>> {
    let mut folders = match root.symlink_metadata() {
        Ok(metadata) if metadata.is_symlink() => return Ok(Some(root.to_owned())),
        Ok(_) => vec![root.to_owned()],
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                return Ok(Some(entry.path()));
            }
            if kind.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(None)
}

fn own_secret(config: &Config) -> Finding {
    const CHECK: &str = "secret";
    if let Some(error) = config.keys.iter().find_map(|key| key.read().err()) {
        return Finding::fail(CHECK, error.to_string(), "mend keys in the configuration");
    }
    let path = config.shared_secret().map_or_else(|| secret::path(&config.data_dir), Path::to_owned);
    if config.shared_secret().is_none() && !path.exists() {
        return Finding::ok(CHECK, "not there yet; `lhfile serve` or `lhfile token` makes it");
    }
    match secret::read_file(path.clone()) {
        Ok(_) => {
            let keys = match config.keys.len() {
                0 => String::new(),
                many => format!(", and {many} configured keys can be read"),
            };
            Finding::ok(CHECK, format!("{} is for its owner alone{keys}", path.display()))
        }
        Err(error) => Finding::fail(CHECK, error.to_string(), format!("see {}", path.display())),
    }
}

fn signatures(config: &Config) -> Finding {
    const CHECK: &str = "signatures";
    const NEXT: &str = "install clamav-freshclam, or run `freshclam`";
    let dir = &config.scanner.signature_dir;
    let newest = match newest_database(dir) {
        Ok(newest) => newest,
        Err(error) => return Finding::warn(CHECK, format!("{} cannot be read: {error}", dir.display()), NEXT),
    };
    let Some(newest) = newest else {
        let why = format!("no real ones in {}: only test files would be found, no real malware", dir.display());
        return Finding::warn(CHECK, why, NEXT);
    };
    let days = (SystemClock.now().secs() - newest) / 86_400;
    if days > MAX_AGE_DAYS {
        Finding::warn(CHECK, format!("{} has real ones, {days} days old", dir.display()), NEXT)
    } else {
        Finding::ok(CHECK, format!("{} has real ones, {days} days old", dir.display()))
    }
}

/// When the newest of ClamAV's own databases was written, in unix seconds.
fn newest_database(dir: &Path) -> io::Result<Option<i64>> {
    let mut newest = None;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().and_then(|e| e.to_str()).is_some_and(|e| DATABASES.contains(&e)) {
            newest = newest.max(Some(modified(&path)?));
        }
    }
    Ok(newest)
}

fn modified(path: &Path) -> io::Result<i64> {
    let since = fs::metadata(path)?.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn clock(dir: &Path) -> Finding {
    const CHECK: &str = "clock";
    const NEXT: &str = "set the clock, best by NTP: tokens and links end by it";
    let now = SystemClock.now().secs();
    let shown = prost_types::Timestamp { seconds: now, nanos: 0 };
    if now < BUILT_AFTER {
        return Finding::fail(CHECK, format!("it says {shown}, which is long past"), NEXT);
    }
    match modified(dir) {
        Ok(written) if written > now + 60 => {
            Finding::warn(CHECK, format!("it says {shown}, but the data folder was written later than that"), NEXT)
        }
        _ => Finding::ok(CHECK, shown.to_string()),
    }
}

/// The clamd that a managed scanner would start, and its version.
pub(super) async fn clamd(config: &Config) -> Finding {
    const CHECK: &str = "clamd";
    let scanner = &config.scanner;
    if scanner.mode == ScannerMode::External {
        return Finding::ok(CHECK, format!("not ours: {}; the server probes it", scanner.address));
    }
    let next = "apt-get install clamav-daemon, or set scanner.clamd_binary";
    // Debian keeps it where a user's PATH does not look.
    let places = [scanner.clamd_binary.clone(), Path::new("/usr/sbin").join(&scanner.clamd_binary)];
    for place in places {
        let mut command = tokio::process::Command::new(&place);
        let asked = command.arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
        match tokio::time::timeout(Duration::from_secs(20), asked).await {
            Ok(Ok(answer)) if answer.status.success() => {
                let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
                return Finding::ok(CHECK, format!("{}: {version}", place.display()));
            }
            Ok(Ok(answer)) => {
                let why = format!("{} --version ends with {}", place.display(), answer.status);
                return Finding::fail(CHECK, why, next);
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(Err(error)) => return Finding::fail(CHECK, format!("{}: {error}", place.display()), next),
            Err(_) => return Finding::fail(CHECK, format!("{} --version does not end", place.display()), next),
        }
    }
    Finding::fail(CHECK, format!("{} is not there", scanner.clamd_binary.display()), next)
}
