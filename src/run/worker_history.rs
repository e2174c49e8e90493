//! What happened on one worker in one run, by the facts about it alone: nothing is compiled or replayed.

mod fold;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fold::Fold;

use crate::engine::{AttemptId, Fact, Millis, PublicWorkerState};
use crate::graph::{Lane, TargetIx};
use crate::journal::{Journal, RunOutline};
use crate::plan::{self, Source, Step};
use crate::report::ErrorView;

use super::RunError;
use super::history::History;
use super::list::ListedRun;

/// One worker in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerInRun {
    /// As in `workers.json` when the run was started.
    pub host: String,
    /// Where it stands, or how it ended.
    pub state: PublicWorkerState,
    /// When it was admitted, for the first time.
    pub started_at: Option<Millis>,
    /// When it ended.
    pub finished_at: Option<Millis>,
    /// The boot id before the reboot step; without one: at preflight.
    pub boot_id_before: Option<String>,
    /// The boot id that was seen after the reboot.
    pub boot_id_after: Option<String>,
    /// Why it failed, or was left alone.
    pub error: Option<ErrorView>,
    /// What was done on it, in the order of the first attempts.
    pub steps: Vec<StepInRun>,
    /// What operators did about it, or about the whole run while it was not at its end.
    pub acts: Vec<OperatorAct>,
}

/// A step on a worker, or the undoing of one.
#[derive(Clone, Debug, PartialEq)]
pub struct StepInRun {
    /// Its id; where the stored plan cannot be read, its number.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// It was undone.
    pub undo: bool,
    /// Where it stands, or how it ended.
    pub end: StepEnd,
    /// When it began first.
    pub started_at: Millis,
    /// When it ended last.
    pub finished_at: Option<Millis>,
    /// All attempts, oldest first; none of a pause or an approval.
    pub attempts: Vec<AttemptInRun>,
}

impl StepInRun {
    /// How often it was tried: a boot id that was read is part of the attempt that follows.
    pub fn tries(&self) -> usize {
        let is_part = |attempt: &&AttemptInRun| attempt.purpose == "read_boot_id" && attempt.error.is_none();
        let tried = self.attempts.iter().filter(|attempt| !is_part(attempt)).count();
        tried.max(usize::from(!self.attempts.is_empty()))
    }

    /// Some attempt did not end well.
    pub fn has_failed_attempt(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.error.is_some())
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepEnd {
    /// Well.
    Done,
    /// Nothing had to be done.
    NotNeeded,
    /// Its last attempt failed.
    Failed,
    /// It failed, and the plan ignores that.
    Ignored,
    /// An operator continued without it.
    Skipped,
    /// Its answer was lost.
    InDoubt,
    /// It waits for a time or an operator.
    Waiting,
    /// It has no end yet.
    Open,
}

impl StepEnd {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotNeeded => "not_needed",
            Self::Failed => "failed",
            Self::Ignored => "ignored",
            Self::Skipped => "skipped",
            Self::InDoubt => "in_doubt",
            Self::Waiting => "waiting",
            Self::Open => "open",
        }
    }
}

impl StepInRun {
    /// How it ended, in a few words.
    pub fn describe(&self) -> String {
        let said = self.attempts.last().and_then(|attempt| attempt.result.as_deref()).unwrap_or_default();
        let tries = match self.tries() {
            0 | 1 => String::new(),
            tries => format!(" ({tries} attempts)"),
        };
        let end = match self.end {
            StepEnd::Done if said.is_empty() => "done",
            StepEnd::Done => said,
            StepEnd::NotNeeded => "nothing to do",
            StepEnd::Failed => "FAILED",
            StepEnd::Ignored => "failed, which the plan ignores",
            StepEnd::Skipped => "continued without it",
            StepEnd::InDoubt => "in doubt: its answer was lost",
            StepEnd::Waiting => "waits",
            StepEnd::Open => "has not ended",
        };
        format!("{end}{tries}")
    }
}

/// One attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptInRun {
    /// Its number within the run.
    pub id: AttemptId,
    /// What for: `do`, `read_boot_id`, `reboot`, `await_boot`, or an undo.
    pub purpose: &'static str,
    /// When it began.
    pub started_at: Millis,
    /// When it ended.
    pub finished_at: Option<Millis>,
    /// How it ended, in one sentence.
    pub result: Option<String>,
    /// Why it did not end well.
    pub error: Option<ErrorView>,
    /// The boot in which the worker was seen.
    pub boot_id: Option<String>,
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorAct {
    /// When.
    pub at: Millis,
    /// `resumed`, `retried`, `skipped`, `approved`, `reopened`, or what was said of an attempt in doubt.
    pub what: &'static str,
    /// `user@host`; `None`: the facts do not say.
    pub by: Option<String>,
}

/// A run with what happened in it on the workers that are asked about.
pub struct RunOnWorkers<'h> {
    /// The run.
    pub run: &'h ListedRun,
    /// Who started it.
    pub by: String,
    /// In the order of the run.
    pub workers: Vec<WorkerInRun>,
    /// Why the run, or the rest of it, cannot be read.
    pub unreadable: Option<RunError>,
}

/// Hosts with their labels.
pub type HostsWithLabels = BTreeMap<String, BTreeSet<String>>;

/// The runs that are asked about, and what their headers say.
pub struct Looked<'h> {
    /// All workers that they know, with the labels that the newest says.
    pub hosts: HostsWithLabels,
    runs: Vec<(&'h ListedRun, Result<RunOutline, RunError>)>,
}

impl History {
    /// Reads what the headers of these runs say, newest first.
    pub fn look<'h>(&'h self, runs: Vec<&'h ListedRun>) -> Looked<'h> {
        let mut hosts = HostsWithLabels::new();
        let outlined = |run: &'h ListedRun| {
            let mut outline = self.journal.as_ref()?.outline(&run.run.id);
            if let Ok(outline) = &mut outline {
                // Not kept for each run: fleets are large.
                for worker in std::mem::take(&mut outline.fleet).workers {
                    hosts.entry(worker.host).or_insert(worker.labels);
                }
                for host in &outline.hosts {
                    if !hosts.contains_key(host) {
                        hosts.insert(host.clone(), BTreeSet::new());
                    }
                }
            }
            Some((run, outline.map_err(RunError::from)))
        };
        let runs = runs.into_iter().filter_map(outlined).collect();
        Looked { hosts, runs }
    }

    /// What happened on these workers in those runs, newest run first; each is read when it is asked for. Runs without them
    /// are left out.
    pub fn of_workers<'h>(
        &'h self,
        looked: Looked<'h>,
        hosts: &'h BTreeSet<String>,
    ) -> impl Iterator<Item = RunOnWorkers<'h>> + 'h {
        let mut plans = Plans::default();
        looked.runs.into_iter().filter_map(move |(run, outline)| {
            let journal = self.journal.as_ref()?;
            let outline = match outline {
                Ok(outline) => outline,
                Err(error) => {
                    let (by, workers) = (String::new(), Vec::new());
                    return Some(RunOnWorkers { run, by, workers, unreadable: Some(error) });
                }
            };
            let selected = (0..).map(TargetIx).zip(&outline.hosts);
            let meant = selected.filter(|(_, host)| hosts.contains(host.as_str()));
            let targets: BTreeSet<TargetIx> = meant.map(|(target, _)| target).collect();
            (!targets.is_empty()).then(|| on_workers(journal, run, &outline, &targets, &mut plans))
        })
    }
}

/// Parsed plans: most runs are of the same few.
#[derive(Default)]
struct Plans(HashMap<PlanText, Option<Vec<Step>>>);

/// A plan's text, and what was set of its variables.
type PlanText = (String, Vec<(String, String)>);

impl Plans {
    fn steps(&mut self, outline: &RunOutline) -> Option<&[Step]> {
        let key = (outline.plan_text.clone(), outline.overrides.clone());
        let parse = || {
            let source = Source::new(outline.plan_file.clone(), outline.plan_text.clone());
            plan::parse(&source, &outline.overrides).ok().map(|plan| plan.steps)
        };
        self.0.entry(key).or_insert_with(parse).as_deref()
    }
}

fn on_workers<'h>(
    journal: &Journal,
    run: &'h ListedRun,
    outline: &RunOutline,
    targets: &BTreeSet<TargetIx>,
    plans: &mut Plans,
) -> RunOnWorkers<'h> {
    let steps = plans.steps(outline).unwrap_or_default();
    let mut folds: BTreeMap<TargetIx, Fold<'_>> = targets
        .iter()
        .map(|target| (*target, Fold::new(*target, &outline.hosts[target.0 as usize], steps, outline)))
        .collect();
    let mut unreadable = None;
    match journal.facts_about(&run.run.id, targets) {
        Ok(facts) => {
            let mut owners = HashMap::new();
            for stamped in &facts {
                match whose(&stamped.fact, &mut owners) {
                    Some(target) => {
                        if let Some(fold) = folds.get_mut(&target) {
                            fold.take(stamped);
                        }
                    }
                    None => folds.values_mut().for_each(|fold| fold.take(stamped)),
                }
            }
        }
        Err(error) => unreadable = Some(error.into()),
    }
    let workers = folds.into_values().map(|fold| fold.end(run.state)).collect();
    RunOnWorkers { run, by: outline.who.clone(), workers, unreadable }
}

/// The worker that a fact is about; `None`: several, or the run.
fn whose(fact: &Fact, owners: &mut HashMap<AttemptId, TargetIx>) -> Option<TargetIx> {
    match fact {
        Fact::Issued { attempt, lane: Lane::Worker(target), .. } => {
            owners.insert(*attempt, *target);
            Some(*target)
        }
        Fact::Finished { attempt, .. }
        | Fact::InDoubt { attempt }
        | Fact::InDoubtResolved { attempt, .. } => owners.get(attempt).copied(),
        Fact::RetryScheduled { lane: Lane::Worker(target), .. }
        | Fact::GateClosed { lane: Lane::Worker(target), .. }
        | Fact::Approved { lane: Lane::Worker(target), .. }
        | Fact::StepIgnored { lane: Lane::Worker(target), .. }
        | Fact::StepFailed { lane: Lane::Worker(target), .. }
        | Fact::PrepareStarted { target }
        | Fact::WorkerPrepared { target }
        | Fact::WorkerAdmitted { target }
        | Fact::WorkerSucceeded { target }
        | Fact::WorkerFailed { target, .. }
        | Fact::WorkerReverted { target } => Some(*target),
        _ => None,
    }
}
