//! The part of `evolve` that is about the run as a whole: its phases and waves.

use super::super::known::Known;
use super::super::pending::Pending;
use super::super::state::{RunEvent, RunPhase, WorkerEvent};
use super::super::{Check, Fact, GatePlace, Millis, RuleViolation, RunEnd};
use crate::graph::{Lane, TargetIx};

impl Known {
    pub(super) fn start_run(&mut self, workers: u32, seed: u64, fact: &Fact) -> Result<(), RuleViolation> {
        if workers as usize != self.lanes.workers().len() {
            return Err(RuleViolation::new("a run has the workers of its graph", fact));
        }
        self.run_event(RunEvent::Started, fact)?;
        self.seed = seed;
        Ok(())
    }

    pub(super) fn preflight(
        &mut self,
        checks: &[Check],
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        if checks.len() != self.lanes.workers().len() {
            return Err(RuleViolation::new("preflight looks at every worker", fact));
        }
        self.run_event(RunEvent::PreflightDone, fact)?;
        for (check, target) in checks.iter().zip((0..).map(TargetIx)) {
            let event = match check {
                Check::Ready { .. } => continue,
                Check::Unreachable { error } => {
                    self.lanes.worker_mut(target).does_not_answer(error);
                    self.failures.count(target);
                    self.admission.unreachable(target);
                    WorkerEvent::Failed
                }
                Check::LeftAlone { .. } => {
                    self.lanes.worker_mut(target).leave_alone();
                    WorkerEvent::Skipped
                }
            };
            self.worker_event(target, event, fact)?;
            pending.dequeue(target);
            self.worker_ended(target, pending);
        }
        pending.look_at(Lane::Before);
        Ok(())
    }

    pub(super) fn finish_before(&mut self, fact: &Fact) -> Result<(), RuleViolation> {
        if !self.lanes.get(Lane::Before).all_satisfied() {
            return Err(RuleViolation::new("the rollout begins after all of `before`", fact));
        }
        let prepares = self.setup.ahead() > 0;
        self.run_event(if prepares { RunEvent::PreparesNext } else { RunEvent::BeforeDone }, fact)
    }

    pub(super) fn start_wave(&mut self, at: Millis, wave: u32, fact: &Fact) -> Result<(), RuleViolation> {
        if self.waves.next() != Some(wave) {
            return Err(RuleViolation::new("waves begin one after the other", fact));
        }
        if self.phase() == RunPhase::Preparing && !self.all_are_prepared() {
            return Err(RuleViolation::new("the first wave begins when all workers are prepared", fact));
        }
        if at < self.waves.soak_until() {
            return Err(RuleViolation::new("a wave begins after the soak", fact));
        }
        if !self.gate_passes(GatePlace::BeforeWave { wave }) {
            return Err(RuleViolation::new("a wave begins when the gates before it have passed", fact));
        }
        self.run_event(RunEvent::WaveStarted, fact)?;
        self.gates.wave_goes_on();
        self.waves.start(wave);
        Ok(())
    }

    pub(super) fn finish_wave(
        &mut self,
        wave: u32,
        soak_until: Millis,
        fact: &Fact,
        pending: &mut Pending,
    ) -> Result<(), RuleViolation> {
        let is_open = self.waves.current() == Some(wave);
        if !is_open || !self.waves.is_done(wave) || !self.lanes.active().is_empty() {
            return Err(RuleViolation::new("a wave ends when all its workers have", fact));
        }
        if !self.gate_passes(GatePlace::AfterWave { wave }) {
            return Err(RuleViolation::new("a wave ends when the gates after it have passed", fact));
        }
        self.run_event(RunEvent::WaveFinished, fact)?;
        self.gates.wave_goes_on();
        self.waves.finish(soak_until);
        if self.waves.is_last(wave) {
            self.run_event(RunEvent::RolloutDone, fact)?;
            pending.look_at(Lane::After);
        }
        Ok(())
    }

    pub(super) fn finish_run(&mut self, end: RunEnd, fact: &Fact) -> Result<(), RuleViolation> {
        if !self.lanes.active().is_empty() || !self.attempts.are_settled() {
            return Err(RuleViolation::new("a run ends when nothing is under way", fact));
        }
        self.run_event(RunEvent::Finished, fact)?;
        self.end = Some(end);
        Ok(())
    }
}
