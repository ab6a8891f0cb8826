//! `lhfile doctor`: checks this machine's set-up, a line for each check, with what to do next.
//!
//! Not here: the checks themselves (`doctor/machine.rs` looks at files, `doctor/tls.rs` at certificates,
//! `doctor/database.rs` asks a PostgreSQL, `doctor/store.rs` the object store, `doctor/service.rs` the server).

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{Context, client::Connection, failure::Failure, output, token::Place};

mod database;
mod machine;
mod service;
mod store;
mod tls;

/// Which set-up.
#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    place: Place,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    level: Level,
    check: &'static str,
    told: String,
    next: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

impl Finding {
    fn ok(check: &'static str, told: impl Into<String>) -> Self {
        Self { level: Level::Ok, check, told: told.into(), next: String::new() }
    }
    fn warn(check: &'static str, told: impl Into<String>, next: impl Into<String>) -> Self {
        Self { level: Level::Warn, check, told: told.into(), next: next.into() }
    }
    fn fail(check: &'static str, told: impl Into<String>, next: impl Into<String>) -> Self {
        Self { level: Level::Fail, check, told: told.into(), next: next.into() }
    }

    fn as_line(&self) -> String {
        let next = if self.next.is_empty() { String::new() } else { format!("; next: {}", self.next) };
        output::printable(&format!("{:4}  {:13}  {}{next}", self.level.name(), self.check, self.told))
    }

    fn as_json(&self) -> String {
        json!({"level": self.level.name(), "check": self.check, "message": self.told, "next": self.next}).to_string()
    }
}

impl Doctor {
    /// Prints the findings; the exit code is 1 if one of them is FAIL.
    pub async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let mut worst = Level::Ok;
        for finding in self.findings(&context.connection).await {
            output::line(&if context.json { finding.as_json() } else { finding.as_line() })?;
            worst = worst.max(finding.level);
        }
        Ok(if worst == Level::Fail { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn findings(&self, connection: &Connection) -> Vec<Finding> {
        let config = match self.place.load() {
            Ok(config) => config,
            Err(failure) => {
                let next = "mend the file of --config, or run without one";
                return vec![Finding::fail("configuration", failure.as_line(), next)];
            }
        };
        let from = self.place.config.as_ref().map_or("the defaults".to_owned(), |path| path.display().to_string());
        let mut findings = vec![Finding::ok("configuration", from)];
        let files = tokio::task::spawn_blocking({
            let config = config.clone();
            move || machine::look(&config).into_iter().chain(tls::look(&config)).collect()
        });
        findings.extend(files.await.unwrap_or_else(|error| {
            vec![Finding::fail("files", format!("the check itself failed: {error}"), "report it")]
        }));
        findings.push(database::ask(&config).await);
        findings.extend(store::ask(&config).await);
        findings.push(machine::clamd(&config).await);
        findings.extend(service::ask(&config, connection).await);
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(findings: &[Finding], check: &str) -> Level {
        findings.iter().find(|finding| finding.check == check).map(|finding| finding.level).expect(check)
    }

    async fn doctor(config: &str) -> (Vec<Finding>, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("lhfile.toml");
        std::fs::write(&file, config.replace("DIR", &dir.path().display().to_string())).expect("written");
        let doctor = Doctor { place: Place { config: Some(file), data_dir: None } };
        (doctor.findings(&Connection::default()).await, dir)
    }

    #[tokio::test]
    async fn fresh_machine_has_no_failure_but_for_what_is_not_installed() {
        let config = "listen = \"127.0.0.1:1\"\ndata_dir = \"DIR/data\"\n[scanner]\nclamd_binary = \"DIR/none\"\n\
                      signature_dir = \"DIR\"";
        let (findings, _dir) = doctor(config).await;
        assert_eq!(of(&findings, "configuration"), Level::Ok);
        assert_eq!(of(&findings, "data folder"), Level::Ok, "{findings:?}");
        assert_eq!(of(&findings, "database"), Level::Ok, "{findings:?}");
        assert_eq!(of(&findings, "clamd"), Level::Fail, "{findings:?}");
        assert_eq!(of(&findings, "signatures"), Level::Warn);
        assert_eq!(of(&findings, "clock"), Level::Ok);
        for finding in findings.iter().filter(|finding| finding.level != Level::Ok) {
            assert!(!finding.next.is_empty(), "{finding:?}");
        }
    }

    #[tokio::test]
    async fn bad_configuration_is_told_and_ends_the_checks() {
        let (findings, _dir) = doctor("colour = 1").await;
        assert_eq!(findings.len(), 1);
        assert!(findings[0].as_line().contains("unknown key colour"), "{findings:?}");
        let json: serde_json::Value = serde_json::from_str(&findings[0].as_json()).expect("JSON");
        assert_eq!(json["level"], "FAIL");
    }

    #[tokio::test]
    async fn symlink_among_the_stored_files_and_an_open_secret_fail() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("data");
        crate::secret::open_or_create(&data).expect("made");
        let secret = crate::secret::path(&data);
        std::fs::set_permissions(secret, std::fs::Permissions::from_mode(0o644)).expect("set");
        std::fs::create_dir_all(data.join("blobs/ab")).expect("made");
        symlink("/etc", data.join("blobs/ab/cd")).expect("linked");
        let doctor = Doctor { place: Place { config: None, data_dir: Some(data) } };
        let findings = doctor.findings(&Connection::default()).await;
        assert_eq!((of(&findings, "secret"), of(&findings, "symlinks")), (Level::Fail, Level::Fail), "{findings:?}");
    }
}
