//! What a process has used, as the kernel counts it: CPU of user and system together, and its peak of memory.
//!
//! Never guessed from wall time. Linux only, as the service is.

use std::{fs, process::Child};

use crate::Fallible;

/// Ticks of `/proc/PID/stat` in a second: USER_HZ, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU-seconds of a process so far, user and system, of all its threads that ever were.
pub fn cpu_seconds(pid: u32) -> Fallible<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold spaces and brackets: the fields are counted from behind it, the state being the third.
    let (_, fields) = stat.rsplit_once(')').ok_or("no process name in stat")?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let ticks = |number: usize| -> Fallible<f64> { Ok(fields.get(number - 3).ok_or("stat is too short")?.parse()?) };
    Ok((ticks(14)? + ticks(15)?) / TICKS_PER_SECOND)
}

/// CPU-seconds of this thread so far, to the nanosecond.
pub fn own_cpu_seconds() -> Fallible<f64> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = stat.split_ascii_whitespace().next().ok_or("schedstat is empty")?.parse()?;
    Ok(nanoseconds / 1e9)
}

/// The most memory a process ever had resident, in MiB.
pub fn peak_mib(pid: u32) -> Fallible<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in status")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// A child that ends with its owner, however the owner ends short of a kill.
pub struct Ended(pub Child);

impl Ended {
    /// Asks it to end (SIGTERM) and waits until it has.
    pub fn end(mut self) -> Fallible<()> {
        let pid = i32::try_from(self.0.id())?;
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // Errors only say that it has ended.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
