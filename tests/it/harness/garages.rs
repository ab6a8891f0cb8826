//! Three garages that are one store: each keeps a copy of everything, on an address of its own, 127.0.0.x.
//!
//! With one of them dead the other two go on; with two dead nothing is read or written. Not here: the one garage that all
//! other tests share, and what a bucket is (`garage.rs`).

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use super::{
    Bucket,
    garage::{BUCKET, Garage, KEY_ID, SECRET, TAKEN},
};

/// How long the three may take to find each other.
const TOGETHER: Duration = Duration::from_secs(60);
/// How often one of their ports may be taken between our look and garage's.
const PORTS: u32 = 5;

/// The three of them, with a bucket in it.
pub struct Garages([Garage; 3]);

impl Garages {
    /// On 127.0.0.x, for three neighbouring x from this one on.
    pub fn start(first: u8) -> Self {
        let mut garages = Self([0, 1, 2].map(|n| launched(Ipv4Addr::new(127, 0, 0, first + n))));
        garages.unite();
        garages
    }

    fn unite(&mut self) {
        let [one, others @ ..] = &self.0;
        for other in others {
            let id = other.ask(&["node", "id", "-q"]).expect("it runs");
            one.ask(&["node", "connect", id.trim()]).expect("it listens");
        }
        for (zone, garage) in self.0.iter().enumerate() {
            let id = garage.ask(&["node", "id", "-q"]).expect("it runs");
            let id = id.split('@').next().expect("an id");
            one.ask(&["layout", "assign", "-z", &format!("zone{zone}"), "-c", "10G", id]).expect("assigned");
        }
        one.ask(&["layout", "apply", "--version", "1"]).expect("applied");
        let until = Instant::now() + TOGETHER;
        for step in [
            &["bucket", "create", BUCKET][..],
            &["key", "import", "--yes", "-n", "tests", KEY_ID, SECRET],
            &["bucket", "allow", "--read", "--write", BUCKET, "--key", KEY_ID],
        ] {
            // Until all three know the layout there are not enough of them.
            while let Err(why) = one.ask(step) {
                if why.contains("already exists") {
                    break;
                }
                assert!(Instant::now() < until, "{why}");
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        for number in 0..3 {
            self.wait_for(number);
        }
    }

    /// The whole bucket, under one prefix, looked into by way of the first garage.
    pub fn bucket(&self) -> Bucket {
        self.0[0].bucket("it")
    }

    /// Where one listens.
    pub fn address(&self, number: usize) -> SocketAddr {
        self.0[number].address
    }

    /// SIGKILL.
    pub fn kill9(&mut self, number: usize) {
        self.0[number].kill9();
    }

    /// Starts one again, and waits until it takes calls of its own commands.
    pub fn launch(&mut self, number: usize) {
        launch(&mut self.0[number]).unwrap_or_else(|why| panic!("{why}"));
    }

    /// Waits until one of them answers for the whole store.
    pub fn wait_for(&self, number: usize) {
        let bucket = self.0[number].bucket("it");
        let until = Instant::now() + TOGETHER;
        while let Err(why) = bucket.try_objects() {
            assert!(Instant::now() < until, "garage {number} does not serve: {why}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn launched(ip: Ipv4Addr) -> Garage {
    for _ in 0..PORTS {
        let mut garage = Garage::of(ip, 3);
        match launch(&mut garage) {
            Ok(()) => return garage,
            Err(why) if why.contains(TAKEN) => {}
            Err(why) => panic!("garage does not start: {why}"),
        }
    }
    panic!("garage does not start on {ip}: {PORTS} ports were free when they were looked for, and taken when it came");
}

fn launch(garage: &mut Garage) -> Result<(), String> {
    let rpc = garage.rpc;
    // Not by its own command: that would start a process every time.
    garage.launch(&[], || std::net::TcpStream::connect(rpc).is_ok())
}
