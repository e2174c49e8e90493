//! The part of `decide` that is about waves and who starts next.
//!
//! Jobs with a budget are looked at again before somebody is admitted; the look itself is an effect
//! without a place in the journal before it (it changes nothing), its result is a fact.

use crate::policy::{Conditions, Pick, Reason};

use super::run_state::RunState;
use super::{Effect, Fact, HaltReason, Millis, Timer};

/// Between two looks at jobs that hold everybody back: a person who mends a peer sees the run go on
/// within this time, and a fleet is not flooded with probes.
const LOOK_AGAIN_MS: Millis = 10_000;

/// When nobody is active, and sick peers outside of the run's control keep everybody from starting for
/// so long, the run halts instead of waiting for ever: twice the default time-out of a step.
const ADMISSION_PATIENCE_MS: Millis = 10 * 60_000;

impl RunState {
    pub(super) fn next_admission(&mut self, at: Millis, effects: &mut Vec<Effect>) -> Option<Fact> {
        let wave = self.wave?;
        if self.wave_left[wave as usize] == 0 && self.active.is_empty() {
            let last = wave as usize + 1 == self.graph.waves.len();
            let soak = self.scaled(self.graph.plan.rollout.soak);
            let soak_until = if last { at } else { at + soak };
            if soak_until > at {
                effects.push(Effect::Wake { at: soak_until, timer: Timer::Soak { wave } });
            }
            return Some(Fact::WaveFinished { wave, soak_until });
        }
        if self.paused.is_some() {
            return None;
        }
        // Time alone changes the answer only where somebody looks again, or a look grows old; with nobody
        // active it is asked each time, for a halt must not be missed.
        let recently = |asked| at - asked < LOOK_AGAIN_MS;
        if !self.active.is_empty() && self.queue_checked_at.is_some_and(recently) {
            return None;
        }
        let conditions = self.conditions();
        let pick = self.queue.pick(&self.admission, at, &conditions);
        self.queue_checked_at = (!matches!(pick, Pick::Admit(_))).then_some(at);
        match pick {
            Pick::Admit(target) => {
                self.blocked_since = None;
                Some(Fact::WorkerAdmitted { target })
            }
            Pick::Wait { target, reason } => self.wait(at, target, reason, effects),
            Pick::Refuse { target, reason } => {
                let reason = reason.describe(&self.graph);
                self.active
                    .is_empty()
                    .then_some(Fact::Halted { reason: HaltReason::NobodyAdmissible { target, reason } })
            }
            Pick::Empty => None,
        }
    }

    /// What the run as a whole is like, for admission.
    pub(super) fn conditions(&self) -> Conditions {
        Conditions {
            current_wave: self.wave.unwrap_or(0),
            paused: self.paused.is_some(),
            failures: self.failures,
            median_worker_ms: self.median.get(),
        }
    }

    fn wait(
        &mut self,
        at: Millis,
        target: crate::graph::TargetIx,
        reason: Reason,
        effects: &mut Vec<Effect>,
    ) -> Option<Fact> {
        match &reason {
            Reason::Observation { jobs } => {
                if !self.observing {
                    self.observing = true;
                    effects.push(Effect::Observe { jobs: jobs.clone() });
                }
                return None;
            }
            Reason::Window { opens_at: Some(opens) }
            | Reason::WindowTooShort { opens_at: Some(opens), .. } => {
                self.ask_again(*opens, effects);
                return None;
            }
            Reason::Budget { .. } | Reason::Spread { .. } => {
                // A peer may get well by itself, and then another than the first in line may start.
                let sick = matches!(&reason, Reason::Budget { job, .. }
                    if self.admission.job_now(*job, at).is_some_and(|now| now.unhealthy > 0));
                if sick || self.queue.waits_for_health(&self.admission, at, &self.conditions()) {
                    let since = *self.blocked_since.get_or_insert(at);
                    let patient = at - since < ADMISSION_PATIENCE_MS;
                    // Workers that all wait for people free nothing by themselves: looking on for ever
                    // would hide that somebody is asked for.
                    if patient || !self.awaited.is_empty() {
                        self.ask_again(at + LOOK_AGAIN_MS, effects);
                        return None;
                    }
                }
            }
            _ => {}
        }
        if !self.active.is_empty() {
            return None;
        }
        let reason = reason.describe(&self.graph);
        Some(Fact::Halted { reason: HaltReason::NobodyAdmissible { target, reason } })
    }

    /// Sets the admission timer, unless one is set that fires no later.
    fn ask_again(&mut self, due: Millis, effects: &mut Vec<Effect>) {
        if self.admission_due.is_none_or(|set| set > due) {
            self.admission_due = Some(due);
            effects.push(Effect::Wake { at: due, timer: Timer::Admission });
        }
    }
}
