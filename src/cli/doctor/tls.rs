//! What the listener's certificate says: whether one can serve with it, and for how long.
//!
//! Not here: whether a running server shows it (`service.rs`).

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::Finding;
use crate::{
    config::Config,
    ports::{Clock as _, SystemClock},
    server::{certified, tls},
};

/// The certificate with its end, and who may read its key; nothing without TLS. Blocking.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "certificate";
    const NEXT: &str =
        "put a new one into tls.cert_file and its key into tls.key_file; a running server reads them itself";
    if !config.tls.is_on() {
        return Vec::new();
    }
    let now = SystemClock.now();
    let shown = config.tls.cert_file.display();
    let certificate = match tls::look(&config.tls, now) {
        Err(why) => Finding::fail(CHECK, why, NEXT),
        Ok(said) => {
            let left = said.ends.secs() - now.secs();
            let names: Vec<_> = said.names.iter().collect();
            let told =
                format!("{shown} for {} ends {}, in {} days", names.join(", "), tls::told(said.ends), left / 86_400);
            if left < tls::WARN_BEFORE.as_secs().cast_signed() {
                Finding::warn(CHECK, told, NEXT)
            } else {
                Finding::ok(CHECK, told)
            }
        }
    };
    let mut findings = vec![certificate];
    if let Err(why) = certified::callers(&config.tls) {
        findings.push(Finding::fail("certified", why, "mend tls.callers"));
    }
    let key = &config.tls.key_file;
    if fs::metadata(key).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0) {
        let why = format!("{} can be read by everybody on this machine", key.display());
        findings.push(Finding::warn("private key", why, format!("chmod 600 {}", key.display())));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};
    use crate::config::Overrides;

    fn findings(ends_in_days: i64, mode: u32, callers: &str) -> Vec<Finding> {
        let folder = tempfile::tempdir().expect("a folder");
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let pair = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(["files.example.com".to_owned()]).expect("a name");
        let now = std::time::Duration::from_secs(SystemClock.now().secs().unsigned_abs());
        let day = std::time::Duration::from_secs(86_400);
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + now - 100 * day;
        params.not_after = epoch + now + day / 2;
        params.not_after = if ends_in_days < 0 {
            params.not_after - day * ends_in_days.unsigned_abs() as u32
        } else {
            params.not_after + day * ends_in_days as u32
        };
        fs::write(&cert, params.self_signed(&pair).expect("a certificate").pem()).expect("our own folder");
        fs::write(&key, pair.serialize_pem()).expect("our own folder");
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("our own file");
        let file = folder.path().join("lhfile.toml");
        let text = format!(
            "[tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n{}",
            callers.replace("CERT", &cert.display().to_string())
        );
        fs::write(&file, text).expect("our own folder");
        look(&Config::load(Some(&file), &Overrides::default()).expect("it holds"))
    }

    #[test]
    fn certificate_is_told_with_its_name_and_its_end() {
        for (days, level) in [(100, Level::Ok), (13, Level::Warn), (-1, Level::Fail)] {
            let found = findings(days, 0o600, "");
            assert_eq!(found.iter().map(|f| f.level).collect::<Vec<_>>(), [level], "{found:?}");
            let told = if level == Level::Fail { "expired" } else { "dns:files.example.com" };
            assert!(found[0].told.contains(told), "{found:?}");
        }
    }

    #[test]
    fn key_that_everybody_may_read_and_a_service_with_an_unknown_right_are_told() {
        let callers = "client_ca_file = \"CERT\"\nclient_certificates = \"optional\"\n[[tls.callers]]\n\
                       certificate = \"cn:b\"\nservice = \"b\"\npermissions = [\"root\"]\nchats = []\n";
        let found = findings(100, 0o644, callers);
        let of = |check: &str| found.iter().find(|f| f.check == check).map(|f| f.level);
        assert_eq!((of("private key"), of("certified")), (Some(Level::Warn), Some(Level::Fail)), "{found:?}");
    }

    #[test]
    fn nothing_is_told_without_tls() {
        assert_eq!(look(&Config::load(None, &Overrides::default()).expect("the defaults hold")), []);
    }
}
