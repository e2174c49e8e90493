//! `--metrics-file`: the numbers of the bucket in a file, for as long as this process carries a run out.
//!
//! A thread of its own reads the journal and writes the file. The run only tells it that something has happened; it
//! waits for it once, at its end, and not for long.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueHint};

use super::super::{CliError, Context, out};
use crate::bucket::Bucket;
use crate::engine::{Millis, Stamped};
use crate::metrics::prometheus_text;
use crate::os::disk;
use crate::plan::Problem;
use crate::report::{EventLine, Reporter, RunView};
use crate::run::{Leaves, MetricsReader};

/// Whoever reads such files is another user. Nothing in them is secret that a page of the run shows.
pub(super) const MODE: u32 = 0o644;

/// However much happens, the file is not written more often.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// However little happens, it is written this often: an old one means that the controller is gone.
const AT_LEAST_EVERY: Duration = Duration::from_secs(15);

/// So long a run that has ended waits for its last numbers.
const LAST_WAITED_FOR: Duration = Duration::from_secs(10);

/// Where the numbers go while a run is carried out.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct MetricsFile {
    /// Keep the bucket's numbers in this file for node_exporter (whose folder takes FILE.prom)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    metrics_file: Option<PathBuf>,
}

impl MetricsFile {
    /// Asked before a run is made.
    ///
    /// # Errors
    /// The name is that of something else than a file.
    pub(super) fn check(&self) -> Result<(), Problem> {
        self.metrics_file.as_deref().map_or(Ok(()), check_target)
    }

    /// A reporter that keeps the file beside what `shown` does. That it cannot be written is a warning, at the end.
    ///
    /// # Errors
    /// There is no bucket.
    pub(super) fn beside(
        &self,
        shown: Box<dyn Reporter>,
        context: &Context,
    ) -> Result<Box<dyn Reporter>, CliError> {
        let Some(file) = &self.metrics_file else { return Ok(shown) };
        let bucket = Bucket::find(context.bucket.as_deref())?;
        let told = Arc::new(Told::default());
        let writer = Writer { file: file.clone(), told: Arc::clone(&told) };
        let reader = MetricsReader::new(&bucket);
        let started =
            thread::Builder::new().name("metrics-file".to_owned()).spawn(move || writer.run(reader));
        if let Err(error) = started {
            warn(&unwritable(file, &error), context.colors);
            return Ok(shown);
        }
        Ok(Box::new(WithFile { shown, last: Last { told, colors: context.colors } }))
    }
}

/// Refuses what a file must not be put in the place of. A link is replaced, and not what it leads to.
pub(super) fn check_target(file: &Path) -> Result<(), Problem> {
    match file.symlink_metadata() {
        Ok(meta) if !meta.is_file() && !meta.is_symlink() => {
            let message = format!("{} is there, and is no file", file.display());
            Err(Problem::error("maand::cli::unwritable", message)
                .help("name a file, such as /var/lib/prometheus/node-exporter/maand.prom"))
        }
        _ => Ok(()),
    }
}

/// That a file cannot be written.
pub(super) fn unwritable(file: &Path, error: &io::Error) -> Problem {
    Problem::error("maand::cli::unwritable", format!("{} cannot be written: {error}", file.display()))
        .help("name a file in a folder that you may write to, such as maand.prom")
}

fn warn(problem: &Problem, colors: bool) {
    let mut warning = Problem::warning("maand::run::metrics_file", problem.to_string());
    if let Some(help) = &problem.help {
        warning = warning.help(help.clone());
    }
    out::diagnose(&warning, colors);
}

/// What the run and the thread tell one another.
#[derive(Default)]
struct Told {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Something has happened since the file was written.
    is_new: bool,
    /// Nothing more will.
    ends: bool,
    /// The last numbers are written.
    is_done: bool,
    /// Why the file could not be written the first time that it could not.
    failed: Option<Problem>,
}

impl Told {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn wait(&self, at_most: Duration, is_so: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.state(), at_most, |state| !is_so(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

struct Writer {
    file: PathBuf,
    told: Arc<Told>,
}

impl Writer {
    fn run(self, mut reader: MetricsReader) {
        loop {
            let ends = {
                let mut state = self.told.state();
                state.is_new = false;
                state.ends
            };
            let began = Instant::now();
            if let Err(problem) = self.write(&mut reader, ends) {
                self.told.tell(|state| state.failed = state.failed.take().or(Some(problem)));
            }
            if ends {
                return self.told.tell(|state| state.is_done = true);
            }
            drop(self.told.wait(AT_MOST_EVERY.saturating_sub(began.elapsed()), |state| state.ends));
            drop(self.told.wait(AT_LEAST_EVERY, |state| state.is_new || state.ends));
        }
    }

    fn write(&self, reader: &mut MetricsReader, ends: bool) -> Result<(), Problem> {
        let leaves = if ends { Leaves::Yes } else { Leaves::No };
        let now = reader.read(leaves).map_err(|error| {
            Problem::error("maand::cli::unwritable", format!("{}: {error}", self.file.display()))
        })?;
        // It may have become something else meanwhile.
        check_target(&self.file)?;
        disk::swap(&self.file, &prometheus_text(now), MODE).map_err(|error| unwritable(&self.file, &error))
    }
}

struct WithFile {
    // Dropped before the other: what is warned of stands below what was shown.
    shown: Box<dyn Reporter>,
    last: Last,
}

/// The end of the run, also of one that had to stop.
struct Last {
    told: Arc<Told>,
    colors: bool,
}

impl Reporter for WithFile {
    fn fact(&mut self, stamped: &Stamped, view: &RunView) {
        self.shown.fact(stamped, view);
        self.last.told.tell(|state| state.is_new = true);
    }

    fn tick(&mut self, at: Millis, view: &RunView) {
        self.shown.tick(at, view);
    }

    fn told(&mut self, line: &EventLine, view: &RunView) {
        self.shown.told(line, view);
    }

    fn finish(&mut self, at: Millis, view: &RunView) {
        self.shown.finish(at, view);
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        self.told.tell(|state| state.ends = true);
        let state = self.told.wait(LAST_WAITED_FOR, |state| state.is_done);
        let late = || Problem::error("maand::cli::unwritable", "the last numbers are not written yet");
        let failed = if state.is_done { state.failed.clone() } else { Some(late()) };
        drop(state);
        if let Some(problem) = failed {
            warn(&problem, self.colors);
        }
    }
}
