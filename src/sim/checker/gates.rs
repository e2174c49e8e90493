//! Gates: nobody starts and no wave begins because of a measurement that failed or said nothing. By books of their own:
//! what each gate has said to the process that is in charge.

use std::collections::BTreeMap;

use super::super::invariant::Invariant;
use super::{Checker, Place};
use crate::engine::{Fact, GatePlace, GateStanding, Millis};
use crate::graph::Lane;
use crate::plan::{Gate, GateAction, Reading};

/// A guard that has passed with nobody under way holds so long; one that is measured all the time is never older than its
/// interval and the time of one measurement.
const HOLDS: Millis = 90_000;
/// A measurement that is lost is waited for so long.
const LOST: Millis = 30_000;

/// What gates have said.
#[derive(Default)]
pub(super) struct Readings {
    /// Asked, and not answered.
    asked: BTreeMap<(GatePlace, u32), u32>,
    said: BTreeMap<(GatePlace, u32), Vec<(Millis, Reading)>>,
    /// Since when somebody is under way.
    watched_since: Millis,
}

impl Checker {
    /// A measurement begins.
    pub(in crate::sim) fn measures(&mut self, place: GatePlace, gate: u32) {
        *self.readings.asked.entry((place, gate)).or_default() += 1;
    }

    /// It has come back to the process in charge.
    pub(in crate::sim) fn measured(&mut self, at: Millis, place: GatePlace, gate: u32, reading: Reading) {
        self.readings.said.entry((place, gate)).or_default().push((at, reading));
        if let Some(asked) = self.readings.asked.get_mut(&(place, gate)) {
            *asked -= 1;
        }
    }

    pub(super) fn gates(&mut self, at: Millis, fact: &Fact) {
        match fact {
            Fact::GateMeasured { place, standing: GateStanding::Passed, .. } => self.has_passed(at, *place),
            Fact::WorkerAdmitted { target } => {
                self.has_passed(at, GatePlace::Guard);
                if self.graph.plan.rollout.gates.guard.is_empty() {
                    return;
                }
                let is_other = |lane: &Lane| *lane != Lane::Worker(*target);
                let watched =
                    self.lanes.iter().any(|(lane, book)| is_other(lane) && book.place == Place::Active);
                if !watched {
                    self.readings.watched_since = at;
                }
                for (gate, plan) in (0..).zip(self.graph.plan.rollout.gates.guard.clone()) {
                    let said = self.readings.said.get(&(GatePlace::Guard, gate));
                    let last = said.and_then(|said| said.last()).map_or(Millis::MIN, |(at, _)| *at);
                    let millis = |time: std::time::Duration| time.as_millis() as Millis;
                    let around = millis(plan.interval) + millis(plan.answer_within) + LOST;
                    // The first of those that are under way may have started by a pass that still held, and others beside it until
                    // the first measurement has come back.
                    let most =
                        if at - self.readings.watched_since > around { around } else { HOLDS + around };
                    if last < at - most && plan.on_inconclusive != GateAction::Ignore {
                        let what = format!("{target:?} is admitted, and guard {gate} was measured long ago");
                        self.breaks(Invariant::GatesHold, what);
                    }
                }
            }
            Fact::WaveStarted { wave } => {
                self.has_passed(at, GatePlace::BeforeWave { wave: *wave });
                self.forget_waves();
            }
            Fact::WaveFinished { wave, .. } => {
                self.has_passed(at, GatePlace::AfterWave { wave: *wave });
                self.forget_waves();
            }
            // What another process has measured says nothing.
            Fact::Resumed { fresh_process: true, .. } => self.readings = Readings::default(),
            _ => {}
        }
    }

    fn forget_waves(&mut self) {
        self.readings.said.retain(|(place, _), _| *place == GatePlace::Guard);
    }

    fn has_passed(&mut self, at: Millis, place: GatePlace) {
        for (gate, plan) in (0..).zip(self.graph.plan.rollout.gates.of(place).to_vec()) {
            let said = self.readings.said.get(&(place, gate)).map_or(&[][..], Vec::as_slice);
            let is_lost = self.readings.asked.get(&(place, gate)).is_some_and(|asked| *asked > 0);
            if is_lost && plan.on_inconclusive == GateAction::Ignore {
                continue;
            }
            if let Err(why) = passes(&plan, place, said) {
                let what = format!("at {at} gate {gate} of {place:?} is taken to have passed: {why}");
                self.breaks(Invariant::GatesHold, what);
            }
        }
    }

    /// A run that halts for a gate has had another answer than a pass among the last ones, as many as count.
    pub(super) fn gate_has_failed(&mut self, place: GatePlace) {
        let gates = self.graph.plan.rollout.gates.of(place);
        let is_lost = |gate: u32| self.readings.asked.get(&(place, gate)).is_some_and(|asked| *asked > 0);
        let is_bad = |gate: u32| {
            let said = self.readings.said.get(&(place, gate)).map_or(&[][..], Vec::as_slice);
            let counted = said.iter().rev().take(gates[gate as usize].count as usize);
            counted.into_iter().any(|(_, reading)| *reading != Reading::Pass)
        };
        if !(0..gates.len() as u32).any(|gate| is_lost(gate) || is_bad(gate)) {
            self.breaks(Invariant::GatesHold, format!("{place:?} has failed, and all of it passes"));
        }
    }
}

/// Whether these readings let a gate pass.
fn passes(gate: &Gate, place: GatePlace, said: &[(Millis, Reading)]) -> Result<(), String> {
    let Some((_, last)) = said.last() else { return Err("it was never measured".to_owned()) };
    let ignored = |action| action == GateAction::Ignore;
    if *last == Reading::Inconclusive && !ignored(gate.on_inconclusive) {
        return Err("it says nothing".to_owned());
    }
    if place == GatePlace::Guard {
        // Its measurements begin anew when nobody has been down for a while: only the last one counts for sure.
        let fails = *last == Reading::Fail && gate.failures == 0 && !ignored(gate.on_fail);
        return if fails { Err("it fails".to_owned()) } else { Ok(()) };
    }
    let conclusive = |(_, reading): &&(Millis, Reading)| {
        *reading != Reading::Inconclusive || ignored(gate.on_inconclusive)
    };
    let latest: Vec<_> = said.iter().rev().filter(conclusive).take(gate.count as usize).collect();
    let failed = latest.iter().filter(|(_, reading)| *reading == Reading::Fail).count();
    if ignored(gate.on_fail) && failed > gate.failures as usize {
        return Ok(());
    }
    match (latest.len() == gate.count as usize, failed > gate.failures as usize) {
        (true, false) => Ok(()),
        _ => Err(format!("{failed} of {} failed, and {} may of {}", latest.len(), gate.failures, gate.count)),
    }
}
