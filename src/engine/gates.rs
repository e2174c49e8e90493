//! Gates of the rollout, as facts and the loop speak of them.

use serde::{Deserialize, Serialize};

use super::Millis;
use super::run_state::RunState;
use crate::plan::{Gate, RolloutGates};

/// Where gates of the rollout stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "place", rename_all = "snake_case")]
pub enum GatePlace {
    /// Before a wave begins, and after the soak of the one before.
    BeforeWave {
        /// From 0.
        wave: u32,
    },
    /// After the last worker of a wave has ended, and before its soak.
    AfterWave {
        /// From 0.
        wave: u32,
    },
    /// While workers are under way, and before one is started.
    Guard,
}

/// What the gates of one place come to together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateStanding {
    /// All have passed.
    Passed,
    /// One has not, or says nothing: it is measured again.
    Waiting,
    /// One has failed, or has said nothing for too long.
    Failed,
}

impl RolloutGates {
    /// The gates that stand there.
    pub fn of(&self, place: GatePlace) -> &[Gate] {
        match place {
            GatePlace::BeforeWave { .. } => &self.before_wave,
            GatePlace::AfterWave { .. } => &self.after_wave,
            GatePlace::Guard => &self.guard,
        }
    }
}

impl RunState {
    /// The places whose gates are to be measured now.
    pub fn wants_measured(&self, at: Millis) -> Vec<GatePlace> {
        let known = &self.known;
        let at = at.max(known.last_at);
        if known.setup.graph.plan.rollout.gates.is_empty() || self.is_past_gates() {
            return Vec::new();
        }
        let after = known.waves.current().map(|wave| GatePlace::AfterWave { wave });
        let paused = known.hold.paused().is_some();
        let before = known.waves.next().filter(|_| !paused).map(|wave| GatePlace::BeforeWave { wave });
        let around = after.into_iter().chain(before).filter(|place| !known.gate_passes(*place));
        let guard = known.is_guarded() || self.pending.guard_is_asked();
        let all = around.chain(guard.then_some(GatePlace::Guard));
        all.filter(|place| known.gate_is_open(at, *place)).collect()
    }

    /// Whether what is measured there is taken now. What a guard has said counts also when those have ended meanwhile for whom
    /// it was measured: nobody starts by an older pass.
    pub fn takes_measured(&self, at: Millis, place: GatePlace) -> bool {
        match place {
            GatePlace::Guard => {
                !self.is_past_gates() && self.known.gate_is_open(at.max(self.known.last_at), place)
            }
            place => self.wants_measured(at).contains(&place),
        }
    }

    fn is_past_gates(&self) -> bool {
        let known = &self.known;
        known.end.is_some() || known.hold.is_aborted() || known.hold.is_interrupted()
    }

    /// What is known of the gates of a place.
    pub fn gate_standing(&self, place: GatePlace) -> Option<GateStanding> {
        self.known.gates.standing(place)
    }

    /// A worker could start if only the guard said once more that it passes.
    pub fn guard_is_asked(&self) -> bool {
        let has_said = self.known.gates.guard_passes(self.known.last_at, false);
        self.pending.guard_is_asked() && !has_said
    }

    /// The plan has a guard, and it was not measured since the run was started or taken up.
    pub fn guard_is_unknown(&self) -> bool {
        let guard = &self.known.setup.graph.plan.rollout.gates.guard;
        !guard.is_empty() && self.gate_standing(GatePlace::Guard).is_none()
    }

    /// The gates that hold the rollout back or have failed, and what they say.
    pub fn gate_holding(&self) -> Option<(GatePlace, &str)> {
        self.known.gates.holding()
    }
}
