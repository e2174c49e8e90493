//! What the gates of the rollout have come to: those around a wave, and the guard.

use crate::engine::{GatePlace, GateStanding, Millis};

/// Since a guard has passed with nobody down, so long a worker may start because of it. Longer than a round of
/// observation takes, so that the two never wait for each other.
const GUARD_HOLDS_MS: Millis = 90_000;

/// Nothing of it is known before something was measured, and after a resume nothing any more.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::engine) struct Gates {
    /// Of the wave that is next, or whose end is.
    wave: Option<(GatePlace, GateStanding, String)>,
    guard: Option<(GateStanding, Millis, String)>,
}

impl Gates {
    pub(in crate::engine) fn measured(
        &mut self,
        at: Millis,
        place: GatePlace,
        standing: GateStanding,
        says: &str,
    ) {
        match place {
            GatePlace::Guard => self.guard = Some((standing, at, says.to_owned())),
            place => self.wave = Some((place, standing, says.to_owned())),
        }
    }

    /// What was measured says nothing about what comes now.
    pub(in crate::engine) fn begin_anew(&mut self) {
        *self = Self::default();
    }

    /// A wave has begun or ended, or a worker has begun in it.
    pub(in crate::engine) fn wave_goes_on(&mut self) {
        self.wave = None;
    }

    pub(in crate::engine) fn standing(&self, place: GatePlace) -> Option<GateStanding> {
        match place {
            GatePlace::Guard => self.guard.as_ref().map(|(standing, ..)| *standing),
            place => self.wave.as_ref().filter(|(of, ..)| *of == place).map(|(_, standing, _)| *standing),
        }
    }

    /// Whether the guard lets a worker start: measured all the time while `watched`, else a moment ago.
    pub(in crate::engine) fn guard_passes(&self, at: Millis, watched: bool) -> bool {
        let passed = self.guard.as_ref().filter(|(standing, ..)| *standing == GateStanding::Passed);
        passed.is_some_and(|(_, since, _)| watched || at - since <= GUARD_HOLDS_MS)
    }

    /// The gate that has failed, and what it says.
    pub(in crate::engine) fn failed(&self) -> Option<(GatePlace, &str)> {
        self.each().find(|(_, standing, _)| *standing == GateStanding::Failed).map(|(at, _, says)| (at, says))
    }

    /// The gate that holds the rollout back or has failed, and what it says.
    pub(in crate::engine) fn holding(&self) -> Option<(GatePlace, &str)> {
        self.each().find(|(_, standing, _)| *standing != GateStanding::Passed).map(|(at, _, says)| (at, says))
    }

    fn each(&self) -> impl Iterator<Item = (GatePlace, GateStanding, &str)> {
        let wave = self.wave.iter().map(|(place, standing, says)| (*place, *standing, says.as_str()));
        let guard = self.guard.iter();
        wave.chain(guard.map(|(standing, _, says)| (GatePlace::Guard, *standing, says.as_str())))
    }
}
