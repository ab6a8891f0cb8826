//! A whole cluster: nodes on addresses of their own, a PostgreSQL, garages, two clamd; and clients that keep it busy.
//!
//! Not here: what goes wrong (`chaos.rs`).

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    checker,
    client::{Client, Field, HALLS},
};
use crate::harness::{
    Bucket, Node, Setup, clamd::Clamd, garages::Garages, place::new_folder, postgres::Cluster as Postgres,
    setup::new_database,
};

/// How long what is left over may take to be cleared away: a lease, and two looks; the machine may be busy.
const CLEARED: Duration = Duration::from_secs(180);

/// All of it.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub bucket: Bucket,
    pub garages: Garages,
    /// One on a unix socket, one on a port.
    pub scanners: [Clamd; 2],
}

impl Cluster {
    /// Three nodes on this PostgreSQL, on 127.0.0.x for three neighbouring x from this one on, each with a garage of its
    /// own beside it.
    pub async fn start(postgres: &'static Postgres, first: u8) -> Self {
        let garages = tokio::task::spawn_blocking(move || Garages::start(first));
        let (garages, unix, tcp) = tokio::join!(garages, Clamd::on_unix_socket(), Clamd::on_tcp());
        let garages = garages.expect("no panic inside");
        let bucket = garages.bucket();
        let (scanners, database) = (format!("{}, {}", unix.address(), tcp.address()), new_database(postgres));
        let nodes = (0..3).map(|n| {
            let setup = Setup::in_bucket(&bucket, garages.address(usize::from(n)))
                .on_database(postgres, &database, &postgres.url(&database))
                .external(&scanners)
                .at(first + n);
            Node::start(setup)
        });
        let nodes = futures_util::future::join_all(nodes).await;
        for hall in HALLS {
            nodes[0].put_chat(hall).await;
        }
        Self { nodes, bucket, garages, scanners: [unix, tcp] }
    }

    /// Where the nodes listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// Fails unless everything is as the clients' journals say, once what is under way has ended and what was left over
    /// is cleared away.
    pub async fn check(&self, field: &Field, clients: u32) {
        println!("{}", field.told());
        let until = Instant::now() + CLEARED;
        loop {
            let left = checker::left(&self.nodes, &self.bucket);
            if left.is_empty() {
                break;
            }
            assert!(Instant::now() < until, "left over: {left:#?}");
            // The minutes in which a store may finish late what it was asked for: `late.rs` is about them.
            self.nodes[0].change("UPDATE uploads SET lease_until = 0 WHERE state = 'BURIED'");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let wrong = checker::check(&self.nodes, &self.bucket, field, clients).await;
        let first: Vec<_> = wrong.iter().take(20).collect();
        assert!(wrong.is_empty(), "{} things are wrong: {first:#?}", wrong.len());
    }
}

/// So many clients do so many operations, each with a pause of at most this before its next.
pub fn busy(addresses: Vec<SocketAddr>, clients: u32, operations: u32, pause: Duration) -> Busy {
    let field = Field::of(addresses, new_folder(), operations, pause);
    let running = (0..clients).map(|number| tokio::spawn(Client::new(number, &field).run())).collect();
    Busy { field, running }
}

/// Clients that run.
pub struct Busy {
    pub field: Arc<Field>,
    running: Vec<tokio::task::JoinHandle<()>>,
}

impl Busy {
    /// All have ended, or one has found something wrong.
    pub fn is_over(&self) -> bool {
        self.field.is_over() || self.running.iter().any(tokio::task::JoinHandle::is_finished)
    }

    /// Waits for all of them.
    pub async fn ended(self) {
        for client in self.running {
            client.await.expect("a client found something wrong");
        }
    }
}
