//! What only the running server knows: that it is ours, that its scanner says no to what it must. Asked with a token
//! minted here.
//!
//! Not here: what can be seen without it (`machine.rs`).

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::Finding;
use crate::{
    cli::{client::Connection, token},
    config::{Config, Listen},
    domain::{CallerKind, Permission, Person},
    ports::{Clock as _, SystemClock},
    rpc::pb,
    server::tls,
};

/// Who asks.
const SERVICE: &str = "doctor";
/// For as long as the question takes.
const TTL: Duration = Duration::from_secs(60);

/// The port, and the scanner if a server of ours listens there. An https:// one is asked with the certificates of
/// `connection`.
pub(super) async fn ask(config: &Config, connection: &Connection) -> Vec<Finding> {
    const CHECK: &str = "port";
    let listen = reachable(&config.listen);
    if is_heard(&listen).await {
        return match status(config, &listen, connection).await {
            Ok(status) => vec![Finding::ok(CHECK, format!("{listen}: the server runs")), scanner(&status)],
            Err(why) => {
                let next = if config.tls.is_on() {
                    "check --ca (who vouches for the certificate), and --client-cert and --client-key if it asks for one"
                } else {
                    "stop what listens there, or set listen; if it is this server, check its data folder"
                };
                vec![Finding::fail(CHECK, format!("{listen} answers, but not as our server: {why}"), next)]
            }
        };
    }
    let free = match &config.listen {
        Listen::Tcp(address) => TcpListener::bind(address).await.map(drop),
        // One that nobody listens on is replaced at the start.
        Listen::Unix(path) => path.parent().map_or(Ok(()), |folder| std::fs::metadata(folder).map(drop)),
    };
    vec![match free {
        Ok(()) => {
            Finding::ok(CHECK, format!("{} is free; no server runs, so its scanner was not asked", config.listen))
        }
        Err(error) => Finding::fail(CHECK, format!("{}: {}", config.listen, why(&error)), "free it, or set listen"),
    }]
}

async fn is_heard(listen: &Listen) -> bool {
    let connected = async {
        match listen {
            Listen::Tcp(address) => TcpStream::connect(address).await.map(drop),
            Listen::Unix(path) => UnixStream::connect(path).await.map(drop),
        }
    };
    matches!(tokio::time::timeout(Duration::from_secs(3), connected).await, Ok(Ok(())))
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "something else has it, which does not answer".to_owned(),
        _ => error.to_string(),
    }
}

/// `0.0.0.0` is listened on, but not connected to.
fn reachable(listen: &Listen) -> Listen {
    match listen {
        Listen::Tcp(address) if address.ip().is_unspecified() => {
            let here = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            Listen::Tcp(SocketAddr::new(here, address.port()))
        }
        other => other.clone(),
    }
}

/// A name that the server's certificate holds: it need not hold the address by which we reach it.
fn server_name(config: &Config) -> Option<String> {
    let said = tls::look(&config.tls, SystemClock.now()).ok()?;
    said.names.iter().find_map(|name| name.strip_prefix("dns:")).map(|name| name.replace('*', "doctor"))
}

async fn status(
    config: &Config,
    listen: &Listen,
    connection: &Connection,
) -> Result<pb::GetScannerStatusResponse, String> {
    let person = Person::new(CallerKind::Service, SERVICE).map_err(|refusal| refusal.to_string())?;
    let permissions = [Permission::MaintenanceRun.name().to_owned()];
    let ttl = TTL.min(Duration::from_secs(config.max_token_ttl_seconds));
    let token = token::mint(config, person, &permissions, &[], None, ttl).map_err(|failure| failure.as_line())?;
    let connection = if config.tls.is_on() {
        let (addr, server_name) = (format!("https://{listen}"), server_name(config));
        Connection { addr, token: Some(token), act_as: None, server_name, ..connection.clone() }
    } else {
        Connection { addr: listen.to_string(), token: Some(token), ..Connection::default() }
    };
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
            listen: Some(Listen::Tcp(listener.local_addr().expect("bound"))),
            data_dir: Some(dir.path().to_owned()),
        };
        let config = Config::load(None, &overrides).expect("holds");
        let closer = async {
            loop {
                drop(listener.accept().await);
            }
        };
        let connection = Connection::default();
        tokio::select! {
            findings = ask(&config, &connection) => assert!(findings[0].told.contains("not as our server"), "{findings:?}"),
            () = closer => {}
        }
    }
}
