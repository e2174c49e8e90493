//! Facts in, view changed. The engine's own replay says in which state each worker is; what an
//! operator wants to see besides (times, attempts, boot ids) is kept here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::engine::{
    AttemptId, Check, Evidence, Fact, HaltReason, Intent, Millis, Options, Outcome, PublicRunState,
    PublicWorkerState, RuleViolation, RunState, RunStatus, SilenceEvent, Stamped, Timer,
};
use crate::graph::{Lane, RolloutGraph, StepIx, TargetIx};
use crate::plan::counted;

use super::progress::Progress;
use super::view::{Counts, ErrorView, Once, RUN_VIEW_SCHEMA, RunView, UnplannedBoot, WorkerView};
use super::{Time, text};

/// What a view needs to know besides the graph and the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInfo {
    /// The run's name.
    pub run: String,
    /// When it was started.
    pub started_at: Millis,
}

/// An attempt as it was issued.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attempt {
    pub(super) lane: Lane,
    pub(super) step: StepIx,
    pub(super) intent: Intent,
    pub(super) attempt: u32,
    pub(super) since: Millis,
}

impl RunView {
    /// The how manieth attempt of its step an attempt is that has not ended, counted from 1.
    pub fn attempt_number(&self, attempt: AttemptId) -> u32 {
        self.open_attempts.get(&attempt).map_or(1, |attempt| attempt.attempt)
    }

    /// A run of which no fact is known yet.
    pub fn new(info: RunInfo, graph: Arc<RolloutGraph>) -> Self {
        let workers: Vec<_> = graph
            .target_indices()
            .map(|target| WorkerView {
                preparing: false,
                failed_to_prepare: false,
                host: graph.host(target).to_owned(),
                state: PublicWorkerState::Queued,
                wave: graph.target(target).wave + 1,
                step: None,
                attempt: None,
                steps_done: 0,
                steps: 0,
                step_since: None,
                boot_id_before: None,
                boot_id_after: None,
                kernel: None,
                silence: None,
                unplanned_boots: Vec::new(),
                error: None,
                waits_for: None,
                started_at: None,
                finished_at: None,
                retries: 0,
            })
            .collect();
        let total = workers.len() as u32;
        let mut view = Self {
            r#type: "run_view",
            schema: RUN_VIEW_SCHEMA,
            run: info.run,
            plan: graph.plan.name.clone(),
            state: PublicRunState::Running,
            reason: None,
            started_at: Time(info.started_at),
            finished_at: None,
            wave: None,
            waves: graph.waves.len() as u32,
            workers,
            soak_until: None,
            waits_for: None,
            left_disabled: Vec::new(),
            resumable: true,
            counts: Counts { total, queued: total, ..Counts::default() },
            undelivered_notices: Vec::new(),
            run_state: RunState::new(graph, Options::default()),
            open_attempts: HashMap::new(),
            attempt: None,
            attempts: HashMap::new(),
            boot_id_read: HashSet::new(),
            reboots_asked: HashMap::new(),
            last_boot_ids: vec![None; total as usize],
            has_to_be_named: false,
            progress: Progress::default(),
            orphaned: false,
        };
        view.begin_progress();
        view
    }

    /// The compiled plan.
    pub fn graph(&self) -> &RolloutGraph {
        self.run_state.graph()
    }

    /// The worker with this index.
    pub fn worker(&self, target: TargetIx) -> &WorkerView {
        &self.workers[target.0 as usize]
    }

    /// Whether no controller is running it: what would be `running` is `interrupted` then.
    /// Its workers make no progress then.
    pub fn set_orphaned(&mut self, orphaned: bool) {
        if std::mem::replace(&mut self.orphaned, orphaned) != orphaned {
            let active: Vec<TargetIx> = self.run_state.active().iter().collect();
            for target in active {
                self.restate(target, self.run_state.last_at());
            }
        }
    }

    /// Takes the next fact. Costs the same for 3 workers as for 10,000, but for the few facts that are
    /// about all of them.
    ///
    /// # Errors
    /// The fact cannot follow the ones before it; the view is as it was.
    pub fn fold(&mut self, stamped: &Stamped) -> Result<(), RuleViolation> {
        let (ended, _) = self.progress();
        self.run_state.replay(stamped.at, &stamped.fact)?;
        let at = stamped.at;
        let touched = self.note(at, &stamped.fact);
        match touched {
            Touched::None => {}
            Touched::Lane(Lane::Worker(target)) => self.restate(target, at),
            Touched::Lane(_) => {}
            Touched::All => {
                for target in self.run_state.graph().target_indices() {
                    self.restate(target, at);
                }
            }
        }
        (self.counts.failures, self.counts.failures_allowed) = self.run_state.failures();
        self.note_progress(stamped, ended);
        Ok(())
    }

    /// Brings up to date what is not worth computing after each fact: the run's state and its reason,
    /// what queued workers wait for, who is left disabled. Before the view is shown.
    pub fn refresh(&mut self, at: Millis) {
        let (state, reason) = self.status();
        self.state = state;
        self.reason = reason;
        self.resumable = !state.is_final();
        let host = |target: TargetIx| self.workers[target.0 as usize].host.clone();
        self.left_disabled = self.run_state.left_disabled().into_iter().map(host).collect();
        self.soak_until = self.run_state.soaks_until().map(Time);
        // Workers of later waves all wait for the same: saying so once is enough.
        let wave = self.run_state.wave().map_or(1, |wave| wave + 1 + u32::from(self.soak_until.is_some()));
        for target in self.run_state.graph().target_indices() {
            let worker = self.worker(target);
            let queued = worker.state == PublicWorkerState::Queued;
            if worker.state.is_active() || (queued && worker.wave <= wave) {
                self.workers[target.0 as usize].waits_for = self.wait_of(target, at);
            }
        }
        self.waits_for = self.wait_of_run(at);
    }

    fn status(&self) -> (PublicRunState, Option<String>) {
        let graph = self.run_state.graph();
        let status = self.run_state.status();
        let reason = match &status {
            RunStatus::Finished(_) => None,
            RunStatus::Halted(reason) => Some(describe_halt(reason, graph)),
            RunStatus::Interrupted => Some("stopped by a signal".to_owned()),
            RunStatus::Paused(reason) => Some(reason.clone()),
            RunStatus::WaitsForOperator { gates, undecided } => {
                let gates = gates.iter().map(|(lane, step)| {
                    format!("{} waits for an approval", text::step_of(graph, *lane, *step))
                });
                let undecided = undecided.iter().map(|(_, lane, step)| {
                    format!("{} is in doubt (it may have run)", text::step_of(graph, *lane, *step))
                });
                Some(text::some(gates.chain(undecided), 3))
            }
            RunStatus::Busy if self.orphaned => Some("no controller is running it".to_owned()),
            RunStatus::Busy => self.run_state.paused().map(str::to_owned),
        };
        (PublicRunState::of(&status, self.orphaned), reason)
    }

    /// The worker's state from the engine.
    fn restate(&mut self, target: TargetIx, at: Millis) {
        let state = self.state_of(target);
        self.count_steps(target, state);
        let failed_to_prepare = self.run_state.failed_to_prepare(target);
        let preparing = self.run_state.is_preparing(target);
        let worker = &mut self.workers[target.0 as usize];
        worker.preparing = preparing;
        if worker.state == state {
            return;
        }
        *self.counts.slot(worker.state) -= 1;
        *self.counts.slot(state) += 1;
        let ends = |state: PublicWorkerState| !state.is_active() && state != PublicWorkerState::Queued;
        match (ends(worker.state), ends(state)) {
            (false, true) => worker.finished_at = Some(Time(at)),
            (true, false) => worker.finished_at = None,
            _ => {}
        }
        // One that is cancelled may have begun: then it stands where it was stopped.
        if matches!(state, PublicWorkerState::Succeeded | PublicWorkerState::LeftAlone) {
            (worker.step, worker.attempt, worker.step_since) = (None, None, None);
        }
        if state == PublicWorkerState::Succeeded {
            worker.error = None;
        }
        if state != PublicWorkerState::LeftAlone {
            worker.waits_for = None;
        }
        worker.state = state;
        worker.failed_to_prepare = failed_to_prepare;
    }

    /// A worker is as the engine says; one that nobody carries on does not run. Whether what was in flight was
    /// carried out is not known.
    fn state_of(&self, target: TargetIx) -> PublicWorkerState {
        let state = self.run_state.public_worker_state(target);
        let runs = matches!(
            state,
            PublicWorkerState::Running | PublicWorkerState::Retrying | PublicWorkerState::Reverting
        );
        let lane = Lane::Worker(target);
        match self.run_state.is_in_flight(lane) {
            _ if !self.orphaned || !runs => state,
            true if !self.only_looks(lane) => PublicWorkerState::InDoubt,
            _ => PublicWorkerState::Held,
        }
    }

    fn note(&mut self, at: Millis, fact: &Fact) -> Touched {
        match fact {
            Fact::Preflight { checks } => self.note_preflight(checks),
            Fact::WorkerAdmitted { target } => {
                self.workers[target.0 as usize].started_at.get_or_insert(Time(at));
                Touched::Lane(Lane::Worker(*target))
            }
            Fact::Issued { attempt, lane, step, intent } => {
                let number = self.next_attempt(*lane, *step, intent);
                let issued =
                    Attempt { lane: *lane, step: *step, intent: intent.clone(), attempt: number, since: at };
                self.at_step(*lane, *step, Some(number), at);
                if let (Lane::Worker(target), Intent::Reboot { boot_id, .. }) = (lane, intent) {
                    self.reboots_asked.insert(*target, boot_id.clone());
                }
                self.open_attempts.insert(*attempt, issued);
                Touched::Lane(*lane)
            }
            Fact::Finished { attempt, outcome } => {
                // One whose answer was lost may come to be in doubt.
                self.attempt = match outcome {
                    Outcome::Unknown { .. } | Outcome::TimedOut { .. } => {
                        self.open_attempts.get(attempt).cloned()
                    }
                    _ => self.open_attempts.remove(attempt),
                };
                if let Some(attempt) = &self.attempt {
                    self.end_phase(attempt.lane);
                }
                self.note_outcome(outcome, at)
            }
            Fact::RetryScheduled { lane, step, .. } => {
                self.at_step(*lane, *step, None, at);
                Touched::Lane(*lane)
            }
            Fact::GateClosed { lane, step, .. } => {
                self.at_step(*lane, *step, Some(1), at);
                Touched::Lane(*lane)
            }
            Fact::Due { timer: Timer::Retry { lane, .. } | Timer::Gate { lane, .. } }
            | Fact::Approved { lane, .. }
            | Fact::StepIgnored { lane, .. } => Touched::Lane(*lane),
            Fact::StepFailed { lane, step, error } => {
                self.at_step(*lane, *step, None, at);
                self.note_error(*lane, error.into());
                Touched::Lane(*lane)
            }
            Fact::WorkerFailed { target, error, .. } | Fact::RevertStuck { target, error } => {
                self.note_error(Lane::Worker(*target), error.into());
                Touched::Lane(Lane::Worker(*target))
            }
            Fact::RevertStarted { target } => {
                self.count_from_one_again(*target);
                Touched::Lane(Lane::Worker(*target))
            }
            Fact::Retried { target, .. } => {
                self.note_retry(*target);
                Touched::Lane(Lane::Worker(*target))
            }
            Fact::Reopened { targets, .. } => {
                self.attempts.retain(|(of, _), _| matches!(of, Lane::Worker(_)));
                targets.iter().for_each(|target| self.note_retry(*target));
                (self.finished_at, self.resumable) = (None, true);
                Touched::All
            }
            Fact::WorkerPrepared { target } => {
                // Its turn has not come: it is at none of its steps.
                let worker = &mut self.workers[target.0 as usize];
                (worker.step, worker.attempt, worker.step_since) = (None, None, None);
                Touched::Lane(Lane::Worker(*target))
            }
            Fact::PrepareStarted { target }
            | Fact::WorkerSucceeded { target }
            | Fact::WorkerReverted { target }
            | Fact::Skipped { target, .. }
            | Fact::WorkerCancelled { target } => Touched::Lane(Lane::Worker(*target)),
            Fact::WaveStarted { wave } => {
                self.wave = Some(wave + 1);
                Touched::None
            }
            Fact::InDoubt { attempt } => {
                self.attempt = self.open_attempts.get(attempt).cloned();
                Touched::All
            }
            Fact::InDoubtResolved { attempt, .. } => {
                self.attempt = self.open_attempts.remove(attempt);
                Touched::All
            }
            Fact::Interrupted { .. } | Fact::Resumed { .. } | Fact::Aborted { .. } => Touched::All,
            Fact::RunFinished { end } => {
                self.finished_at = Some(Time(at));
                self.resumable = false;
                self.state = (*end).into();
                Touched::All
            }
            Fact::RunStarted { .. }
            | Fact::Observed { .. }
            | Fact::ObservedChanges { .. }
            | Fact::BeforeDone
            | Fact::Due { .. }
            | Fact::WaveFinished { .. }
            | Fact::GateMeasured { .. }
            | Fact::Paused { .. }
            | Fact::Halted { .. } => Touched::None,
            Fact::Silence { target, event } => {
                self.note_silence(*target, event);
                Touched::None
            }
        }
    }

    fn note_silence(&mut self, target: TargetIx, event: &SilenceEvent) {
        self.workers[target.0 as usize].silence = Some(event.into());
    }

    fn note_retry(&mut self, target: TargetIx) {
        self.count_from_one_again(target);
        self.workers[target.0 as usize].retries += 1;
    }

    /// Attempts of undos and of an operator's retry count from 1.
    fn count_from_one_again(&mut self, target: TargetIx) {
        self.attempts.retain(|(of, _), _| *of != Lane::Worker(target));
        self.workers[target.0 as usize].attempt = None;
    }

    fn note_preflight(&mut self, checks: &[Check]) -> Touched {
        for (at, (worker, check)) in self.workers.iter_mut().zip(checks).enumerate() {
            match check {
                Check::Ready { boot_id, .. } => {
                    worker.boot_id_before = Some(boot_id.clone());
                    self.last_boot_ids[at] = Some(boot_id.clone());
                }
                Check::Unreachable { error } => worker.error = Some(error.into()),
                Check::LeftAlone { reason } => worker.waits_for = Some(reason.clone()),
            }
        }
        Touched::All
    }

    fn note_outcome(&mut self, outcome: &Outcome, at: Millis) -> Touched {
        let Some(attempt) = &self.attempt else { return Touched::None };
        let lane = attempt.lane;
        if let Lane::Worker(target) = lane
            && let Some(boot_id) = outcome.boot_seen()
        {
            let last = self.last_boot_ids[target.0 as usize].as_deref();
            // A boot after the one that the reboot step has seen was not ordered. One that comes late, in whatever
            // step, may well be what was ordered.
            let ordered = matches!(outcome, Outcome::Ok { evidence: Evidence::Rebooted { .. } })
                || (last.is_some() && last == self.reboots_asked.get(&target).map(String::as_str));
            self.note_boot(target, boot_id, ordered, at);
        }
        let Some(attempt) = &self.attempt else { return Touched::None };
        if let (Lane::Worker(target), Outcome::Ok { evidence }) = (lane, outcome) {
            let worker = &mut self.workers[target.0 as usize];
            match evidence {
                Evidence::BootId { boot_id, .. } => {
                    worker.boot_id_before = Some(boot_id.clone());
                    self.boot_id_read.insert((lane, attempt.step));
                }
                Evidence::Rebooted { boot_id } => worker.boot_id_after = Some(boot_id.clone()),
                // Without a reboot step before it, it is no new boot.
                Evidence::Back { boot_id, kernel }
                    if matches!(attempt.intent, Intent::AwaitBoot { not: Some(_), .. }) =>
                {
                    worker.boot_id_after = Some(boot_id.clone());
                    worker.kernel.clone_from(kernel);
                }
                _ => {}
            }
            // Undone steps do not make the failure undone.
            if !attempt.intent.is_undo() {
                worker.error = None;
            }
        }
        if let (Lane::Worker(target), Outcome::Unexpected { boot_id, kernel, .. }) = (lane, outcome) {
            let worker = &mut self.workers[target.0 as usize];
            worker.boot_id_after = Some(boot_id.clone());
            worker.kernel.clone_from(kernel);
        }
        if let Some(error) = text::error_of(outcome) {
            self.note_error(lane, error);
        }
        Touched::Lane(lane)
    }

    /// A boot was seen; `ordered`: the run has made it, if it is a new one.
    fn note_boot(&mut self, target: TargetIx, boot_id: &str, ordered: bool, at: Millis) {
        let index = target.0 as usize;
        let last = self.last_boot_ids[index].replace(boot_id.to_owned());
        if let Some(before) = last.filter(|before| before != boot_id && !ordered) {
            let boot = UnplannedBoot { before, boot_id: boot_id.to_owned(), seen_at: Time(at) };
            self.workers[index].unplanned_boots.push(boot);
        }
    }

    fn note_error(&mut self, lane: Lane, error: ErrorView) {
        if let Lane::Worker(target) = lane {
            self.workers[target.0 as usize].error = Some(error);
        }
    }

    fn at_step(&mut self, lane: Lane, step: StepIx, attempt: Option<u32>, at: Millis) {
        let Lane::Worker(target) = lane else {
            let attempt = attempt.unwrap_or(1);
            return self.reach_once(Once { lane, step, attempt, since: at });
        };
        let id = &self.run_state.graph().plan.steps[step.index()].id;
        let worker = &mut self.workers[target.0 as usize];
        if worker.step.as_ref() != Some(id) {
            worker.step = Some(id.clone());
            worker.attempt = None;
        }
        worker.attempt = attempt.or(worker.attempt);
        worker.step_since = Some(Time(at));
    }

    /// The number of the attempt that is issued now, counted from 1. Reading the boot id is part of the attempt
    /// that follows it.
    fn next_attempt(&mut self, lane: Lane, step: StepIx, intent: &Intent) -> u32 {
        let attempts = self.attempts.entry((lane, step)).or_default();
        let continues = matches!(intent, Intent::Reboot { .. }) && self.boot_id_read.remove(&(lane, step));
        if !continues {
            *attempts += 1;
        }
        *attempts
    }
}

enum Touched {
    None,
    Lane(Lane),
    All,
}

/// Why a run cannot continue by itself, in one line.
pub fn describe_halt(reason: &HaltReason, graph: &RolloutGraph) -> String {
    match reason {
        HaltReason::TooManyFailures { failed, allowed } => {
            format!("{} failed (max_failures: {allowed})", counted(*failed as usize, "worker"))
        }
        HaltReason::LaneFailed { lane, step, error } => {
            format!("{} failed: {}", text::step_of(graph, *lane, *step), error.message)
        }
        HaltReason::GateFailed { place, says } => format!("the {} {says}", text::gate_at(*place)),
        HaltReason::NobodyAdmissible { target, reason } => {
            format!("no worker can start; {}: {reason}", graph.host(*target))
        }
    }
}

#[cfg(test)]
mod tests;
