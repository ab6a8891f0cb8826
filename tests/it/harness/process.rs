//! Child processes that never outlive the tests, however these end.
//!
//! A child gets a signal when the thread that started it ends, so one thread starts them all and never ends before the
//! process does.

use std::{
    io,
    process::{Child, Command},
    sync::{
        LazyLock, Mutex,
        mpsc::{Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

type Order = (Command, Sender<io::Result<Child>>);

static NURSERY: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
    let (orders, ordered) = channel::<Order>();
    thread::spawn(move || {
        for (mut command, answer) in ordered {
            let _ = answer.send(command.spawn());
        }
    });
    Mutex::new(orders)
});

/// A command that ends with this process: `setpriv` (util-linux) sets the signal, then becomes the program.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// The same for what has nothing to put in order, and may have been stopped: it is killed.
pub fn mortal(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Starts it. Panics if it cannot be started.
pub fn spawn(command: Command) -> Child {
    let (answer, answered) = channel();
    NURSERY.lock().expect("no panic inside").send((command, answer)).expect("the nursery lives on");
    answered.recv().expect("it answers").expect("the program is installed")
}

/// Sends a signal by name, as `KILL`.
pub fn signal(pid: u32, name: &str) {
    let done = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().expect("kill is there");
    assert!(done.success(), "SIG{name} to {pid}");
}

/// Waits for the end of a child; `false` if it still runs then.
pub fn wait_for_end(child: &mut Child, at_most: Duration) -> bool {
    let until = Instant::now() + at_most;
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(10)),
            Ok(None) => return false,
            Ok(Some(_)) | Err(_) => return true,
        }
    }
}

/// Peak of the resident memory of a process, in bytes, since its start.
pub fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("Linux tells it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}

fn all() -> impl Iterator<Item = u32> {
    let all = std::fs::read_dir("/proc").expect("Linux");
    all.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok())
}

/// Processes that were started with this argument.
pub fn with_argument(argument: &str) -> Vec<u32> {
    let has = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|b| *b == 0).skip(1).any(|word| word == argument.as_bytes())
    };
    all().filter(has).collect()
}

/// Children of a process whose command is `name`.
pub fn children(of: u32, name: &str) -> Vec<u32> {
    all()
        .filter(|pid| {
            let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
            let Some((head, tail)) = stat.rsplit_once(") ") else { return false };
            let parent = tail.split_whitespace().nth(1).and_then(|p| p.parse::<u32>().ok());
            parent == Some(of) && head.ends_with(&format!("({name}"))
        })
        .collect()
}
