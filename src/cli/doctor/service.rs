//! What only the running server knows: that it is ours, that its scanner says no to what it must. Asked with a token
//! minted here.
//!
//! Not here: what can be seen without it (`machine.rs`).

use std::{io, net::SocketAddr, time::Duration};

use tokio::net::{TcpListener, TcpStream};

use super::Finding;
use crate::{
    cli::{client::Connection, token},
    config::Config,
    domain::{CallerKind, Permission, Person},
    rpc::pb,
};

/// Who asks.
const SERVICE: &str = "doctor";
/// For as long as the question takes.
const TTL: Duration = Duration::from_secs(60);

/// The port, and the scanner if a server of ours listens there.
pub(super) async fn ask(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "port";
    let addr = reachable(config.listen);
    let connected = tokio::time::timeout(Duration::from_secs(3), TcpStream::connect(addr)).await;
    if matches!(connected, Ok(Ok(_))) {
        return match status(config, addr).await {
            Ok(status) => vec![Finding::ok(CHECK, format!("{addr}: the server runs")), scanner(&status)],
            Err(why) => {
                let next = "stop what listens there, or set listen; if it is this server, check its data folder";
                vec![Finding::fail(CHECK, format!("{addr} answers, but not as our server: {why}"), next)]
            }
        };
    }
    vec![match TcpListener::bind(config.listen).await {
        Ok(_) => Finding::ok(CHECK, format!("{} is free; no server runs, so its scanner was not asked", config.listen)),
        Err(error) => Finding::fail(CHECK, format!("{}: {}", config.listen, why(&error)), "free it, or set listen"),
    }]
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "something else has it, which does not answer".to_owned(),
        _ => error.to_string(),
    }
}

/// `0.0.0.0` is listened on, but not connected to.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let mut addr = listen;
    if listen.ip().is_unspecified() {
        addr.set_ip(if listen.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    addr
}

async fn status(config: &Config, addr: SocketAddr) -> Result<pb::GetScannerStatusResponse, String> {
    let person = Person::new(CallerKind::Service, SERVICE).map_err(|refusal| refusal.to_string())?;
    let permissions = [Permission::MaintenanceRun.name().to_owned()];
    let ttl = TTL.min(Duration::from_secs(config.max_token_ttl_seconds));
    let token = token::mint(config, person, &permissions, &[], None, ttl).map_err(|failure| failure.as_line())?;
    let connection = Connection { addr: addr.to_string(), token: Some(token), act_as: None };
    let asked = async {
        let mut maintenance = connection.maintenance().await?;
        Ok(maintenance.get_scanner_status(pb::GetScannerStatusRequest {}).await?.into_inner())
    };
    match tokio::time::timeout(Duration::from_secs(10), asked).await {
        Ok(answer) => answer.map_err(|failure: crate::cli::failure::Failure| failure.as_line()),
        Err(_) => Err("no answer within 10 s".to_owned()),
    }
}

fn scanner(status: &pb::GetScannerStatusResponse) -> Finding {
    const CHECK: &str = "scanner";
    let at = format!("{} at {}", status.engine, status.address);
    let probes: Vec<_> = status.canaries.iter().filter(|canary| !canary.passed).map(|c| c.name.as_str()).collect();
    if !status.healthy {
        let probes = if probes.is_empty() { String::new() } else { format!(" (probes: {})", probes.join(", ")) };
        let why = format!("{at} does not work: {}{probes}; uploads are refused", status.reason);
        return Finding::fail(CHECK, why, "`lhfile scanner status` tells more");
    }
    let told = format!("{at}: {} probes came back as they must", status.canaries.len());
    if status.test_signatures_only {
        return Finding::warn(CHECK, format!("{told}, but on test signatures only"), "run `freshclam`");
    }
    if status.signatures_too_old {
        return Finding::warn(CHECK, format!("{told}, but its signatures are old"), "run `freshclam`");
    }
    Finding::ok(CHECK, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scanner_that_fails_a_probe_or_knows_test_signatures_only_is_not_ok() {
        use super::super::Level;
        let good = pb::GetScannerStatusResponse { healthy: true, ..Default::default() };
        assert_eq!(scanner(&good).level, Level::Ok);
        let test = pb::GetScannerStatusResponse { test_signatures_only: true, ..good.clone() };
        assert_eq!(scanner(&test).level, Level::Warn);
        let canary = pb::Canary { name: "eicar".into(), ..Default::default() };
        let down = pb::GetScannerStatusResponse { healthy: false, canaries: vec![canary], ..good };
        let finding = scanner(&down);
        assert_eq!(finding.level, Level::Fail);
        assert!(finding.told.contains("eicar"), "{finding:?}");
    }

    #[tokio::test]
    async fn port_that_another_program_has_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let dir = tempfile::tempdir().expect("a folder");
        let overrides = crate::config::Overrides {
            listen: Some(listener.local_addr().expect("bound")),
            data_dir: Some(dir.path().to_owned()),
        };
        let config = Config::load(None, &overrides).expect("holds");
        let closer = async {
            loop {
                drop(listener.accept().await);
            }
        };
        tokio::select! {
            findings = ask(&config) => assert!(findings[0].told.contains("not as our server"), "{findings:?}"),
            () = closer => {}
        }
    }
}
