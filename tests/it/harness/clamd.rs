//! A clamd of the tests' own, for servers with an external one: good, badly configured, killed, stopped.
//!
//! Debian's AppArmor profile lets it write under /tmp only.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use super::{place::free_port, process, samples};

/// Limits as `examples/lhfile.toml` declares them for an external one, and alerts on.
const GOOD: &str = "Foreground yes\nMaxThreads 4\nStreamMaxLength 25M\nMaxFileSize 25M\nMaxScanSize 100M\n\
                    MaxFiles 10000\nMaxRecursion 17\nAlertExceedsMax yes\nAlertEncrypted yes\nMaxScanTime 300000\n";

/// A running clamd.
pub struct Clamd {
    folder: tempfile::TempDir,
    address: String,
    child: Option<Child>,
}

impl Clamd {
    /// On a unix socket, as it should be.
    pub async fn on_unix_socket() -> Self {
        Self::start(&[]).await
    }

    /// On a TCP port, as it should be.
    pub async fn on_tcp() -> Self {
        let folder = Self::new_folder();
        let port = free_port();
        let listen = format!("TCPSocket {}\nTCPAddr 127.0.0.1", port.port());
        Self::run(folder, format!("tcp:{port}"), &listen, &[]).await
    }

    /// On a unix socket, with these lines instead of ours of the same key.
    pub async fn start(lines: &[&str]) -> Self {
        let folder = Self::new_folder();
        let socket = folder.path().join("clamd.sock");
        let listen = format!("LocalSocket {}\nFixStaleSocket yes", socket.display());
        Self::run(folder, format!("unix:{}", socket.display()), &listen, lines).await
    }

    fn new_folder() -> tempfile::TempDir {
        tempfile::Builder::new().prefix("lhfile-it-").tempdir_in("/tmp").expect("a folder under /tmp")
    }

    async fn run(folder: tempfile::TempDir, address: String, listen: &str, lines: &[&str]) -> Self {
        let signatures = folder.path().join("db");
        fs::create_dir(&signatures).expect("our own folder");
        fs::create_dir(folder.path().join("tmp")).expect("our own folder");
        let eicar_md5 = "44d88612fea8a8f36de82e1278abb02f";
        let known = format!(
            "{eicar_md5}:{}:Eicar-Test\naa15bcf478d165efd2065190eb473bcb:544:ClamAV-Test\n",
            samples::eicar().len()
        );
        fs::write(signatures.join("test.hdb"), known).expect("our own folder");
        let overridden = |line: &&str| lines.iter().any(|l| l.split(' ').next() == line.split(' ').next());
        let database = format!("DatabaseDirectory {}", signatures.display());
        let ours = GOOD.lines().chain([database.as_str()]);
        let mut config: String = ours.filter(|l| !overridden(l)).map(|l| format!("{l}\n")).collect();
        config += &format!("TemporaryDirectory {}\n{listen}\n", folder.path().join("tmp").display());
        config.extend(lines.iter().map(|l| format!("{l}\n")));
        fs::write(folder.path().join("clamd.conf"), config).expect("our own folder");
        let mut clamd = Self { folder, address, child: None };
        clamd.launch().await;
        clamd
    }

    /// Starts it (again) and waits until it answers.
    pub async fn launch(&mut self) {
        let binary = ["/usr/sbin/clamd", "/usr/bin/clamd"].map(PathBuf::from).into_iter().find(|p| p.exists());
        let mut command = process::mortal(binary.expect("clamav-daemon is installed"));
        let (config, path) = (self.folder.path().join("clamd.conf"), self.folder.path().join("log"));
        command.arg(format!("--config-file={}", config.display()));
        let log = fs::File::create(&path).expect("our own folder");
        command.stdout(log.try_clone().expect("a descriptor")).stderr(log);
        let mut child = process::spawn(command);
        let until = Instant::now() + Duration::from_secs(60);
        while !self.answers().await {
            let ended = child.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() > until {
                let how = if ended { "ended" } else { "does not answer" };
                let said = fs::read_to_string(&path).unwrap_or_default();
                panic!("clamd --config-file={} {how}; its log, {}:\n{said}", config.display(), path.display());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.child = Some(child);
    }

    async fn answers(&self) -> bool {
        match self.address.split_once(':') {
            Some(("unix", path)) => tokio::net::UnixStream::connect(path).await.is_ok(),
            Some((_, address)) => tokio::net::TcpStream::connect(address).await.is_ok(),
            None => false,
        }
    }

    /// As the configuration's `scanner.address`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it lives; its signatures are in `db`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All that it said since its last start.
    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        process::signal(self.child.as_ref().expect("it runs").id(), name);
    }

    /// SIGKILL; it leaves its socket.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Clamd {
    fn drop(&mut self) {
        self.kill9();
    }
}
