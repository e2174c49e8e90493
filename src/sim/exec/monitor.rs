//! A monitoring system that answers, lies, hangs and forgets.

use crate::engine::{GatePlace, Millis};
use crate::plan::{Gate, Reading};
use crate::sim::drive::{Event, Sim};
use crate::sim::rng::Rng;

/// Bad spells of a run, at most: in the end all is well.
const MOST_SPELLS: u32 = 6;

/// The monitoring system.
pub(in crate::sim) struct Monitor {
    rng: Rng,
    spells_left: u32,
    /// What is wrong with it, and until when.
    spell: Option<(Spell, Millis)>,
}

/// What it does for a while.
#[derive(Clone, Copy)]
enum Spell {
    /// Values are beyond their limits.
    Fails,
    /// It answers, and what it says cannot be read.
    SaysNothing,
    /// There is no answer within the time of a measurement.
    Hangs,
    /// The measurement never comes back.
    Forgets,
    /// Each answer is another one.
    Flaps,
}

impl Monitor {
    pub(in crate::sim) fn new(rng: Rng, is_steady: bool) -> Self {
        Self { rng, spells_left: if is_steady { 0 } else { MOST_SPELLS }, spell: None }
    }

    /// Operators have repaired what it complained about, and it as well.
    pub(in crate::sim) fn recovers(&mut self) {
        self.spell = None;
    }

    /// After how long it answers what; `None`: it never does.
    fn answers(&mut self, now: Millis, gate: &Gate) -> (Millis, Option<Reading>) {
        if self.spell.is_some_and(|(_, until)| now >= until) {
            self.spell = None;
        }
        if self.spell.is_none() && self.spells_left > 0 && self.rng.per_mille(200) {
            self.spells_left -= 1;
            let all = [Spell::Fails, Spell::SaysNothing, Spell::Hangs, Spell::Forgets, Spell::Flaps];
            let spell = all[self.rng.index(all.len())];
            self.spell = Some((spell, now + self.rng.between(0, 900_000)));
        }
        let soon = self.rng.between(10, 2_000);
        let late = gate.answer_within.as_millis() as Millis;
        match self.spell {
            None => (soon, Some(Reading::Pass)),
            Some((Spell::Fails, _)) => (soon, Some(Reading::Fail)),
            Some((Spell::SaysNothing, _)) => (soon, Some(Reading::Inconclusive)),
            Some((Spell::Hangs, _)) => (late, Some(Reading::Inconclusive)),
            Some((Spell::Forgets, _)) => (0, None),
            Some((Spell::Flaps, _)) => {
                let all = [Reading::Pass, Reading::Fail, Reading::Inconclusive];
                (self.rng.between(10, late), Some(all[self.rng.index(all.len())]))
            }
        }
    }
}

impl Sim {
    /// A gate of the rollout is measured once.
    pub(in crate::sim) fn measures(&mut self, id: u64, place: GatePlace, gate: u32) {
        let graph = std::sync::Arc::clone(&self.graph);
        let Some(plan) = graph.plan.rollout.gates.of(place).get(gate as usize) else { return };
        self.checker.measures(place, gate);
        if let (after, Some(reading)) = self.monitor.answers(self.now, plan) {
            let process = self.process;
            self.push(after, Event::Measured { process, id, place, gate, reading });
        }
    }
}
