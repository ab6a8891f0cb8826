//! The servers of the second pair, those of the tests: a PostgreSQL and a garage, one of each for the whole run.
//!
//! Not here: which measurement uses them (`pair.rs`).

#[path = "../../tests/it/harness/garage.rs"]
mod garage;
#[path = "../../tests/it/harness/orphan.rs"]
mod orphan;
#[path = "../../tests/it/harness/place.rs"]
mod place;
#[path = "../../tests/it/harness/postgres.rs"]
mod postgres;
#[path = "../../tests/it/harness/process.rs"]
mod process;

pub use garage::Bucket;
pub use postgres::cluster;
