//! What is measured for the gates of the rollout, and what the measurements come to: when the next one is due, how many
//! of the latest have failed, and since when one says nothing.
//!
//! A measurement is no fact: only when its place comes to something else one follows. A resume measures anew.

use std::collections::BTreeMap;

use crate::engine::{Fact, GatePlace, GateStanding, Millis, RunState};
use crate::plan::{Gate, GateAction, Reading, Tally, duration, visible_within};

use super::io::Output;

/// A measurement that has not come back so long after its own time is over says nothing.
const LATE_MS: Millis = 30_000;

/// Of gates that have passed together so many are quoted.
const SAID: usize = 3;

/// Bytes of a gate's title.
const TITLE: usize = 120;

/// All gates that are measured now.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    all: BTreeMap<(GatePlace, u32), Gauge>,
    /// Where more measurements begin.
    wanted: Vec<GatePlace>,
    /// How many measurements were begun.
    begun: u64,
}

/// One of them.
#[derive(Debug)]
struct Gauge {
    tally: Tally,
    /// The measurement that is under way, and since when.
    under_way: Option<(u64, Millis)>,
    /// When the next one begins.
    due: Millis,
    /// When the last one ended, what they come to, and what it said.
    last: Option<(Millis, GateStanding, String)>,
    /// Since when it waits for a pass.
    waits_since: Option<Millis>,
}

impl Gauges {
    /// When something is to be done next.
    pub(super) fn next(&self, run: &RunState) -> Option<Millis> {
        let of = |((place, at), gauge): (&(GatePlace, u32), &Gauge)| match gauge.under_way {
            Some((_, since)) => Some(since + given_up_after(gate(run, *place, *at))),
            None => self.wanted.contains(place).then_some(gauge.due),
        };
        self.all.iter().filter_map(of).min()
    }

    /// A measurement that has not come back is taken for one that says nothing.
    pub(super) fn give_up_late(&mut self, now: Millis, run: &RunState) {
        for ((place, at), gauge) in &mut self.all {
            let gate = gate(run, *place, *at);
            if gauge.under_way.is_some_and(|(_, since)| now >= since + given_up_after(gate)) {
                gauge.take(now, *place, gate, Reading::Inconclusive, "no measurement has come back");
            }
        }
    }

    /// Keeps those that the run wants, and those of a place where a measurement is still under way that is taken.
    pub(super) fn follow(&mut self, now: Millis, run: &RunState) {
        self.wanted = run.wants_measured(now);
        let is_under_way = |gauge: &Gauge| gauge.under_way.is_some();
        let awaited: Vec<GatePlace> =
            self.all.iter().filter(|(_, gauge)| is_under_way(gauge)).map(|((place, _), _)| *place).collect();
        self.all.retain(|(place, _), _| {
            self.wanted.contains(place) || (awaited.contains(place) && run.takes_measured(now, *place))
        });
        for place in &self.wanted {
            for (at, _) in (0..).zip(run.graph().plan.rollout.gates.of(*place)) {
                let new = || Gauge {
                    tally: Tally::default(),
                    under_way: None,
                    due: now,
                    last: None,
                    waits_since: None,
                };
                self.all.entry((*place, at)).or_insert_with(new);
            }
        }
    }

    /// A measurement has ended. One that was dropped meanwhile changes nothing.
    pub(super) fn take(&mut self, now: Millis, run: &RunState, id: u64, reading: Reading, says: &str) {
        let found = self.all.iter_mut().find(|(_, gauge)| gauge.under_way.is_some_and(|(of, _)| of == id));
        if let Some(((place, at), gauge)) = found {
            gauge.take(now, *place, gate(run, *place, *at), reading, says);
        }
    }

    /// The fact that follows, if a place has come to something else than the run knows, or if it asks once more.
    pub(super) fn news(&self, now: Millis, run: &RunState) -> Option<Fact> {
        let mut places: Vec<GatePlace> = self.all.keys().map(|(place, _)| *place).collect();
        places.dedup();
        places.into_iter().filter(|place| run.takes_measured(now, *place)).find_map(|place| {
            let (standing, says) = self.comes_to(place)?;
            let asked = place == GatePlace::Guard && run.guard_is_asked() && self.is_fresh(now, run, place);
            let is_news =
                run.gate_standing(place) != Some(standing) || (asked && standing == GateStanding::Passed);
            is_news.then_some(Fact::GateMeasured { place, standing, says })
        })
    }

    /// Begins those that are due.
    pub(super) fn begin(&mut self, now: Millis, run: &RunState, outputs: &mut Vec<Output>) {
        for ((place, at), gauge) in &mut self.all {
            if gauge.under_way.is_none() && now >= gauge.due && self.wanted.contains(place) {
                self.begun += 1;
                gauge.under_way = Some((self.begun, now));
                let wave = match place {
                    GatePlace::BeforeWave { wave } | GatePlace::AfterWave { wave } => Some(*wave),
                    GatePlace::Guard => run.wave(),
                };
                outputs.push(Output::Measure { id: self.begun, place: *place, gate: *at, wave });
            }
        }
    }

    fn of(&self, place: GatePlace) -> impl Iterator<Item = (u32, &Gauge)> {
        self.all.range((place, 0)..=(place, u32::MAX)).map(|((_, at), gauge)| (*at, gauge))
    }

    /// What all gates of a place come to together; `None`: one of them was not measured often enough yet.
    fn comes_to(&self, place: GatePlace) -> Option<(GateStanding, String)> {
        let last = |wanted: GateStanding| {
            self.of(place)
                .find_map(|(_, gauge)| gauge.last.clone().filter(|(_, standing, _)| *standing == wanted))
        };
        for wanted in [GateStanding::Failed, GateStanding::Waiting] {
            if let Some((_, standing, says)) = last(wanted) {
                return Some((standing, says));
            }
        }
        let all: Option<Vec<&str>> =
            self.of(place).map(|(_, gauge)| gauge.last.as_ref().map(|(_, _, says)| says.as_str())).collect();
        let all = all?;
        let more = all.len().saturating_sub(SAID);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        Some((GateStanding::Passed, all[..all.len().min(SAID)].join("; ") + &more))
    }

    /// Whether all of them were measured lately.
    fn is_fresh(&self, now: Millis, run: &RunState, place: GatePlace) -> bool {
        self.of(place).all(|(at, gauge)| {
            let interval = gate(run, place, at).interval.as_millis() as Millis;
            gauge.last.as_ref().is_some_and(|(measured, ..)| now - measured <= interval)
        })
    }
}

impl Gauge {
    fn take(&mut self, now: Millis, place: GatePlace, gate: &Gate, reading: Reading, says: &str) {
        self.under_way = None;
        self.due = now + gate.interval.as_millis() as Millis;
        let comes_to = match self.tally.take(gate, reading) {
            // A guard need not be measured so often before it may pass: it is measured all the time.
            None if place == GatePlace::Guard => Reading::Pass,
            None => return,
            Some(reading) => reading,
        };
        let (action, word) = match comes_to {
            Reading::Pass => {
                self.waits_since = None;
                self.last = Some((now, GateStanding::Passed, named(gate, says)));
                return;
            }
            Reading::Fail => (gate.on_fail, "failed"),
            Reading::Inconclusive => (gate.on_inconclusive, "is inconclusive"),
        };
        let since = *self.waits_since.get_or_insert(now);
        let patience = gate.patience.unwrap_or_default();
        let is_over = now - since >= patience.as_millis() as Millis;
        let standing = match action {
            GateAction::Stop => GateStanding::Failed,
            _ if is_over => GateStanding::Failed,
            _ => GateStanding::Waiting,
        };
        let mut says = format!("{word}: {}", named(gate, says));
        if comes_to == Reading::Fail && self.tally.measured() > 1 {
            says += &format!(" ({} of {} measurements failed)", self.tally.failed(), self.tally.measured());
        }
        if action == GateAction::Wait && is_over {
            says = format!("{says}; it has waited for {}", duration(patience));
        }
        self.last = Some((now, standing, says));
    }
}

/// What a measurement says, behind the name of its gate, or else behind what is measured: where there are several gates, an
/// operator has to know which one it was.
fn named(gate: &Gate, says: &str) -> String {
    format!("{}: {says}", visible_within(&gate.title(), TITLE))
}

/// Gauges are those of the run's own gates.
fn gate(run: &RunState, place: GatePlace, at: u32) -> &Gate {
    &run.graph().plan.rollout.gates.of(place)[at as usize]
}

fn given_up_after(gate: &Gate) -> Millis {
    gate.answer_within.as_millis() as Millis + LATE_MS
}
