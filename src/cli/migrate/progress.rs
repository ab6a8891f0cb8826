//! How far a move is: a bar on a terminal, a line every few seconds elsewhere; for programs nothing.
//!
//! Not here: what is done (`app/moving.rs`).

use std::{
    io::IsTerminal as _,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{app::moving::Progress, cli::output};

/// Between two lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Tells people on standard error.
pub(super) struct Told {
    silent: bool,
    terminal: bool,
    stretch: Mutex<Option<Stretch>>,
}

/// What is under way.
struct Stretch {
    what: String,
    things: (u64, u64),
    bytes: (u64, Option<u64>),
    begun: Instant,
    told: Instant,
    bar: Option<ProgressBar>,
}

impl Stretch {
    /// `files 120/10000, 3 MiB of 1 GiB, 2 MiB/s, 4 minutes left`.
    fn line(&self) -> String {
        let (done, all) = self.things;
        let passed = self.begun.elapsed();
        let seconds = passed.as_secs_f64().max(0.001);
        let mut line = format!("{} {done}/{all}", self.what);
        if let (bytes, Some(of)) = self.bytes {
            let rate = HumanBytes((bytes as f64 / seconds) as u64);
            line += &format!(", {} of {}, {rate}/s", HumanBytes(bytes), HumanBytes(of));
        } else {
            line += &format!(", {:.0}/s", done as f64 / seconds);
        }
        if done > 0 && done < all {
            let left = passed.mul_f64((all - done) as f64 / done as f64);
            line += &format!(", {} left", HumanDuration(left));
        }
        line
    }
}

impl Told {
    pub(super) fn new(json: bool) -> Self {
        Self { silent: json, terminal: std::io::stderr().is_terminal(), stretch: Mutex::new(None) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Option<Stretch>) -> T) -> T {
        work(&mut self.stretch.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The bar goes, whatever became of the move.
    pub(super) fn clear(&self) {
        self.with(|stretch| {
            if let Some(bar) = stretch.take().and_then(|stretch| stretch.bar) {
                bar.finish_and_clear();
            }
        });
    }
}

impl Progress for Told {
    fn begin(&self, what: &str, things: u64, bytes: Option<u64>) {
        self.clear();
        if self.silent {
            return;
        }
        let bar = self.terminal.then(|| {
            let bar = ProgressBar::with_draw_target(Some(things), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{wide_bar} {msg}").expect("the template is well-formed");
            bar.set_style(style);
            bar
        });
        let now = Instant::now();
        let stretch =
            Stretch { what: what.to_owned(), things: (0, things), bytes: (0, bytes), begun: now, told: now, bar };
        self.with(|current| *current = Some(stretch));
    }

    fn advance(&self, things: u64, bytes: u64) {
        self.with(|stretch| {
            let Some(stretch) = stretch else { return };
            stretch.things.0 += things;
            stretch.bytes.0 += bytes;
            if let Some(bar) = &stretch.bar {
                bar.set_position(stretch.things.0);
                bar.set_message(stretch.line());
            } else if stretch.told.elapsed() >= LINE_EVERY {
                stretch.told = Instant::now();
                eprintln!("{}", stretch.line());
            }
        });
    }

    fn end(&self) {
        let line = self.with(|stretch| stretch.as_ref().map(Stretch::line));
        self.clear();
        if let Some(line) = line {
            self.tell(&line);
        }
    }

    fn tell(&self, line: &str) {
        if self.silent {
            return;
        }
        let line = output::printable(line);
        let bar = self.with(|stretch| stretch.as_ref().and_then(|stretch| stretch.bar.clone()));
        match bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}
