//! The part of `decide` that is about the end of a wave and who starts next.
//!
//! Jobs with a budget are looked at again before a worker is admitted; the look itself is an effect
//! without a place in the journal before it (it changes nothing), its result is a fact.

use super::super::pending::RECHECK_JOBS_MS;
use super::super::{Effect, Fact, GatePlace, HaltReason, Millis, Timer};
use super::Decide;
use crate::graph::TargetIx;
use crate::policy::{Pick, Reason};

/// When nobody is active, and sick peers outside of the run's control keep everybody from starting for
/// so long, the run halts instead of waiting for ever: twice the default time-out of a step.
const ADMISSION_PATIENCE_MS: Millis = 10 * 60_000;

impl Decide<'_> {
    pub(super) fn next_admission(&mut self) -> Option<Fact> {
        let run = self.run;
        let wave = run.waves.current()?;
        let nobody_active = run.lanes.active().is_empty();
        if nobody_active && run.waves.is_done(wave) {
            self.pending.ask_guard(false);
            let passes = run.gate_passes(GatePlace::AfterWave { wave });
            return passes.then(|| self.finish_wave(wave));
        }
        if run.hold.paused().is_some() {
            self.pending.ask_guard(false);
            return None;
        }
        // Time alone changes the answer only where a worker is looked at again, or a look grows old; with nobody
        // active it is asked each time, for a halt must not be missed.
        if !nobody_active && self.pending.queue_was_checked(self.at) {
            return None;
        }
        if self.guard_holds() {
            return None;
        }
        match self.pending.pick(&run.admission, self.at, &run.conditions()) {
            Pick::Admit(target) => {
                self.pending.patience_begins_anew();
                Some(Fact::WorkerAdmitted { target })
            }
            Pick::Wait { target, reason } => self.wait(target, &reason),
            Pick::Refuse { target, reason } => self.halt_if_nobody_is_active(target, &reason),
            Pick::Empty => None,
        }
    }

    /// Whether somebody might start, and the guard has to say first that it may be.
    fn guard_holds(&mut self) -> bool {
        let run = self.run;
        if run.setup.graph.plan.rollout.gates.guard.is_empty() {
            return false;
        }
        let holds = !run.gates.guard_passes(self.at, run.is_guarded())
            && !self.pending.queue_is_held(&run.admission, self.at, &run.conditions());
        self.pending.ask_guard(holds);
        holds
    }

    fn finish_wave(&mut self, wave: u32) -> Fact {
        let soak = self.run.setup.scaled(self.run.setup.graph.plan.rollout.soak);
        let soak_until = if self.run.waves.is_last(wave) { self.at } else { self.at + soak };
        if soak_until > self.at {
            self.wake(soak_until, Timer::Soak { wave });
        }
        Fact::WaveFinished { wave, soak_until }
    }

    pub(super) fn wait(&mut self, target: TargetIx, reason: &Reason) -> Option<Fact> {
        match reason {
            Reason::Observation { jobs } => {
                if self.pending.observe() {
                    self.effects.push(Effect::Observe { jobs: jobs.clone() });
                }
                return None;
            }
            Reason::Window { opens_at: Some(opens) }
            | Reason::Frozen { opens_at: Some(opens), .. }
            | Reason::WindowTooShort { opens_at: Some(opens), .. } => {
                self.ask_again(*opens);
                return None;
            }
            Reason::Budget { .. } | Reason::Spread { .. } if self.peers_may_get_well(reason) => {
                let patient = self.at - self.pending.blocked_since(self.at) < ADMISSION_PATIENCE_MS;
                // Workers that all wait for operators free nothing by themselves: looking again for ever
                // would hide that an operator is needed.
                if patient || !self.run.attempts.are_settled() {
                    self.ask_again(self.at + RECHECK_JOBS_MS);
                    return None;
                }
            }
            _ => {}
        }
        self.halt_if_nobody_is_active(target, reason)
    }

    /// A peer may get well by itself, and then another than the first in line may start.
    fn peers_may_get_well(&self, reason: &Reason) -> bool {
        let admission = &self.run.admission;
        let sick = matches!(reason, Reason::Budget { job, .. }
            if admission.job_now(*job, self.at).is_some_and(|now| now.unhealthy > 0));
        sick || self.pending.waits_for_health(admission, self.at, &self.run.conditions())
    }

    pub(super) fn halt_if_nobody_is_active(&self, target: TargetIx, reason: &Reason) -> Option<Fact> {
        let reason = || reason.describe(&self.run.setup.graph);
        let nobody_active = self.run.lanes.active().is_empty();
        nobody_active
            .then(|| Fact::Halted { reason: HaltReason::NobodyAdmissible { target, reason: reason() } })
    }

    /// Sets the admission timer, unless one is set that fires no later.
    fn ask_again(&mut self, due: Millis) {
        if self.pending.ask_again(due) {
            self.wake(due, Timer::Admission);
        }
    }
}
