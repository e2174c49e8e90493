//! Operators and others: at random they interfere with the run, and in the end they answer what it waits for.
//! They know what an operator at a terminal knows, and ask as `maand plan` does: a controller that lives by a
//! request, else the journal itself.

use std::sync::Arc;

use super::drive::{Event, Sim};
use super::invariant::Invariant;
use super::world::Entry;
use crate::bucket::WorkerIx;
use crate::controller::{Input, apply_offline, offline_facts};
use crate::engine::{Control, Fact, Resolution, RunEnd, RunState, RunStatus, WorkerState};
use crate::graph::{CompileOptions, Lane, RolloutGraph, StepIx, TargetIx, compile};
use crate::plan::{Order, Plan, StepKind};

/// After so many answers at rest operators give up and abort.
const PATIENCE: u32 = 12;
/// After so many more the run does not end.
const MOST_REACTIONS: u32 = 60;

/// So often a run is taken up again after its end.
const MOST_REOPENED: u32 = 2;

fn name() -> String {
    "an operator".to_owned()
}

impl Sim {
    fn any_target(&mut self) -> TargetIx {
        TargetIx(self.operators.index(self.graph.targets.len()) as u32)
    }

    fn any_worker(&mut self) -> WorkerIx {
        WorkerIx(self.operators.index(self.world.hosts.len()) as u32)
    }

    /// An operator interferes.
    pub(super) fn interferes(&mut self) {
        match self.operators.below(18) {
            0..=1 => {
                self.asks(Control::Pause { reason: Some("lunch".to_owned()) });
            }
            2 => {
                self.asks(Control::Resume);
            }
            3 => self.signals(),
            4 => {
                if self.operators.per_mille(600) {
                    let revert = self.operators.coin();
                    self.asks(Control::Abort { revert });
                }
            }
            5 => {
                let host = self.any_host();
                self.asks(Control::Skip { hosts: vec![host] });
            }
            6 => {
                let host = self.any_host();
                self.asks(Control::Retry { hosts: vec![host] });
            }
            7..=8 => {
                let worker = self.any_worker();
                let boot = self.world.host(worker).boot();
                self.goes_down(worker, boot, None);
            }
            9 => self.operator_edits(),
            10 => self.world.file.checked_out(),
            14 => {
                if self.world.file.half_written() {
                    let after = self.operators.between(1, 120_000);
                    self.push(after, Event::SavesRest);
                }
            }
            15 => self.on_disk = self.plan_edited(),
            16 => self.nonsense(),
            17 => {
                // An operator approves before the run waits for it alone.
                let gates = self.state().map(RunState::closed_gates).unwrap_or_default();
                if let Some((lane, step)) = gates.first().copied()
                    && !self.asks(self.approval(lane, step))
                {
                    let what = format!("step {step} of {lane:?} waits for an approval, and refuses one");
                    self.checker.breaks(Invariant::BoundedWaits, what);
                }
            }
            11..=12 => {
                let worker = self.any_worker();
                let sick = self.operators.coin();
                for alloc in &mut self.world.host_mut(worker).allocs {
                    alloc.sick = sick;
                }
                if sick && self.config.recovers {
                    let after = self.recoveries.between(30_000, 900_000);
                    self.push(after, Event::Recovers { worker });
                }
            }
            _ => {
                if self.controller.is_some() {
                    self.crash();
                }
            }
        }
    }

    /// A machine boots by itself, whoever it is and whatever it does.
    pub(super) fn resets(&mut self) {
        let worker = WorkerIx(self.machines.index(self.world.hosts.len()) as u32);
        let boot = self.world.host(worker).boot();
        self.goes_down(worker, boot, None);
    }

    /// The first signal is stored; after the second the process ends.
    fn signals(&mut self) {
        let (process, count) = (self.process, self.ledger.facts().len());
        if self.controller.is_none()
            || matches!(self.state().map(RunState::status), Some(RunStatus::Finished(_)))
        {
            return;
        }
        self.commit_and_dispatch(Input::Signal { name: "SIGTERM" });
        let heard =
            self.ledger.facts()[count..].iter().any(|(_, fact)| matches!(fact, Fact::Interrupted { .. }));
        let lives = process == self.process && !self.is_leaving();
        if !heard && lives {
            self.checker.breaks(Invariant::PauseAdmitsNobody, "a signal has arrived, and nothing follows");
        }
        if lives && self.signalled.replace(process) == Some(process) {
            self.checker
                .breaks(Invariant::PauseAdmitsNobody, "a second signal has arrived, and the process lives");
        }
    }

    fn any_host(&mut self) -> String {
        let target = self.any_target();
        self.graph.host(target).to_owned()
    }

    /// The approval of one gate, as it is typed.
    fn approval(&self, lane: Lane, step: StepIx) -> Control {
        let host = match lane {
            Lane::Worker(target) => Some(self.graph.host(target).to_owned()),
            Lane::Before | Lane::After => None,
        };
        Control::Approve { host, step: Some(self.graph.steps(lane)[step.index()].id.clone()) }
    }

    /// An operator approves what may not ask for it.
    fn nonsense(&mut self) {
        let lane = Lane::Worker(self.any_target());
        let step = StepIx(self.operators.index(self.graph.plan.steps.len()) as u32);
        self.asks(self.approval(lane, step));
    }

    /// An operator takes a whole worker out.
    pub(super) fn operator_edits(&mut self) {
        let worker = self.any_worker();
        self.world.file.operator_adds(Entry { worker, job: None });
    }

    /// An operator turns the order of the workers round and has another command for reboots.
    fn plan_edited(&self) -> Option<Arc<RolloutGraph>> {
        let mut plan = Plan::clone(&self.graph.plan);
        let rollout = &mut plan.rollout;
        rollout.order = if rollout.order == Order::Reverse { Order::Position } else { Order::Reverse };
        for step in &mut plan.steps {
            if let StepKind::Reboot { command, .. } = &mut step.kind {
                command.push_str(" --force");
            }
        }
        let options = CompileOptions::default();
        compile(&Arc::new(plan), &self.graph.fleet, &options).ok().map(Arc::new)
    }

    /// What an operator asks for may be refused, and then changes nothing. `false`: it was refused.
    fn asks(&mut self, verb: Control) -> bool {
        let count = self.ledger.facts().len();
        if count == 0 {
            return true;
        }
        if self.controller.is_none() {
            return self.asks_offline(verb);
        }
        let before = self.state().map(RunState::status);
        self.ledger.ask(verb.clone(), &name(), self.now);
        let process = self.process;
        self.commit_and_dispatch(Input::Requests);
        if process != self.process {
            // It died of it: the request waits for the next one.
            return true;
        }
        if self.ledger.is_asked() {
            self.checker.breaks(Invariant::BoundedWaits, format!("{verb:?} is answered by nobody"));
        }
        let refused = self.ledger.refusal().is_some();
        if refused {
            let after = self.state().map(RunState::status);
            if before != after || self.ledger.facts().len() != count {
                self.checker.breaks(
                    Invariant::LegalTransitions,
                    format!("{verb:?} is refused, and changes {before:?} to {after:?}"),
                );
            }
            if self.config.check {
                self.check_replay();
            }
        }
        !refused
    }

    /// No controller lives: the request is applied to the journal itself; an abort takes the run up.
    fn asks_offline(&mut self, verb: Control) -> bool {
        let Ok(mut run) = self.replayed() else { return true };
        if matches!(run.status(), RunStatus::Finished(_)) && !matches!(verb, Control::Retry { .. }) {
            return true;
        }
        if let Control::Abort { .. } = verb {
            return match offline_facts(&mut run, self.now, &verb, &name()) {
                Ok(facts) => {
                    self.resumes(facts, None);
                    true
                }
                Err(_) => false,
            };
        }
        let mut ledger = self.ledger.of_epoch(self.epoch());
        let applied = apply_offline(&mut run, &mut ledger, self.now, &verb, &name());
        self.check_new_facts();
        self.ledger.has_died();
        matches!(applied, Ok(Ok(())))
    }

    /// The run waits for operators, and one comes.
    pub(super) fn reacts(&mut self) {
        let replayed;
        let run = match self.state() {
            Some(run) => run,
            None => match self.replayed() {
                Ok(run) => {
                    replayed = run;
                    &replayed
                }
                // It was noticed where it broke.
                Err(_) => return,
            },
        };
        let status = run.status();
        // Patience is for what does not continue, not for gates that were meant.
        let patient = matches!(status, RunStatus::WaitsForOperator { .. });
        if matches!(status, RunStatus::Finished(_))
            || (status == RunStatus::Busy && self.controller.is_some())
        {
            return;
        }
        let failed: Vec<String> = self
            .graph
            .target_indices()
            .filter(|target| run.worker_state(*target) == WorkerState::Failed)
            .map(|target| self.graph.host(target).to_owned())
            .collect();
        let (is_aborted, undecided) = (run.is_aborted(), run.undecided());
        self.reactions += u32::from(!patient);
        if self.reactions > MOST_REACTIONS {
            self.checker.breaks(
                Invariant::BoundedWaits,
                format!("operators answered {MOST_REACTIONS} times, and it is {status:?}"),
            );
            return;
        }
        if self.reactions > PATIENCE && !is_aborted {
            self.all_recover();
            let revert = self.operators.coin();
            self.asks(Control::Abort { revert });
            return;
        }
        match status {
            RunStatus::WaitsForOperator { gates, .. } if !gates.is_empty() => {
                let (lane, step) = gates[0];
                self.asks(self.approval(lane, step));
                self.resume_after_all(None);
            }
            RunStatus::WaitsForOperator { undecided: doubts, .. } => {
                let how = [Resolution::Rerun, Resolution::Done, Resolution::Skip][self.operators.index(3)];
                for (_, lane, step) in doubts {
                    if how == Resolution::Rerun {
                        self.reran.insert((lane, step));
                    }
                }
                for (attempt, _) in undecided {
                    self.checker.decides(attempt);
                }
                self.resume_after_all(Some(how));
            }
            RunStatus::Halted(_) => {
                self.all_recover();
                for host in failed {
                    let retry = self.operators.per_mille(700);
                    let hosts = vec![host];
                    self.asks(if retry { Control::Retry { hosts } } else { Control::Skip { hosts } });
                }
                self.resume_after_all(None);
            }
            _ => self.resume_after_all(None),
        }
    }

    /// The run has ended with failed workers, and an operator takes it up again for them.
    pub(super) fn is_taken_up_again(&mut self) -> bool {
        let Ok(mut run) = self.replayed() else { return false };
        let failed = |target: TargetIx| {
            run.worker_state(target) == WorkerState::Failed && run.objection_to_retry(target).is_none()
        };
        let has_failed = self.graph.target_indices().any(failed);
        let can = run.status() == RunStatus::Finished(RunEnd::Failed) && has_failed;
        if !can || self.config.operators == 0 || self.reopened == MOST_REOPENED || self.operators.coin() {
            return false;
        }
        self.reopened += 1;
        self.ends_process();
        self.all_recover();
        let verb = Control::Retry { hosts: Vec::new() };
        if let Err(why) = offline_facts(&mut run, self.now, &verb, &name()) {
            let what = format!("a run with failed workers is not taken up again: {why}");
            self.checker.breaks(Invariant::BoundedWaits, what);
            return true;
        }
        // The process that stores it may die of it.
        self.asks_offline(verb);
        let is_open = self.replayed().is_ok_and(|run| !matches!(run.status(), RunStatus::Finished(_)));
        if is_open {
            self.resumes(Vec::new(), None);
        }
        is_open
    }

    fn all_recover(&mut self) {
        self.monitor.recovers();
        for alloc in self.world.hosts.iter_mut().flat_map(|host| &mut host.allocs) {
            alloc.sick = false;
        }
    }

    /// A new process takes the run up, where the last one has ended.
    fn resume_after_all(&mut self, in_doubt: Option<Resolution>) {
        if self.controller.is_none() {
            self.resumes(Vec::new(), in_doubt);
        }
    }
}
