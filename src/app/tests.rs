//! The upload's way with a fault at every call that it makes, over the twins in memory: thousands of schedules in seconds.
//!
//! Not here: real kills, disks, databases and object stores (`tests/it/`), which show less of it and more of the world.

mod clients;
mod consistency;
mod erasing;
mod faults;
mod faulty;
mod node;
mod purging;
mod rescan;
mod rescan_anew;
mod runs;
mod schedules;
mod sweeping;
