//! The runs of a bucket as numbers: each fact is read once.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;

use crate::bucket::{Bucket, DisabledEntry};
use crate::engine::{Millis, PublicRunState};
use crate::journal::{Journal, JournalError, Location, RunId, RunSummary, Totals};
use crate::metrics::{BucketNow, Counted, JournalNow, RunNow, RunTally};
use crate::runner::now;

use super::RunError;
use super::stored::compile_stored;
use super::take_up::own_entries_of;

/// Reads the numbers of a bucket again and again. Runs that have ended are folded once, of the others what is new; where
/// nothing is, nothing is read.
///
/// What it counts never falls: runs that were pruned stay counted, as the journal keeps what they had.
pub struct MetricsReader {
    bucket: Bucket,
    /// The folder's whole path.
    name: String,
    journal: Option<Journal>,
    runs: HashMap<RunId, Known>,
    made: Option<(Seen, BucketNow)>,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// Somebody who stays, or has no part in a run.
    No,
    /// The process that carries a run out, and is about to end.
    Yes,
}

/// What the numbers were made of. The same again: they would be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    journal: Option<i64>,
    disabled: Option<(u64, u64, i64, i64)>,
    carried_out: Option<String>,
    has_controller: bool,
}

struct Known {
    /// As of the run's row in the journal.
    last_at: Millis,
    state: PublicRunState,
    tally: Tally,
}

enum Tally {
    /// More facts will come.
    Open(Box<RunTally>),
    /// What it has counted, and what it has left in `disabled.json`.
    Ended(Counted, Vec<DisabledEntry>),
    /// Its facts cannot be read by this program.
    Unreadable,
}

impl MetricsReader {
    /// Of this bucket. Nothing is read yet.
    pub fn new(bucket: &Bucket) -> Self {
        let root = &bucket.paths().root;
        let root = root.canonicalize().unwrap_or_else(|_| root.clone());
        Self {
            bucket: bucket.clone(),
            name: root.to_string_lossy().into_owned(),
            journal: None,
            runs: HashMap::new(),
            made: None,
        }
    }

    /// The numbers of this moment. The first time all facts of all runs are read.
    ///
    /// # Errors
    /// The journal cannot be read. What was read before is kept.
    pub fn read(&mut self, leaves: Leaves) -> Result<BucketNow, RunError> {
        self.open_journal()?;
        let seen = self.look(leaves)?;
        if let Some((before, made)) = &self.made
            && *before == seen
        {
            return Ok(BucketNow { at: now(), ..made.clone() });
        }
        let totals = self.journal.as_ref().map(Journal::totals).transpose()?.unwrap_or_default();
        let kept: BTreeSet<&RunId> = totals.runs.iter().map(|run| &run.id).collect();
        self.runs.retain(|id, _| kept.contains(id));
        for run in &totals.runs {
            self.fold(run)?;
        }
        let made = self.sum_up(&totals, &seen)?;
        self.made = Some((seen, made.clone()));
        Ok(made)
    }

    fn open_journal(&mut self) -> Result<(), RunError> {
        if self.journal.as_ref().is_some_and(Journal::is_in_place) {
            return Ok(());
        }
        if self.journal.take().is_some() {
            // Another file: facts that come next there may follow others than those that were folded.
            self.runs.retain(|_, known| matches!(known.tally, Tally::Ended(..)));
            self.made = None;
        }
        self.journal = Location::of(&self.bucket)?.open_if_any()?;
        Ok(())
    }

    fn look(&self, leaves: Leaves) -> Result<Seen, RunError> {
        let paths = self.bucket.paths();
        let holder = self.journal.as_ref().map(Journal::holder).transpose()?.flatten();
        let holder = holder.filter(|_| leaves == Leaves::No);
        let carried_out = holder.and_then(|holder| holder.run);
        let stamp = |meta: std::fs::Metadata| (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
        Ok(Seen {
            journal: self.journal.as_ref().map(Journal::data_version).transpose()?,
            disabled: std::fs::metadata(&paths.disabled_json).ok().map(stamp),
            has_controller: carried_out.is_some(),
            carried_out,
        })
    }

    /// Takes what is new of a run.
    fn fold(&mut self, run: &RunSummary) -> Result<(), RunError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let known = self.runs.remove(&run.id);
        let is_new = |known: &Known| (known.last_at, known.state) != (run.last_at, run.state);
        let tally = match known {
            Some(known) if !is_new(&known) => known.tally,
            Some(Known { tally: Tally::Open(tally), .. }) => taken(journal, &run.id, Some(tally))?,
            _ => taken(journal, &run.id, None)?,
        };
        let tally = match tally {
            Tally::Open(tally) if run.state.is_final() => {
                let state = tally.state();
                let left = state.left_disabled().into_iter();
                let own = left.flat_map(|target| own_entries_of(state.graph(), state, target)).collect();
                Tally::Ended(tally.into_counted(), own)
            }
            tally => tally,
        };
        self.runs.insert(run.id.clone(), Known { last_at: run.last_at, state: run.state, tally });
        Ok(())
    }

    fn sum_up(&self, totals: &Totals, seen: &Seen) -> Result<BucketNow, RunError> {
        let listed = &totals.runs;
        let tally = |run: &RunSummary| self.runs.get(&run.id).map(|known| &known.tally);
        let mut counted = Counted::of_rows(&totals.forgotten);
        self.runs.values().filter_map(Known::counted).for_each(|more| counted.add(more));
        let journal = self.journal.as_ref().map(|journal| {
            Ok::<_, RunError>(JournalNow { schema: journal.schema_version()?, bytes: journal.size() })
        });
        Ok(BucketNow {
            bucket: self.name.clone(),
            at: now(),
            runs: listed.iter().map(|run| standing(run, tally(run), seen)).collect(),
            counted,
            unreadable: listed.iter().filter(|run| matches!(tally(run), Some(Tally::Unreadable))).count(),
            left_disabled: self.left_disabled(),
            has_controller: seen.has_controller,
            journal: journal.transpose()?,
        })
    }

    /// Workers of which a run has an entry in `disabled.json`, as it is now, although their part in it is over.
    fn left_disabled(&self) -> Option<usize> {
        let disabled = self.bucket.disabled_alone().ok()?;
        let mut hosts = BTreeSet::new();
        for Known { tally, .. } in self.runs.values() {
            let own = match tally {
                Tally::Open(tally) => {
                    let state = tally.state();
                    let left = state.left_disabled().into_iter();
                    let over = left.filter(|target| !state.public_worker_state(*target).is_active());
                    &over.flat_map(|target| own_entries_of(state.graph(), state, target)).collect()
                }
                Tally::Ended(_, own) => own,
                Tally::Unreadable => continue,
            };
            let left = own.iter().filter(|entry| disabled.has(entry));
            hosts.extend(left.map(|entry| entry.host().clone()));
        }
        Some(hosts.len())
    }
}

impl Known {
    fn counted(&self) -> Option<&Counted> {
        match &self.tally {
            Tally::Open(tally) => Some(tally.counted()),
            Tally::Ended(counted, _) => Some(counted),
            Tally::Unreadable => None,
        }
    }
}

/// A run with all facts of this moment; `tally` has those that were read before.
fn taken(journal: &Journal, id: &RunId, tally: Option<Box<RunTally>>) -> Result<Tally, RunError> {
    match all_taken(journal, id, tally) {
        Ok(tally) => Ok(Tally::Open(tally)),
        // What is said of the run stays as it is, however often it is read.
        Err(
            RunError::Journal(
                JournalError::Corrupt { .. }
                | JournalError::NewerHeader { .. }
                | JournalError::NewerFact { .. }
                // It was forgotten just now.
                | JournalError::UnknownRun { .. },
            )
            | RunError::Input(_)
            | RunError::OtherVersion { .. }
            | RunError::IllegalFact { .. },
        ) => Ok(Tally::Unreadable),
        Err(error) => Err(error),
    }
}

fn all_taken(journal: &Journal, id: &RunId, tally: Option<Box<RunTally>>) -> Result<Box<RunTally>, RunError> {
    let mut tally = match tally {
        Some(tally) => tally,
        None => Box::new(RunTally::new(&compile_stored(&journal.run(id)?.header)?)),
    };
    for stamped in journal.read_after(id, tally.last_seq())? {
        tally.take(&stamped?).map_err(|illegal| RunError::IllegalFact {
            run: id.clone(),
            seq: illegal.seq,
            violation: illegal.violation,
        })?;
    }
    Ok(tally)
}

/// What a run has counted, to be kept when it is forgotten; nothing, if its facts cannot be read.
pub(super) fn counted_of(journal: &Journal, id: &RunId) -> Vec<(String, i64)> {
    all_taken(journal, id, None).map_or_else(|_| Vec::new(), |tally| tally.counted().rows())
}

fn standing(run: &RunSummary, tally: Option<&Tally>, seen: &Seen) -> RunNow {
    let is_carried_out = seen.carried_out.as_deref() == Some(run.id.as_str());
    let (state, workers, waits) = match tally {
        Some(Tally::Open(tally)) => {
            let state = PublicRunState::of(&tally.state().status(), !is_carried_out);
            (state, tally.workers(), tally.waits())
        }
        _ if run.state == PublicRunState::Running && !is_carried_out => {
            (PublicRunState::Interrupted, HashMap::new(), Default::default())
        }
        _ => (run.state, HashMap::new(), Default::default()),
    };
    RunNow {
        plan: run.plan.clone(),
        state,
        started_at: run.started_at,
        finished_at: run.finished_at,
        workers,
        waits,
    }
}
