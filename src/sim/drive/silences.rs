//! The silences of a run, in a monitoring system that hangs, lies, refuses and forgets. Draws are of a stream of their own,
//! and nothing here has a part in anything else: a run is the same with it and without.

use std::collections::BTreeMap;

use super::super::invariant::Invariant;
use super::super::mutation::Mutation;
use super::super::rng::{Rng, Stream};
use super::{Event, Sim};
use crate::controller::Input;
use crate::engine::{Fact, Millis, RunStatus};
use crate::graph::TargetIx;
use crate::silence::{Answer, Ask, Next, Silences, Terms, expected_down};

const TERMS: Terms = Terms { lease: 300_000, tail: 120_000, at_most: 1_800_000 };
/// Who asks waits for so long.
const TIMEOUT: Millis = 5_000;
/// After trouble has ended, and after a worker has gone down, everything is in order within this time: somebody asks again,
/// one after another.
const IN_ORDER: Millis = 60_000 + TERMS.lease / 3;

/// What the monitoring system does with whoever asks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    /// It takes requests, and no answer comes.
    Hangs,
    Refuses,
    /// It says that all is done, and does nothing.
    Lies,
}

/// Since when the run holds a worker down, and since when it does not any more.
#[derive(Clone, Copy, Debug)]
struct Held {
    since: Millis,
    until: Option<Millis>,
}

/// The monitoring system, and who asks it.
pub(super) struct Monitoring {
    rng: Rng,
    mood: Mood,
    mood_until: Millis,
    /// The newest moment of trouble: a bad mood, something forgotten, another process.
    trouble: Millis,
    /// For each worker the silence that it has.
    stored: BTreeMap<TargetIx, (u64, Millis)>,
    made: u64,
    keeper: Option<Silences>,
    /// What is under way, and when its answer comes.
    asked: Option<(Millis, Ask, Answer)>,
    /// When it is looked at next, as far as that is noted.
    due: Option<Millis>,
    books: BTreeMap<TargetIx, Held>,
}

impl Monitoring {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed, Stream::Monitoring),
            mood: Mood::Well,
            mood_until: 0,
            trouble: 0,
            stored: BTreeMap::new(),
            made: 0,
            keeper: None,
            asked: None,
            due: None,
            books: BTreeMap::new(),
        }
    }

    /// The process is gone.
    pub(super) fn nobody_asks(&mut self) {
        (self.keeper, self.asked, self.due) = (None, None, None);
    }

    fn draw_mood(&mut self, now: Millis) {
        if self.mood != Mood::Well {
            self.trouble = now;
        }
        if now < self.mood_until {
            return;
        }
        self.mood = match self.rng.below(8) {
            0 => Mood::Hangs,
            1 => Mood::Refuses,
            2 => Mood::Lies,
            _ => Mood::Well,
        };
        self.mood_until = now + self.rng.between(1_000, 900_000);
        if self.mood != Mood::Well {
            self.trouble = now;
        }
        if self.rng.per_mille(150) {
            self.stored.clear();
            self.trouble = now;
        }
    }

    /// What the monitoring system does and says, and after how long.
    fn asks(&mut self, now: Millis, ask: Ask) -> (Millis, Answer) {
        self.draw_mood(now);
        let soon = self.rng.between(5, 400);
        let own = self.stored.get(&ask.target).filter(|(_, ends)| *ends > now).copied();
        self.made += 1;
        let id = own.map_or(self.made, |(id, _)| id);
        let held = Answer::Held { id: format!("{id}"), is_new: own.is_none() };
        match self.mood {
            Mood::Hangs => {
                // Some requests are carried out, and only their answers are lost.
                if self.rng.coin() && (own.is_some() || ask.create) {
                    self.stored.insert(ask.target, (id, ask.until));
                }
                (TIMEOUT, Answer::Unavailable("no answer in time".to_owned()))
            }
            Mood::Refuses => (soon, Answer::Refused("status 400".to_owned())),
            Mood::Lies => (soon, held),
            Mood::Well if own.is_none() && !ask.create => (soon, Answer::Gone),
            Mood::Well => {
                self.stored.insert(ask.target, (id, ask.until));
                (soon, held)
            }
        }
    }

    /// What is wrong with the silences that there are.
    fn wrong(&self, now: Millis) -> Option<String> {
        for (target, (_, ends)) in self.stored.iter().filter(|(_, (_, ends))| *ends > now) {
            let Some(held) = self.books.get(target) else {
                return Some(format!("{target:?} was never down, and is silenced"));
            };
            let latest = held.since + TERMS.at_most;
            let after = held.until.map(|until| until + TERMS.lease.max(TERMS.tail) + TIMEOUT);
            if *ends > latest || after.is_some_and(|after| *ends > after) {
                return Some(format!("{target:?}, held {held:?}, is silenced until {ends}"));
            }
        }
        let quiet = now - self.trouble > IN_ORDER && self.mood == Mood::Well;
        let is_silenced = |target: &TargetIx| self.stored.get(target).is_some_and(|(_, ends)| *ends > now);
        let without = self.books.iter().find(|(target, held)| {
            let is_long = now - held.since > IN_ORDER && now < held.since + TERMS.at_most;
            held.until.is_none() && is_long && !is_silenced(target)
        });
        without
            .filter(|_| quiet && self.keeper.is_some())
            .map(|(target, held)| format!("{target:?}, held {held:?}, is not silenced at {now}"))
    }
}

impl Sim {
    /// After each commit whoever keeps silences is told who is down.
    pub(super) fn silences_are_told(&mut self) {
        let (Some(monitoring), Some(controller)) = (&mut self.monitoring, &self.controller) else { return };
        let now = self.now;
        let down = expected_down(controller.run());
        for target in &down {
            // It was admitted before this process began, or just now.
            let since = || {
                let stored = self.ledger.shared.borrow();
                let admitted =
                    |fact: &Fact| matches!(fact, Fact::WorkerAdmitted { target: other } if other == target);
                let last = stored.facts.iter().rev().find(|(_, fact)| admitted(fact));
                last.map_or(now, |(at, _)| *at)
            };
            match monitoring.books.get(target) {
                Some(Held { until: None, .. }) => {}
                _ => drop(monitoring.books.insert(*target, Held { since: since(), until: None })),
            }
        }
        for (target, held) in &mut monitoring.books {
            if !down.contains(target) {
                held.until.get_or_insert(now);
            }
        }
        if monitoring.keeper.is_none() {
            // What is due was due to the process before.
            monitoring.due = None;
        }
        let keeper = monitoring.keeper.get_or_insert_with(|| {
            monitoring.trouble = now;
            let mut keeper = Silences::new(TERMS);
            let stored = self.ledger.shared.borrow();
            keeper.replay(stored.facts.iter().map(|(at, fact)| (*at, fact)));
            keeper
        });
        if self.config.mutation == Some(Mutation::ReturnUntold) {
            keeper.set_down(now, monitoring.books.keys().copied());
        } else {
            keeper.set_down(now, down);
        }
        if monitoring.asked.is_none() {
            self.note_silences(now);
        }
    }

    fn note_silences(&mut self, at: Millis) {
        let process = self.process;
        let Some(monitoring) = &mut self.monitoring else { return };
        if monitoring.due.is_none_or(|due| at < due || due < self.now) {
            monitoring.due = Some(at);
            self.push(at - self.now, Event::Silences { process });
        }
    }

    /// An answer has come, or it is time to ask.
    pub(super) fn silences_are_due(&mut self) {
        let now = self.now;
        let Some(monitoring) = &mut self.monitoring else { return };
        // Another one was meant since: each would bring on the next.
        if monitoring.due.is_none_or(|due| due > now) {
            return;
        }
        monitoring.due = None;
        let Some(keeper) = &mut monitoring.keeper else { return };
        let mut told = keeper.passed(now);
        if let Some((at, ask, answer)) = monitoring.asked.take() {
            if at > now {
                monitoring.asked = Some((at, ask, answer));
            } else {
                told.extend(keeper.answered(now, &ask, answer));
            }
        }
        let mut next = monitoring.asked.as_ref().map(|(at, ..)| *at);
        if next.is_none() {
            next = match keeper.next(now) {
                Next::Nothing => None,
                Next::At(at) => Some(at),
                Next::Ask(ask) => {
                    let (takes, answer) = monitoring.asks(now, ask);
                    monitoring.asked = Some((now + takes, ask, answer));
                    Some(now + takes)
                }
            };
        }
        let wrong = monitoring.wrong(now);
        if let Some(next) = next {
            self.note_silences(next);
        }
        if let Some(what) = wrong {
            self.checker.breaks(Invariant::Silences, what);
        }
        for (target, event) in told {
            if !matches!(self.state().map(|run| run.status()), None | Some(RunStatus::Finished(_))) {
                self.commit_and_dispatch(Input::Silence { target, event });
            }
        }
    }
}
