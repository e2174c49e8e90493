//! What happened on one worker in one run, by the facts about it alone: nothing is compiled or replayed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::engine::{
    AttemptId, Check, Evidence, Fact, Intent, Millis, Outcome, PublicRunState, PublicWorkerState, Resolution,
    Stamped, Timer,
};
use crate::graph::{Lane, StepIx, TargetIx};
use crate::journal::{Journal, RunOutline};
use crate::plan::{self, Source, Step};
use crate::report::{ErrorView, describe_outcome, error_of, purpose};

use super::RunError;
use super::history::History;
use super::list::ListedRun;

/// Bytes of one text. What steps have written is in the logs.
const LONGEST_TEXT: usize = 4096;

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
    /// How often it was tried: reading the boot id is part of the attempt that follows it.
    pub fn tries(&self) -> usize {
        let tried = self.attempts.iter().filter(|attempt| attempt.purpose != "read_boot_id").count();
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
    runs: Vec<(&'h ListedRun, Result<RunOutline, RunError>)>,
}

impl History {
    /// Reads what the headers of these runs say.
    pub fn look<'h>(&'h self, runs: Vec<&'h ListedRun>) -> Looked<'h> {
        let outlined = |run: &'h ListedRun| {
            let outline = self.journal.as_ref().map(|journal| journal.outline(&run.run.id));
            Some((run, outline?.map_err(RunError::from)))
        };
        Looked { runs: runs.into_iter().filter_map(outlined).collect() }
    }

    /// What happened on these workers in those runs, newest run first. Runs without them are left out.
    pub fn of_workers<'h>(&'h self, looked: Looked<'h>, hosts: &BTreeSet<String>) -> Vec<RunOnWorkers<'h>> {
        let Some(journal) = &self.journal else { return Vec::new() };
        let mut plans = Plans::default();
        let mut found = Vec::new();
        for (run, outline) in looked.runs {
            let outline = match outline {
                Ok(outline) => outline,
                Err(error) => {
                    let (by, workers) = (String::new(), Vec::new());
                    found.push(RunOnWorkers { run, by, workers, unreadable: Some(error) });
                    continue;
                }
            };
            let targets: BTreeSet<TargetIx> = (0..)
                .map(TargetIx)
                .zip(&outline.hosts)
                .filter(|(_, host)| hosts.contains(host.as_str()))
                .map(|(target, _)| target)
                .collect();
            if !targets.is_empty() {
                found.push(on_workers(journal, run, &outline, &targets, &mut plans));
            }
        }
        found
    }
}

impl Looked<'_> {
    /// All workers that these runs know, with the labels that the newest says.
    pub fn hosts(&self) -> HostsWithLabels {
        let mut known = HostsWithLabels::new();
        for outline in self.runs.iter().filter_map(|(_, outline)| outline.as_ref().ok()) {
            for worker in outline
                .fleet
                .workers
                .iter()
                .filter(|worker| !known.contains_key(&worker.host))
                .collect::<Vec<_>>()
            {
                known.insert(worker.host.clone(), worker.labels.clone());
            }
            for host in &outline.hosts {
                if !known.contains_key(host) {
                    known.insert(host.clone(), BTreeSet::new());
                }
            }
        }
        known
    }
}

/// Parsed plans: most runs are of the same few.
#[derive(Default)]
struct Plans(HashMap<(String, Vec<(String, String)>), Option<Vec<Step>>>);

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
            for stamped in &facts {
                folds.values_mut().for_each(|fold| fold.take(stamped));
            }
        }
        Err(error) => unreadable = Some(error.into()),
    }
    let workers = folds.into_values().map(|fold| fold.end(run.state)).collect();
    RunOnWorkers { run, by: outline.who.clone(), workers, unreadable }
}

/// One worker, fact by fact.
struct Fold<'r> {
    target: TargetIx,
    steps: &'r [Step],
    outline: &'r RunOutline,
    worker: WorkerInRun,
    /// Where a step stands in the list, by itself or undone.
    places: HashMap<(StepIx, bool), usize>,
    /// Where attempts without an end are in it.
    open: HashMap<AttemptId, (usize, usize)>,
    /// Every attempt, for what is said of it later.
    attempts: HashMap<AttemptId, usize>,
    /// Attempts that wait for another boot than the one before.
    await_new_boot: HashSet<AttemptId>,
}

impl<'r> Fold<'r> {
    fn new(target: TargetIx, host: &str, steps: &'r [Step], outline: &'r RunOutline) -> Self {
        let worker = WorkerInRun {
            host: host.to_owned(),
            state: PublicWorkerState::Queued,
            started_at: None,
            finished_at: None,
            boot_id_before: None,
            boot_id_after: None,
            error: None,
            steps: Vec::new(),
            acts: Vec::new(),
        };
        let (places, open, attempts, await_new_boot) = Default::default();
        Self { target, steps, outline, worker, places, open, attempts, await_new_boot }
    }

    fn take(&mut self, stamped: &Stamped) {
        let at = stamped.at;
        let own = |lane: &Lane| *lane == Lane::Worker(self.target);
        match &stamped.fact {
            Fact::Preflight { checks } => self.preflight(at, checks),
            Fact::Resumed { by, .. } if self.worker.finished_at.is_none() => self.act(at, "resumed", by),
            Fact::WorkerAdmitted { target } if *target == self.target => {
                self.worker.started_at.get_or_insert(at);
                self.worker.state = PublicWorkerState::Running;
            }
            Fact::Issued { attempt, lane, step, intent } if own(lane) => {
                self.issued(at, *attempt, *step, intent);
            }
            Fact::Finished { attempt, outcome } => self.finished(at, *attempt, outcome),
            Fact::RetryScheduled { lane, .. } if own(lane) => {
                self.worker.state = PublicWorkerState::Retrying;
            }
            Fact::GateClosed { lane, step, .. } if own(lane) => {
                let place = self.place(at, *step, false);
                self.worker.steps[place].end = StepEnd::Waiting;
                self.worker.state = PublicWorkerState::Waiting;
            }
            Fact::Due { timer: Timer::Gate { lane, step } } if own(lane) => self.gate_opened(at, *step),
            Fact::Approved { lane, step, by } if own(lane) => {
                self.gate_opened(at, *step);
                self.act(at, "approved", by);
            }
            Fact::StepIgnored { lane, step, .. } if own(lane) => self.step_ended(at, *step, StepEnd::Ignored),
            Fact::StepFailed { lane, step, error } if own(lane) => {
                self.step_ended(at, *step, StepEnd::Failed);
                self.worker.error = Some(bounded(error.into()));
            }
            Fact::InDoubt { attempt } => self.doubted(*attempt, StepEnd::InDoubt),
            Fact::InDoubtResolved { attempt, how } => self.resolved(at, *attempt, *how),
            fact => self.of_worker(at, fact),
        }
    }

    /// Facts that change how the worker stands as a whole.
    fn of_worker(&mut self, at: Millis, fact: &Fact) {
        use PublicWorkerState as State;
        let own = |target: &TargetIx| *target == self.target;
        match fact {
            Fact::WorkerSucceeded { target } if own(target) => {
                self.worker.error = None;
                self.ended(at, State::Succeeded);
            }
            Fact::WorkerFailed { target, error, .. } if own(target) => {
                self.worker.error = Some(bounded(error.into()));
                self.ended(at, State::Failed);
            }
            Fact::RevertStarted { target } if own(target) => {
                self.worker.state = State::Reverting;
                self.worker.finished_at = None;
            }
            Fact::WorkerReverted { target } if own(target) => self.ended(at, State::Reverted),
            Fact::RevertStuck { target, error } if own(target) => {
                self.worker.error = Some(bounded(error.into()));
                self.ended(at, State::Failed);
            }
            Fact::WorkerCancelled { target } if own(target) => self.ended(at, State::Cancelled),
            Fact::Retried { target, by } if own(target) => self.again(at, "retried", by),
            Fact::Reopened { targets, by, .. } if targets.iter().any(own) => self.again(at, "reopened", by),
            Fact::Skipped { target, by } if own(target) => {
                self.act(at, "skipped", by);
                self.ended(at, State::Skipped);
            }
            _ => {}
        }
    }

    fn preflight(&mut self, at: Millis, checks: &[Check]) {
        match checks.get(self.target.0 as usize) {
            Some(Check::Ready { boot_id, .. }) => self.worker.boot_id_before = Some(cut(boot_id)),
            Some(Check::Unreachable { error }) => {
                self.worker.error = Some(bounded(error.into()));
                self.ended(at, PublicWorkerState::Failed);
            }
            Some(Check::LeftAlone { reason }) => {
                let (kind, message) = ("left_alone".to_owned(), cut(reason));
                self.worker.error = Some(ErrorView { kind, message, output: None });
                self.ended(at, PublicWorkerState::LeftAlone);
            }
            None => {}
        }
    }

    /// Where the step is in the list; it is added where it is not.
    fn place(&mut self, at: Millis, step: StepIx, undo: bool) -> usize {
        if let Some(place) = self.places.get(&(step, undo)) {
            return *place;
        }
        let kind = self.outline.kinds.of(Lane::Worker(self.target), step).map(str::to_owned);
        let planned = self.steps.get(step.index());
        let number = || format!("step {}", u64::from(step.0) + 1);
        self.worker.steps.push(StepInRun {
            id: planned.map_or_else(number, |step| step.id.clone()),
            kind: planned.map(|step| step.kind.keyword().to_owned()).or(kind).unwrap_or_default(),
            undo,
            end: StepEnd::Open,
            started_at: at,
            finished_at: None,
            attempts: Vec::new(),
        });
        let place = self.worker.steps.len() - 1;
        self.places.insert((step, undo), place);
        place
    }

    fn issued(&mut self, at: Millis, id: AttemptId, step: StepIx, intent: &Intent) {
        let place = self.place(at, step, intent.is_undo());
        let of = &mut self.worker.steps[place];
        (of.end, of.finished_at) = (StepEnd::Open, None);
        let purpose = purpose(intent);
        let (finished_at, result, error, boot_id) = (None, None, None, None);
        of.attempts.push(AttemptInRun { id, purpose, started_at: at, finished_at, result, error, boot_id });
        self.open.insert(id, (place, of.attempts.len() - 1));
        self.attempts.insert(id, place);
        if matches!(intent, Intent::AwaitBoot { not: Some(_), .. }) {
            self.await_new_boot.insert(id);
        }
        if !intent.is_undo() {
            self.worker.state = PublicWorkerState::Running;
        }
    }

    fn finished(&mut self, at: Millis, id: AttemptId, outcome: &Outcome) {
        let Some((place, number)) = self.open.remove(&id) else { return };
        let step = &mut self.worker.steps[place];
        let attempt = &mut step.attempts[number];
        let (_, result) = describe_outcome(outcome);
        attempt.finished_at = Some(at);
        attempt.result = Some(cut(&result));
        attempt.error = error_of(outcome).map(bounded);
        attempt.boot_id = outcome.boot_seen().map(cut);
        let read_boot_id = attempt.purpose == "read_boot_id";
        step.finished_at = Some(at);
        step.end = match outcome {
            Outcome::Ok { .. } if read_boot_id => StepEnd::Open,
            Outcome::Ok { evidence: Evidence::NotNeeded } => StepEnd::NotNeeded,
            Outcome::Ok { .. } => StepEnd::Done,
            Outcome::NotDone { .. } => StepEnd::Open,
            Outcome::Failed { .. } | Outcome::Unknown { .. } | Outcome::TimedOut { .. } => StepEnd::Failed,
        };
        match outcome {
            Outcome::Ok { evidence: Evidence::BootId { boot_id } } if read_boot_id => {
                self.worker.boot_id_before = Some(cut(boot_id));
            }
            Outcome::Ok { evidence: Evidence::Rebooted { boot_id } } => {
                self.worker.boot_id_after = Some(cut(boot_id));
            }
            // Without a reboot step before it, it is no new boot.
            Outcome::Ok { evidence: Evidence::Back { boot_id } } if self.await_new_boot.contains(&id) => {
                self.worker.boot_id_after = Some(cut(boot_id));
            }
            _ => {}
        }
    }

    fn gate_opened(&mut self, at: Millis, step: StepIx) {
        self.step_ended(at, step, StepEnd::Done);
        self.worker.state = PublicWorkerState::Running;
    }

    fn step_ended(&mut self, at: Millis, step: StepIx, end: StepEnd) {
        let place = self.place(at, step, false);
        let step = &mut self.worker.steps[place];
        step.end = end;
        step.finished_at.get_or_insert(at);
    }

    fn doubted(&mut self, attempt: AttemptId, end: StepEnd) {
        if let Some(place) = self.attempts.get(&attempt) {
            self.worker.steps[*place].end = end;
            self.worker.state = PublicWorkerState::InDoubt;
        }
    }

    fn resolved(&mut self, at: Millis, attempt: AttemptId, how: Resolution) {
        let (end, what) = match how {
            Resolution::Done => (StepEnd::Done, "taken for done"),
            Resolution::Skip => (StepEnd::Skipped, "continued without"),
            Resolution::Rerun => (StepEnd::Open, "run again"),
            // By itself: it does no harm.
            Resolution::Repeat => (StepEnd::Open, ""),
        };
        let Some(place) = self.attempts.get(&attempt) else { return };
        let step = &mut self.worker.steps[*place];
        (step.end, step.finished_at) = (end, Some(at));
        self.worker.state = PublicWorkerState::Running;
        if !what.is_empty() {
            self.worker.acts.push(OperatorAct { at, what, by: None });
        }
    }

    fn again(&mut self, at: Millis, what: &'static str, by: &str) {
        self.act(at, what, by);
        self.worker.finished_at = None;
        self.worker.state = PublicWorkerState::Queued;
    }

    fn ended(&mut self, at: Millis, state: PublicWorkerState) {
        self.worker.state = state;
        self.worker.finished_at = Some(at);
    }

    fn act(&mut self, at: Millis, what: &'static str, by: &str) {
        self.worker.acts.push(OperatorAct { at, what, by: Some(cut(by)) });
    }

    /// A worker of a run that nobody carries out does not run: whether what was in flight was carried out is not known.
    fn end(mut self, run: PublicRunState) -> WorkerInRun {
        use PublicWorkerState as State;
        let runs = matches!(self.worker.state, State::Running | State::Retrying | State::Reverting);
        if runs && run != PublicRunState::Running {
            self.worker.state = if self.open.is_empty() { State::Held } else { State::InDoubt };
        }
        self.worker
    }
}

/// A text, as long as one in a history may be.
fn cut(text: &str) -> String {
    let end = (0..=LONGEST_TEXT.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    let end = end.unwrap_or_default();
    if end == text.len() { text.to_owned() } else { format!("{} [...]", &text[..end]) }
}

fn bounded(error: ErrorView) -> ErrorView {
    let last = |output: String| {
        let from = output.len().saturating_sub(LONGEST_TEXT);
        let from = (from..=output.len()).find(|at| output.is_char_boundary(*at)).unwrap_or_default();
        output[from..].to_owned()
    };
    ErrorView { kind: error.kind, message: cut(&error.message), output: error.output.map(last) }
}
