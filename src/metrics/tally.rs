//! One run, folded fact by fact.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::counted::Counted;
use super::labels::{Ended, Wait};
use crate::engine::{
    AttemptId, Fact, Intent, Millis, Options, Outcome, PublicWorkerState, RunPhase, RunState, Stamped, Timer,
    WorkerState,
};
use crate::graph::{Lane, RolloutGraph, StepIx, TargetIx};
use crate::policy::Verdict;
use crate::timeline::{IllegalFact, WaitKind};

/// What is known of one run.
pub struct RunTally {
    state: RunState,
    last_seq: u64,
    counted: Counted,
    /// Attempts that have not ended, and those of which an operator may have to say whether they have.
    attempts: HashMap<AttemptId, Attempt>,
    /// Waits of steps that are not over.
    steps: BTreeMap<(Lane, StepIx), (Wait, Millis)>,
    /// What the next worker in line waits for.
    queue: Option<(WaitKind, Millis)>,
    soak: Option<Millis>,
    queued: BTreeSet<TargetIx>,
}

struct Attempt {
    lane: Lane,
    step: StepIx,
    /// When it was issued; `None`: how long it took is not known, or not asked for.
    since: Option<Millis>,
    /// Of a reboot step: it only reads the boot id, which is not its duration.
    prepares: bool,
}

impl RunTally {
    /// Of a run of which no fact is known.
    pub fn new(graph: &Arc<RolloutGraph>) -> Self {
        Self {
            state: RunState::new(Arc::clone(graph), Options::default()),
            last_seq: 0,
            counted: Counted::default(),
            attempts: HashMap::new(),
            steps: BTreeMap::new(),
            queue: None,
            soak: None,
            queued: graph.target_indices().collect(),
        }
    }

    /// Takes the next fact.
    ///
    /// # Errors
    /// It cannot follow the ones before it.
    pub fn take(&mut self, stamped: &Stamped) -> Result<(), IllegalFact> {
        let illegal = |violation| IllegalFact { seq: stamped.seq, violation };
        if let Fact::Resumed { fresh_process: true, .. } = stamped.fact {
            // Nobody waited, and no attempt was looked at, while there was no controller.
            self.end_queue();
            self.attempts.values_mut().for_each(|attempt| attempt.since = None);
        }
        self.state.replay(stamped.at, &stamped.fact).map_err(illegal)?;
        self.last_seq = stamped.seq;
        self.note(&stamped.fact);
        self.note_queue();
        Ok(())
    }

    /// The number of the newest fact; 0: none.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The state of the run.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// What it has counted so far.
    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    /// What it has counted, when nothing more is to come.
    pub fn into_counted(self) -> Counted {
        self.counted
    }

    /// How many of its workers are in which state.
    pub fn workers(&self) -> HashMap<PublicWorkerState, u32> {
        let mut workers = HashMap::new();
        for target in self.state.graph().target_indices() {
            *workers.entry(self.state.public_worker_state(target)).or_default() += 1;
        }
        workers
    }

    /// What is waited for now, and by how many.
    pub fn waits(&self) -> BTreeMap<Wait, u32> {
        let steps = self.steps.values().map(|(wait, _)| *wait);
        let queue = self.queue.map(|(kind, _)| Wait::Queue(kind));
        let mut waits = BTreeMap::new();
        for wait in steps.chain(queue).chain(self.soak.map(|_| Wait::Soak)) {
            *waits.entry(wait).or_default() += 1;
        }
        waits
    }

    #[cfg(test)]
    pub(super) fn queue_since(&self) -> Option<Millis> {
        self.queue.map(|(_, since)| since)
    }

    /// The time of the newest fact, as the run took it: a clock that was set back stands still.
    fn now(&self) -> Millis {
        self.state.last_at()
    }

    fn note(&mut self, fact: &Fact) {
        match fact {
            Fact::Issued { attempt, lane, step, intent } => {
                self.end_wait(*lane, *step);
                let prepares = matches!(intent, Intent::ReadBootId | Intent::PowerCycle { .. });
                // How long it takes to undo a step says nothing of the step.
                let since = (!intent.is_undo()).then_some(self.now());
                self.attempts.insert(*attempt, Attempt { lane: *lane, step: *step, since, prepares });
            }
            Fact::Finished { attempt, outcome } => self.finished(*attempt, outcome),
            Fact::RetryScheduled { lane, step, .. } => self.wait(*lane, *step, Wait::Backoff),
            Fact::GateClosed { lane, step, opens, .. } => {
                let wait = if opens.is_some() { Wait::PauseStep } else { Wait::Approval };
                self.wait(*lane, *step, wait);
            }
            Fact::InDoubt { attempt } => {
                if let Some(Attempt { lane, step, .. }) = self.attempts.get(attempt) {
                    self.wait(*lane, *step, Wait::Decision);
                }
            }
            Fact::InDoubtResolved { attempt, .. } => {
                if let Some(Attempt { lane, step, .. }) = self.attempts.remove(attempt) {
                    self.end_wait(lane, step);
                }
            }
            Fact::Due { timer: Timer::Retry { lane, step } | Timer::Gate { lane, step } }
            | Fact::Approved { lane, step, .. }
            | Fact::StepIgnored { lane, step, .. }
            | Fact::StepFailed { lane, step, .. } => self.end_wait(*lane, *step),
            Fact::WaveFinished { soak_until, .. } => {
                self.soak = (*soak_until > self.now()).then_some(self.now());
            }
            Fact::PrepareStarted { target } | Fact::WorkerAdmitted { target } => {
                self.queued.remove(target);
            }
            Fact::WorkerPrepared { target } => drop(self.queued.insert(*target)),
            Fact::WorkerFailed { target, .. }
            | Fact::RevertStarted { target }
            | Fact::WorkerReverted { target }
            | Fact::RevertStuck { target, .. }
            | Fact::WorkerCancelled { target }
            | Fact::Skipped { target, .. } => {
                self.queued.remove(target);
                let lane = Lane::Worker(*target);
                let steps = self.steps.range((lane, StepIx(0))..=(lane, StepIx(u32::MAX)));
                let steps: Vec<_> = steps.map(|(key, _)| *key).collect();
                steps.into_iter().for_each(|(lane, step)| self.end_wait(lane, step));
            }
            Fact::Retried { target, .. } => drop(self.queued.insert(*target)),
            Fact::Reopened { targets, .. } => self.queued.extend(targets),
            Fact::RunFinished { .. } => {
                for (lane, step) in self.steps.keys().copied().collect::<Vec<_>>() {
                    self.end_wait(lane, step);
                }
                self.attempts.clear();
            }
            Fact::RunStarted { .. }
            | Fact::Preflight { .. }
            | Fact::Observed { .. }
            | Fact::ObservedChanges { .. }
            | Fact::BeforeDone
            | Fact::WaveStarted { .. }
            | Fact::WorkerSucceeded { .. }
            | Fact::GateMeasured { .. }
            | Fact::Silence { .. }
            | Fact::Paused { .. }
            | Fact::Interrupted { .. }
            | Fact::Halted { .. }
            | Fact::Resumed { .. }
            | Fact::Aborted { .. }
            | Fact::Due { .. } => {}
        }
    }

    fn finished(&mut self, attempt: AttemptId, outcome: &Outcome) {
        let now = self.now();
        let Some(found) = self.attempts.get_mut(&attempt) else { return };
        let how = Ended::of(outcome);
        if let Some(since) = found.since.take()
            && !(found.prepares && how == Ended::Ok)
        {
            let kind = self.state.graph().steps(found.lane)[found.step.index()].kind.keyword();
            self.counted.step(kind, how, now.saturating_sub(since));
        }
        // An operator may be asked about it.
        if how != Ended::Unknown {
            self.attempts.remove(&attempt);
        }
    }

    fn wait(&mut self, lane: Lane, step: StepIx, wait: Wait) {
        self.end_wait(lane, step);
        self.steps.insert((lane, step), (wait, self.now()));
    }

    fn end_wait(&mut self, lane: Lane, step: StepIx) {
        if let Some((wait, since)) = self.steps.remove(&(lane, step)) {
            self.counted.wait(wait, self.now().saturating_sub(since));
        }
    }

    fn end_queue(&mut self) {
        if let Some((kind, since)) = self.queue.take() {
            self.counted.wait(Wait::Queue(kind), self.now().saturating_sub(since));
        }
    }

    /// What the run, and the next worker in line, wait for from now on.
    fn note_queue(&mut self) {
        if self.state.phase() != RunPhase::Soaking
            && let Some(since) = self.soak.take()
        {
            self.counted.wait(Wait::Soak, self.now().saturating_sub(since));
        }
        let kind = self.next_in_line();
        if kind != self.queue.map(|(kind, _)| kind) {
            self.end_queue();
            self.queue = kind.map(|kind| (kind, self.now()));
        }
    }

    fn next_in_line(&mut self) -> Option<WaitKind> {
        let starts = matches!(self.state.phase(), RunPhase::Preparing | RunPhase::Rolling);
        if !starts || self.state.is_interrupted() {
            return None;
        }
        while let Some(first) = self.queued.first().copied() {
            if self.state.worker_state(first) == WorkerState::Queued {
                return match self.state.verdict(first, self.now())? {
                    Verdict::Wait(reason) | Verdict::Refuse(reason) => Some(WaitKind::of(&reason)),
                    Verdict::Admit => None,
                };
            }
            self.queued.remove(&first);
        }
        None
    }
}
