//! The part of `evolve` that is about gates around waves and the guard.

use super::super::known::Known;
use super::super::state::RunPhase;
use super::super::{Fact, GatePlace, GateStanding, Millis, RuleViolation};

impl Known {
    pub(super) fn gate_measured(
        &mut self,
        at: Millis,
        place: GatePlace,
        standing: GateStanding,
        says: &str,
        fact: &Fact,
    ) -> Result<(), RuleViolation> {
        if !self.gate_is_open(at, place) {
            return Err(RuleViolation::new("gates are measured where the rollout waits for them", fact));
        }
        self.gates.measured(at, place, standing, says);
        Ok(())
    }

    /// Whether what is measured there would decide about something now.
    pub(in crate::engine) fn gate_is_open(&self, at: Millis, place: GatePlace) -> bool {
        let gates = &self.setup.graph.plan.rollout.gates;
        let nobody_active = self.lanes.active().is_empty();
        match place {
            GatePlace::BeforeWave { wave } => {
                let is_its_turn = match self.phase() {
                    RunPhase::Soaking => at >= self.waves.soak_until(),
                    RunPhase::Preparing => self.all_are_prepared(),
                    _ => false,
                };
                !gates.before_wave.is_empty() && self.waves.next() == Some(wave) && is_its_turn
            }
            GatePlace::AfterWave { wave } => {
                !gates.after_wave.is_empty()
                    && self.phase() == RunPhase::Rolling
                    && self.waves.current() == Some(wave)
                    && self.waves.is_done(wave)
                    && nobody_active
            }
            GatePlace::Guard => {
                !gates.guard.is_empty() && matches!(self.phase(), RunPhase::Rolling | RunPhase::Soaking)
            }
        }
    }

    /// Whether the guard is measured all the time: somebody is under way. While the run only waits (for a window, for a
    /// soak) a failure would hold nobody back; whoever starts next asks for it.
    pub(in crate::engine) fn is_guarded(&self) -> bool {
        !self.lanes.active().is_empty()
    }

    /// Whether the gates of a place, if the plan has any there, have passed.
    pub(in crate::engine) fn gate_passes(&self, place: GatePlace) -> bool {
        let gates = &self.setup.graph.plan.rollout.gates;
        gates.of(place).is_empty() || self.gates.standing(place) == Some(GateStanding::Passed)
    }
}
