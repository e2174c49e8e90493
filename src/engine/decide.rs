//! What follows from the state: one fact at a time, until nothing more does.
//!
//! Decisions read what is known and never change it; what this process has asked for (timers, observations)
//! they note in [`Pending`]. The order of the questions is the order of urgency: lanes that can continue, then
//! the run as a whole, then admission.

mod admission;
mod failure;
mod lane;
mod preparation;
mod revert;

use super::known::Known;
use super::pending::Pending;
use super::state::{Presence, RunPhase, WorkerState};
use super::{AttemptSpec, Effect, Fact, GatePlace, HaltReason, Intent, Millis, RunEnd, Timer};
use crate::graph::{Lane, StepRef};

/// One round of questions.
pub(super) struct Decide<'a> {
    run: &'a Known,
    pending: &'a mut Pending,
    at: Millis,
    effects: &'a mut Vec<Effect>,
}

impl<'a> Decide<'a> {
    pub(super) fn new(
        run: &'a Known,
        pending: &'a mut Pending,
        at: Millis,
        effects: &'a mut Vec<Effect>,
    ) -> Self {
        Self { run, pending, at, effects }
    }

    /// The next fact that follows; the effects that belong to it are asked for.
    pub(super) fn next_fact(&mut self) -> Option<Fact> {
        if self.run.end.is_some() {
            return None;
        }
        if let Some(reason) = self.run.hold.wanted_pause() {
            return Some(Fact::Paused { by: "maand".into(), reason: reason.to_owned() });
        }
        while let Some(lane) = self.pending.next_lane() {
            if let Some(fact) = self.next_of_lane(lane) {
                return Some(fact);
            }
            self.pending.lane_is_done();
        }
        self.next_of_run()
    }

    fn next_of_run(&mut self) -> Option<Fact> {
        let run = self.run;
        if run.hold.is_aborted() {
            let idle = run.lanes.active().is_empty() && run.attempts.are_settled();
            return idle.then_some(Fact::RunFinished { end: RunEnd::Aborted });
        }
        let phase = run.phase();
        let rolls =
            matches!(phase, RunPhase::Before | RunPhase::Preparing | RunPhase::Rolling | RunPhase::Soaking);
        if rolls && run.failures.is_exceeded() {
            let (failed, allowed) = (run.failures.failed(), run.failures.allowed());
            return Some(Fact::Halted { reason: HaltReason::TooManyFailures { failed, allowed } });
        }
        if let Some((place, says)) = run.gates.failed().filter(|_| rolls) {
            return Some(Fact::Halted { reason: HaltReason::GateFailed { place, says: says.to_owned() } });
        }
        if run.hold.is_interrupted() {
            return None;
        }
        match phase {
            RunPhase::Before => run.lanes.get(Lane::Before).all_satisfied().then_some(Fact::BeforeDone),
            RunPhase::Preparing => self.next_preparation(),
            RunPhase::Soaking => self.next_wave(),
            RunPhase::Rolling => self.next_admission(),
            RunPhase::After => {
                let done = run.lanes.get(Lane::After).all_satisfied();
                done.then(|| Fact::RunFinished { end: self.end_now() })
            }
            RunPhase::Fresh | RunPhase::Preflight | RunPhase::Halted | RunPhase::Finished => None,
        }
    }

    fn next_wave(&self) -> Option<Fact> {
        let waves = &self.run.waves;
        let now = self.run.hold.paused().is_none() && self.at >= waves.soak_until();
        let passes = |wave: &u32| self.run.gate_passes(GatePlace::BeforeWave { wave: *wave });
        waves.next().filter(|_| now).filter(passes).map(|wave| Fact::WaveStarted { wave })
    }

    /// How the run ends if it ends now.
    fn end_now(&self) -> RunEnd {
        let well = self.run.lanes.workers().iter().all(|lane| {
            let fine = lane.state() == WorkerState::Succeeded || lane.presence() == Presence::LeftAlone;
            fine && !lane.disabled().are_left()
        });
        if well { RunEnd::Succeeded } else { RunEnd::Failed }
    }

    fn issue(&mut self, at: StepRef, intent: Intent) -> Fact {
        let attempt = self.run.attempts.next();
        let (lane, step) = (at.lane, at.step);
        self.effects.push(Effect::Execute(AttemptSpec { attempt, lane, step, intent: intent.clone() }));
        Fact::Issued { attempt, lane, step, intent }
    }

    fn wake(&mut self, at: Millis, timer: Timer) {
        self.effects.push(Effect::Wake { at, timer });
    }
}
