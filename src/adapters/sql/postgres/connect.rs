//! One connection to a PostgreSQL server: where, how secured, with which timeouts, and whether its OK is durable.
//!
//! Not here: the pool (`super`) and the TLS stream itself (`tls.rs`).

use std::{error::Error, net::IpAddr, time::Duration};

use diesel::{QueryableByName, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use tokio_postgres::{
    NoTls,
    config::{Host, SslMode},
};

use super::{super::Looked, tls::Tls, unavailable};
use crate::ports::StoreError;

/// Longest wait for a server to take a connection and to say what it is.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// A server that does not confirm what was sent is gone after this.
const SILENCE: Duration = Duration::from_secs(15);
/// The oldest version that is tried.
const OLDEST: i32 = 150_000;
/// Of every session. A body's statements are short; a connection that died in the middle of a body holds its locks no
/// longer than the second.
const TIMEOUTS: &str = "-c statement_timeout=15s -c idle_in_transaction_session_timeout=10s -c synchronous_commit=on";

/// Where the database is and how one gets there.
#[derive(Clone)]
pub(in super::super) struct Server {
    pub(super) config: tokio_postgres::Config,
    pub(super) tls: Option<Tls>,
}

impl Server {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/NAME?…`. `sslmode` is `disable` (unless told, on this machine only), `require` (encrypted, to whomever) or
    /// `verify-full` (to the host of that name, by `sslrootcert=FILE` or the machine's own certificates). No message
    /// holds the password.
    pub(in super::super) fn parse(url: &str) -> Result<Self, StoreError> {
        let bad = |why: String| StoreError::Refused(format!("database_url: {why}"));
        let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
        for parameter in parameters.split('&').filter(|p| !p.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => roots = Some(value),
                _ => rest.push(parameter),
            }
        }
        let mut config: tokio_postgres::Config =
            format!("{place}?{}", rest.join("&")).parse().map_err(|e| bad(told(&e)))?;
        if mode.is_none() && !config.get_hosts().iter().all(is_here) {
            let what = "the database is on another machine, and sslmode says nothing of TLS";
            return Err(bad(format!(
                "{what}: add sslmode=verify-full, or sslmode=disable for a network that you trust"
            )));
        }
        let tls = match (mode.unwrap_or("disable"), roots) {
            ("disable", None) => None,
            ("require", None) => Some(Tls::to_anyone()),
            ("verify-full", roots) => Some(Tls::verified(roots).map_err(bad)?),
            ("disable" | "require", Some(_)) => return Err(bad("sslrootcert goes with sslmode=verify-full".into())),
            _ => return Err(bad("sslmode is disable, require or verify-full".into())),
        };
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        let options = config.get_options().map_or(TIMEOUTS.to_owned(), |own| format!("{TIMEOUTS} {own}"));
        config.options(options);
        if config.get_application_name().is_none() {
            config.application_name("lhfile");
        }
        if config.get_connect_timeout().is_none() {
            // Of several hosts a silent one must leave time for the next.
            let hosts = u32::try_from(config.get_hosts().len()).unwrap_or(u32::MAX).max(1);
            config.connect_timeout(if hosts == 1 { CONNECT } else { CONNECT / (hosts + 1) });
        }
        config.tcp_user_timeout(SILENCE).keepalives_idle(SILENCE);
        Ok(Self { config, tls })
    }

    /// A connection whose OK is durable; anything else is refused (start-up check S1).
    pub(in super::super) async fn connect(&self) -> Result<AsyncPgConnection, StoreError> {
        let made = tokio::time::timeout(CONNECT, self.make());
        made.await.unwrap_or_else(|_| Err(unavailable(format!("the database did not answer within {CONNECT:?}"))))
    }

    async fn make(&self) -> Result<AsyncPgConnection, StoreError> {
        let failed = |e: tokio_postgres::Error| unavailable(told(&e));
        let lost = |e: diesel::ConnectionError| unavailable(e);
        let mut conn = match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(failed)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await.map_err(lost)?
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await.map_err(failed)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await.map_err(lost)?
            }
        };
        let session = Session::of(&mut conn).await?;
        session.judge()?;
        if !session.is_english() {
            // Not everybody may: who may not has to be helped by an administrator.
            conn.batch_execute("SET lc_messages TO 'C'").await.map_err(|_| {
                let what = "the server's messages are not in English, by which some failures are told apart";
                StoreError::Refused(format!("{what}: ALTER ROLE … SET lc_messages TO 'C' as a superuser"))
            })?;
        }
        Ok(conn)
    }
}

/// On this machine: nobody else hears what is said.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
        Host::Unix(_) => true,
    }
}

/// Which server answers there, for people, and what it would lose. Changes nothing.
pub(in super::super) async fn look(url: &str) -> Result<Looked, StoreError> {
    let mut conn = Server::parse(url)?.connect().await?;
    let session = Session::of(&mut conn).await?;
    let told = format!("PostgreSQL {}, database {}, commits are durable", session.version_text, session.name);
    let followers: Followers = diesel::sql_query(FOLLOWERS).get_result(&mut conn).await?;
    Ok(Looked { told, lossy_standbys: followers.lossy() })
}

/// Who gets our commits, and who is waited for. A backup under way, and who follows single tables, is no standby; a role
/// that may not see what a follower does sees that there is one.
const FOLLOWERS: &str = "SELECT current_setting('synchronous_standby_names') AS waited_for, count(*) AS following \
     FROM pg_stat_replication r WHERE coalesce(r.state, 'streaming') <> 'backup' AND NOT EXISTS \
     (SELECT 1 FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')";

#[derive(QueryableByName)]
struct Followers {
    #[diesel(sql_type = sql_types::Text)]
    waited_for: String,
    #[diesel(sql_type = sql_types::BigInt)]
    following: i64,
}

impl Followers {
    /// Standbys that may be behind when one of them takes over: all, where a commit waits for none.
    fn lossy(&self) -> u64 {
        if self.waited_for.trim().is_empty() { self.following.unsigned_abs() } else { 0 }
    }
}

/// What a session says of itself.
#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = sql_types::Integer)]
    version: i32,
    #[diesel(sql_type = sql_types::Text)]
    version_text: String,
    #[diesel(sql_type = sql_types::Text)]
    name: String,
    #[diesel(sql_type = sql_types::Text)]
    synchronous_commit: String,
    #[diesel(sql_type = sql_types::Text)]
    fsync: String,
    #[diesel(sql_type = sql_types::Text)]
    encoding: String,
    #[diesel(sql_type = sql_types::Text)]
    messages: String,
    #[diesel(sql_type = sql_types::Bool)]
    standby: bool,
}

impl Session {
    async fn of(conn: &mut AsyncPgConnection) -> Result<Self, StoreError> {
        let question = "SELECT current_setting('server_version_num')::int AS version, \
             current_setting('server_version') AS version_text, current_database()::text AS name, \
             current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync, \
             current_setting('server_encoding') AS encoding, current_setting('lc_messages') AS messages, \
             pg_is_in_recovery() AS standby";
        Ok(diesel::sql_query(question).get_result(conn).await?)
    }

    fn judge(&self) -> Result<(), StoreError> {
        let refused = |why: String| Err(StoreError::Refused(why));
        if self.version < OLDEST {
            return refused(format!("PostgreSQL {} is too old: 15 is the oldest that is tried", self.version_text));
        }
        if self.standby {
            return Err(unavailable("this server is a standby: nothing can be written there"));
        }
        // remote_apply waits for more than on does.
        if !matches!(self.synchronous_commit.as_str(), "on" | "remote_apply") {
            let found = &self.synchronous_commit;
            return refused(format!("synchronous_commit is {found} and must be on: commits would not be durable"));
        }
        if self.fsync != "on" {
            return refused(format!("fsync is {} and must be on: commits would not be durable", self.fsync));
        }
        if self.encoding != "UTF8" {
            return refused(format!("the database's encoding is {} and must be UTF8", self.encoding));
        }
        Ok(())
    }

    fn is_english(&self) -> bool {
        let messages = self.messages.as_str();
        messages.is_empty()
            || messages == "POSIX"
            || messages == "C"
            || messages.starts_with("C.")
            || messages.starts_with("en")
    }
}

/// An error with its causes: the driver's own text names none.
pub(super) fn told(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standbys_are_lossy_where_a_commit_waits_for_none_of_them() {
        for (waited_for, following, lossy) in [("", 0, 0), ("", 2, 2), (" ", 1, 1), ("ANY 1 (*)", 2, 0)] {
            assert_eq!(Followers { waited_for: waited_for.to_owned(), following }.lossy(), lossy, "{waited_for:?}");
        }
    }
}
