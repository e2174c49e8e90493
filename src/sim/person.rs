//! People: at random they interfere with the run, and in the end they answer what it waits for. They
//! know what a person at a terminal knows.

use std::sync::Arc;

use super::drive::{Event, Sim};
use super::world::Entry;
use crate::bucket::WorkerIx;
use crate::engine::{AttemptId, Fact, Resolution, RunStatus, WorkerState};
use crate::graph::{CompileOptions, Lane, RolloutGraph, TargetIx, compile};
use crate::plan::{Order, Plan, StepKind};

/// After so many answers at rest people give up and abort.
const PATIENCE: u32 = 12;
/// After so many more the run does not end.
const MOST_REACTIONS: u32 = 60;

fn name() -> String {
    "a person".to_owned()
}

impl Sim {
    fn any_target(&mut self) -> TargetIx {
        TargetIx(self.people.index(self.graph.targets.len()) as u32)
    }

    fn any_worker(&mut self) -> WorkerIx {
        WorkerIx(self.people.index(self.world.hosts.len()) as u32)
    }

    /// Somebody interferes.
    pub(super) fn person(&mut self) {
        match self.people.below(18) {
            0..=1 => {
                self.says(Fact::Paused { by: name(), reason: "lunch".to_owned() });
            }
            2 => {
                self.says(Fact::Resumed { by: name(), fresh_process: false });
            }
            3 => {
                self.says(Fact::Interrupted { by: "SIGTERM".to_owned() });
            }
            4 => {
                if self.people.per_mille(600) {
                    let revert = self.people.coin();
                    self.says(Fact::Aborted { by: name(), revert });
                }
            }
            5 => {
                let target = self.any_target();
                self.says(Fact::Skipped { target, by: name() });
            }
            6 => {
                let target = self.any_target();
                self.says(Fact::Retried { target, by: name() });
            }
            7..=8 => {
                let worker = self.any_worker();
                let boot = self.world.host(worker).boot();
                self.goes_down(worker, boot, None);
            }
            9 => self.person_edits(),
            10 => self.world.file.checked_out(),
            14 => {
                if self.world.file.half_written() {
                    let after = self.people.between(1, 120_000);
                    self.push(after, Event::Mends);
                }
            }
            15 => self.on_disk = self.plan_edited(),
            16 => self.nonsense(),
            17 => {
                // Somebody approves before he is waited for.
                let gates = self.rollout.as_ref().map(|rollout| rollout.closed_gates()).unwrap_or_default();
                if let Some((lane, step)) = gates.first()
                    && !self.says(Fact::Approved { lane: *lane, step: *step, by: name() })
                {
                    let what = format!("step {step} of {lane:?} waits for a person, and refuses one");
                    self.checker.breaks(16, what);
                }
            }
            11..=12 => {
                let worker = self.any_worker();
                let sick = self.people.coin();
                for alloc in &mut self.world.host_mut(worker).allocs {
                    alloc.sick = sick;
                }
                if sick && self.config.recovers {
                    let after = self.recoveries.between(30_000, 900_000);
                    self.push(after, Event::Recovers { worker });
                }
            }
            _ => {
                if self.rollout.is_some() {
                    self.crash();
                }
            }
        }
    }

    /// Somebody approves or settles what may not ask for it.
    fn nonsense(&mut self) {
        let lane = Lane::Worker(self.any_target());
        let step = self.people.index(self.graph.plan.steps.len()) as u32;
        let attempt = AttemptId(1 + self.people.below(40));
        let how = [Resolution::Rerun, Resolution::Done, Resolution::Skip][self.people.index(3)];
        if self.people.coin() {
            self.says(Fact::Approved { lane, step, by: name() });
        } else if self.rollout.as_ref().is_some_and(|rollout| !rollout.undecided().contains(&attempt)) {
            self.says(Fact::InDoubtResolved { attempt, how });
        }
    }

    /// Somebody takes a whole worker out.
    pub(super) fn person_edits(&mut self) {
        let worker = self.any_worker();
        self.world.file.person_adds(Entry { worker, job: None });
    }

    /// Somebody turns the order of the workers round and has another command for reboots.
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

    /// What a person asks for may be refused, and then changes nothing.
    fn says(&mut self, fact: Fact) -> bool {
        if self.rollout.is_none() || self.journal.is_empty() {
            return true;
        }
        let before = self.rollout.as_ref().map(Sim::standing_of);
        let count = self.journal.len();
        if self.try_commit_and_dispatch(fact.clone()).is_err() {
            let after = self.rollout.as_ref().map(Sim::standing_of);
            if before != after || self.journal.len() != count {
                self.checker.breaks(14, format!("{fact:?} is refused, and changes {before:?} to {after:?}"));
            }
            if self.config.check {
                self.check_replay();
            }
            return false;
        }
        true
    }

    fn standing_of(rollout: &crate::engine::RunState) -> RunStatus {
        rollout.status()
    }

    /// The run waits for people, and one comes.
    pub(super) fn reacts(&mut self) {
        let Some(rollout) = &self.rollout else { return };
        let status = rollout.status();
        // Patience is for what does not go on, not for gates that were meant.
        self.reactions += u32::from(!matches!(status, RunStatus::WaitsForPeople { .. }));
        if matches!(status, RunStatus::Busy | RunStatus::Finished(_)) {
            return;
        }
        if self.reactions > MOST_REACTIONS {
            self.checker.breaks(16, format!("people answered {MOST_REACTIONS} times, and it is {status:?}"));
            return;
        }
        if self.reactions > PATIENCE && !rollout.is_aborted() {
            for alloc in self.world.hosts.iter_mut().flat_map(|host| &mut host.allocs) {
                alloc.sick = false;
            }
            let revert = self.people.coin();
            self.says(Fact::Aborted { by: name(), revert });
            return;
        }
        match status {
            RunStatus::WaitsForPeople { gates, undecided } => {
                if let Some((lane, step)) = gates.first() {
                    self.says(Fact::Approved { lane: *lane, step: *step, by: name() });
                } else if let Some((attempt, lane, step)) = undecided.first() {
                    let how = [Resolution::Rerun, Resolution::Done, Resolution::Skip][self.people.index(3)];
                    if how == Resolution::Rerun {
                        self.reran.insert((*lane, *step));
                    }
                    self.checker.decides(*attempt);
                    self.says(Fact::InDoubtResolved { attempt: *attempt, how });
                }
            }
            RunStatus::Halted(_) => {
                for alloc in self.world.hosts.iter_mut().flat_map(|host| &mut host.allocs) {
                    alloc.sick = false;
                }
                let failed: Vec<TargetIx> = match &self.rollout {
                    Some(rollout) => self
                        .graph
                        .target_indices()
                        .filter(|t| rollout.worker_state(*t) == WorkerState::Failed)
                        .collect(),
                    None => Vec::new(),
                };
                for target in failed {
                    let retry = self.people.per_mille(700);
                    let by = name();
                    self.says(if retry {
                        Fact::Retried { target, by }
                    } else {
                        Fact::Skipped { target, by }
                    });
                }
                self.resume_after_all();
            }
            _ => self.resume_after_all(),
        }
    }

    fn resume_after_all(&mut self) {
        if self.people.coin() {
            self.says(Fact::Resumed { by: name(), fresh_process: false });
        } else if self.rollout.is_some() {
            // The process had ended, and a new one resumes.
            self.crash();
        }
    }
}
