//! Where a server of the tests lives: its folder, small disks, free ports.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use super::orphan;

/// Mounts a file system in memory of this size there.
pub fn mount(folder: &Path, size: &str) {
    fs::create_dir(folder).expect("our own folder");
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder).status();
    assert!(mount.is_ok_and(|status| status.success()), "this test needs the right to mount a tmpfs");
}

/// A port that is free now.
pub fn free_port() -> SocketAddr {
    free_port_of(Ipv4Addr::LOCALHOST)
}

/// One of this address.
pub fn free_port_of(ip: Ipv4Addr) -> SocketAddr {
    TcpListener::bind((ip, 0)).and_then(|l| l.local_addr()).expect("a free port")
}

/// A folder for one server. What earlier runs of the tests left is removed.
pub fn new_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    if number == 0 {
        remove_leftovers(parent);
    }
    let folder = parent.join(format!("it-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn remove_leftovers(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix("it-")?.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            orphan::end(&entry.path().join("data"));
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
