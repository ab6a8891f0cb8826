//! The budgets of performance: each figure of the product beside that of its parts alone, taken in the same run.
//!
//! `cargo bench` measures all of them, `cargo bench -- --only B2,B5` some. Each row alternates product and reference,
//! at least five rounds after one that does not count. The files stay until the end, because a disk that has just
//! deleted is slow. What is measured: `large.rs`, `small.rs`, `scanned.rs`, `lists.rs`, `memory.rs`, `maintained.rs`; by what: `product.rs`
//! (the server, on one of the pairs of `pair.rs`), `bare.rs` (bare tonic), `disk.rs`, `objects.rs`, `engine.rs`,
//! `engine_postgres.rs`, `clamd.rs` (the parts alone).

use std::{
    cell::Cell,
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::Parser as _;

mod bare;
mod clamd;
mod client;
mod disk;
mod engine;
mod engine_postgres;
mod large;
mod lists;
mod made;
mod maintained;
mod memory;
#[path = "../../tests/it/harness/million.rs"]
mod million;
mod objects;
#[path = "../../tests/it/harness/old.rs"]
mod old;
mod pair;
mod parts;
mod process;
mod product;
mod report;
mod scanned;
#[expect(dead_code, clippy::disallowed_methods, reason = "they are the servers of the tests, which ask more of them")]
mod servers;
mod small;

use pair::Pair;
use report::Row;

/// What can go wrong in a measurement: anything, and then it is over.
pub type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The command line.
#[derive(clap::Parser)]
struct Arguments {
    /// Only these, as `B2,B5`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Database and store that the product runs on.
    #[arg(long, value_enum, default_value = "sqlite+disk")]
    pair: Pair,
    /// Rounds that count, of those that are repeated.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Where the fresh folders are made: on the disk that is to be measured.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    folder: PathBuf,
    /// Keeps the folders, with the servers' logs.
    #[arg(long)]
    keep: bool,
    /// Is the reference server, with its files there.
    #[arg(long, hide = true)]
    bare: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What all measurements share.
pub struct Bench {
    /// What the product runs on.
    pub pair: Pair,
    root: PathBuf,
    rounds: usize,
    seeds: Cell<u64>,
}

impl Bench {
    /// A folder that was not there before.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A seed that nothing was made from yet.
    pub fn seed(&self) -> u64 {
        self.seeds(1)
    }

    /// The first of so many.
    pub fn seeds(&self, count: usize) -> u64 {
        self.seeds.replace(self.seeds.get() + count as u64)
    }

    /// The numbers of the rounds, 0 for the one that does not count; tells each.
    pub fn rounds(&self, what: &str) -> impl Iterator<Item = usize> + use<> {
        let (what, rounds) = (what.to_owned(), self.rounds);
        (0..=rounds).inspect(move |round| eprintln!("   {what}: round {round} of {rounds}"))
    }

    /// Both, the one after the other; every other round the other way round.
    pub async fn alternately<A, B>(
        &self,
        round: usize,
        product: impl Future<Output = Fallible<A>>,
        reference: impl Future<Output = Fallible<B>>,
    ) -> Fallible<(A, B)> {
        if round.is_multiple_of(2) {
            let reference = reference.await?;
            return Ok((product.await?, reference));
        }
        let product = product.await?;
        Ok((product, reference.await?))
    }

    /// The folder of the generated signatures, made when it is asked for first.
    pub fn signatures(&self) -> Fallible<PathBuf> {
        let folder = self.folder("signatures");
        if !folder.exists() {
            clamd::make_signatures(&folder)?;
        }
        Ok(folder)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(arguments)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("budgets: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Fallible<()> {
    let Arguments { only, pair, rounds, folder, keep, bare, bench: _ } = arguments;
    if let Some(folder) = bare {
        return bare::serve(folder).await;
    }
    let root = folder.join(format!("budgets-{}", std::process::id()));
    std::fs::create_dir_all(&root)?;
    let bench = Bench { pair, root: root.clone(), rounds, seeds: Cell::new(u64::from(std::process::id()) << 32) };
    let rows = measure_all(&bench, &only).await;
    if let Ok(rows) = &rows {
        report::print(rows);
    }
    if keep || rows.is_err() {
        eprintln!("the servers' folders and logs are in {}", root.display());
    } else {
        std::fs::remove_dir_all(&root)?;
    }
    rows.map(drop)
}

async fn measure_all(bench: &Bench, only: &[String]) -> Fallible<Vec<Row>> {
    let asked = |budget: &str| only.is_empty() || only.iter().any(|name| name.eq_ignore_ascii_case(budget));
    tell_machine(&bench.root);
    let mut rows: Vec<Row> = Vec::new();
    macro_rules! measure {
        ($($budget:literal $measurement:path,)+) => {$(
            if asked($budget) {
                let started = Instant::now();
                eprintln!("{}", $budget);
                let new = Box::pin($measurement(bench)).await?;
                new.iter().for_each(|row| println!("{}", row.told()));
                eprintln!("   {:.0} s", started.elapsed().as_secs_f64());
                rows.extend(new);
            }
        )+};
    }
    // What is most sensitive to a tired disk comes first.
    measure! {
        "B5" small::rate_of_small_files,
        "B6" small::added_latency,
        "B14" small::small_calls,
        "B1" large::cpu_of_uploads,
        "B2" large::throughput,
        "B7" large::cpu_of_downloads,
        "B3" scanned::scanned_upload,
        "B4" scanned::rate_of_scanned_uploads,
        "B13" scanned::known_bytes,
        "B11" large::into_the_object_store,
        "B8" lists::pages,
        "B12" lists::start,
        "B9" memory::peaks,
        "B10" maintained::maintenance,
    }
    rows.sort_by_key(|row| row.budget[1..].parse::<u32>().unwrap_or(u32::MAX));
    Ok(rows)
}

/// Figures mean little without it.
fn tell_machine(root: &Path) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    println!("{cores} cores, load {load} at the start, folders in {}", root.display());
    if !std::fs::read_to_string("/proc/cpuinfo")
        .is_ok_and(|cpu| cpu.split_whitespace().any(|flag| matches!(flag, "sha_ni" | "sha2")))
    {
        println!("no instructions for SHA-256: hashing takes four times as long as where there are");
    }
    if load.parse::<f64>().is_ok_and(|load| load > 0.5 * cores as f64) {
        println!("the machine is not quiet: take what follows with care");
    }
}
