//! The machine itself; see the room's documentation.

use std::collections::BTreeMap;

use crate::engine::{Fact, Millis, RunState, SilenceEvent};
use crate::graph::TargetIx;
use crate::plan::Silence;

/// How long is waited after the first failure, the second and so on; the last one is for all further ones.
const BACKOFF: [Millis; 3] = [5_000, 10_000, 20_000];
/// An end closer than this is in the past before it has arrived, and refused.
const SOONEST: Millis = 3_000;
/// Ends that differ by less are the same.
const SAME: Millis = 1_000;

/// How long silences last, in milliseconds; see [`Silence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// One that is not extended any more.
    pub lease: Millis,
    /// After a worker is back.
    pub tail: Millis,
    /// However long a worker is down.
    pub at_most: Millis,
}

impl From<&Silence> for Terms {
    fn from(silence: &Silence) -> Self {
        let millis =
            |time: std::time::Duration| Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX / 4);
        Self { lease: millis(silence.lease), tail: millis(silence.tail), at_most: millis(silence.at_most) }
    }
}

/// What is to be asked: that a worker's silence lasts until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The worker.
    pub target: TargetIx,
    /// When it is to end.
    pub until: Millis,
    /// One is made where there is none (any more).
    pub create: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It lasts until then.
    Held {
        /// As the monitoring system calls it.
        id: String,
        /// There was none before, or that one had ended.
        is_new: bool,
    },
    /// There is none, and none was to be made.
    Gone,
    /// It is refused; others may not be.
    Refused(String),
    /// The monitoring system cannot be asked, or what it says makes no sense: so it would be for others.
    Unavailable(String),
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This, and tell the answer.
    Ask(Ask),
    /// Nothing before then.
    At(Millis),
    /// Nothing until something is told.
    Nothing,
}

/// Whom the run holds down: whom it has taken down and still has in hand. A worker that has failed is not expected to be down:
/// nobody brings it back, and one that was down before the run began is not the run's.
pub fn expected_down(run: &RunState) -> Vec<TargetIx> {
    let down = run.down();
    run.active().iter().filter(|target| down.contains(*target)).collect()
}

/// What is known of one worker's silence.
#[derive(Clone, Debug)]
struct Lease {
    /// Since when the worker is expected to be down.
    since: Millis,
    /// Since when it is not any more.
    back: Option<Millis>,
    /// There was one, when it was last heard of.
    is_known: bool,
    /// When it ends, as was answered to this process.
    ends: Option<Millis>,
    /// Asked no earlier, after a refusal.
    not_before: Millis,
    /// Failures since the last success.
    failures: usize,
    /// It was told that it lasts no longer.
    is_over: bool,
}

/// The silences of a run.
#[derive(Clone, Debug)]
pub struct Silences {
    terms: Terms,
    leases: BTreeMap<TargetIx, Lease>,
    /// Nobody is asked earlier, after the monitoring system was not available.
    not_before: Millis,
    failures: usize,
    /// The process ends: what is left to be asked is asked once.
    is_closing: bool,
}

impl Silences {
    /// None so far.
    pub fn new(terms: Terms) -> Self {
        Self { terms, leases: BTreeMap::new(), not_before: 0, failures: 0, is_closing: false }
    }

    /// Of a run that another process has led: since when workers are down, and of which there may be a silence.
    pub fn replay<'f>(&mut self, facts: impl IntoIterator<Item = (Millis, &'f Fact)>) {
        for (at, fact) in facts {
            match fact {
                Fact::WorkerAdmitted { target } => {
                    let lease = self.leases.entry(*target).or_insert_with(|| Lease::new(at));
                    (lease.since, lease.back, lease.is_over) = (at, None, false);
                }
                // Its tail counts from then, however much later somebody says so.
                Fact::WorkerSucceeded { target }
                | Fact::WorkerFailed { target, .. }
                | Fact::WorkerReverted { target }
                | Fact::RevertStuck { target, .. }
                | Fact::WorkerCancelled { target } => {
                    if let Some(lease) = self.leases.get_mut(target) {
                        lease.back = Some(at);
                    }
                }
                Fact::Silence { target, event } => {
                    let Some(lease) = self.leases.get_mut(target) else { continue };
                    match event {
                        SilenceEvent::Created { .. } | SilenceEvent::Extended { .. } => lease.is_known = true,
                        SilenceEvent::Failed { .. } => {}
                        SilenceEvent::Ending { at_most: true, .. } => lease.is_over = true,
                        SilenceEvent::Ending { at_most: false, .. } => drop(self.leases.remove(target)),
                    }
                }
                _ => {}
            }
        }
    }

    /// These workers are expected to be down now, and no others.
    pub fn set_down(&mut self, now: Millis, down: impl IntoIterator<Item = TargetIx>) {
        let mut others: Vec<TargetIx> = self.leases.keys().copied().collect();
        for target in down {
            others.retain(|other| *other != target);
            let lease = self.leases.entry(target).or_insert_with(|| Lease::new(now));
            if lease.back.take().is_some() {
                // Down once more: what there is is extended, as if it had begun now.
                (lease.since, lease.is_over) = (now, false);
            }
        }
        for target in others {
            let Some(lease) = self.leases.get_mut(&target) else { continue };
            lease.back.get_or_insert(now);
            if !lease.is_known || lease.is_over {
                self.leases.remove(&target);
            }
        }
    }

    /// The process ends. Silences of workers that are back get their tail, if that is still to be said; all others end by
    /// themselves.
    pub fn close(&mut self) {
        self.is_closing = true;
        self.leases.retain(|_, lease| lease.back.is_some());
        // Once, now.
        self.not_before = 0;
        self.leases.values_mut().for_each(|lease| lease.not_before = 0);
    }

    /// What to do at this time.
    pub fn next(&self, now: Millis) -> Next {
        let due = self.leases.iter().filter_map(|(target, lease)| {
            let (at, ask) = lease.wants(*target, now, &self.terms)?;
            Some((at.max(lease.not_before).max(self.not_before), lease.ends.unwrap_or(0), ask))
        });
        // Those without one first, then whose ends first.
        let first = due.min_by_key(|(at, ends, ask)| ((*at).max(now), *ends, ask.target));
        let ends = self.leases.values().filter_map(|lease| lease.over_at(&self.terms)).min();
        match (first, ends) {
            (Some((at, _, ask)), _) if at <= now => Next::Ask(ask),
            (Some((at, _, _)), Some(end)) => Next::At(at.min(end)),
            (Some((at, _, _)), None) | (None, Some(at)) => Next::At(at),
            (None, None) => Next::Nothing,
        }
    }

    /// What time has brought: silences that last no longer, though their workers are down.
    pub fn passed(&mut self, now: Millis) -> Vec<(TargetIx, SilenceEvent)> {
        let mut told = Vec::new();
        let terms = self.terms;
        self.leases.retain(|target, lease| {
            let Some(at) = lease.over_at(&terms).filter(|at| *at <= now) else { return true };
            let is_back = lease.back.is_some();
            lease.is_over = true;
            if let Some(until) = lease.ends.filter(|_| lease.is_known) {
                let until = if is_back { until } else { at };
                told.push((*target, SilenceEvent::Ending { until, at_most: !is_back }));
            }
            !is_back
        });
        told
    }

    /// What came of an [`Ask`], and what is to be told of it.
    pub fn answered(&mut self, now: Millis, ask: &Ask, answer: Answer) -> Vec<(TargetIx, SilenceEvent)> {
        let Ask { target, until, create } = *ask;
        let mut told = Vec::new();
        match answer {
            Answer::Held { id, is_new } => {
                self.is_available();
                let Some(lease) = self.leases.get_mut(&target) else { return told };
                let had_failed = std::mem::take(&mut lease.failures) > 0;
                let was_known = std::mem::replace(&mut lease.is_known, true);
                lease.ends = Some(until);
                // One that is not known is from before, and was given its tail, or its answer was lost.
                if is_new || !was_known {
                    told.push((target, SilenceEvent::Created { id, until }));
                } else if had_failed {
                    told.push((target, SilenceEvent::Extended { id, until }));
                }
                if lease.back.is_some() && !create {
                    told.push((target, SilenceEvent::Ending { until, at_most: false }));
                    self.leases.remove(&target);
                }
            }
            Answer::Gone => {
                self.is_available();
                self.leases.remove(&target);
            }
            Answer::Refused(why) => {
                self.is_available();
                if let Some(lease) = self.leases.get_mut(&target) {
                    let first = lease.failures == 0;
                    lease.not_before = now + backoff(&mut lease.failures);
                    told.extend(first.then_some((target, SilenceEvent::Failed { why })));
                }
                if self.is_closing {
                    self.leases.remove(&target);
                }
            }
            Answer::Unavailable(why) => {
                self.not_before = now + backoff(&mut self.failures);
                let terms = self.terms;
                for (target, lease) in &mut self.leases {
                    let is_due = lease.wants(*target, now, &terms).is_some_and(|(at, _)| at <= now);
                    if is_due && lease.failures == 0 {
                        lease.failures = 1;
                        told.push((*target, SilenceEvent::Failed { why: why.clone() }));
                    }
                }
                if self.is_closing {
                    self.leases.clear();
                }
            }
        }
        told
    }

    fn is_available(&mut self) {
        (self.not_before, self.failures) = (0, 0);
    }
}

impl Lease {
    fn new(since: Millis) -> Self {
        Self { since, back: None, is_known: false, ends: None, not_before: 0, failures: 0, is_over: false }
    }

    /// When it lasts no longer, whatever happens.
    fn latest(&self, terms: &Terms) -> Millis {
        self.since + terms.at_most
    }

    /// What is to be asked for it, and when.
    fn wants(&self, target: TargetIx, now: Millis, terms: &Terms) -> Option<(Millis, Ask)> {
        let latest = self.latest(terms);
        if self.is_over || latest < now + SOONEST {
            return None;
        }
        let Some(back) = self.back else {
            let until = (now + terms.lease).min(latest);
            // A third has passed, and there is time for repetitions in the others.
            let at = self.ends.map_or(now, |ends| ends - terms.lease / 3 * 2);
            let is_last = self.ends.is_some_and(|ends| ends >= latest - SAME);
            return (!is_last).then_some((at, Ask { target, until, create: true }));
        };
        let until = (back + terms.tail).max(now + SOONEST).min(latest);
        // It has ended by itself meanwhile.
        let is_late = self.ends.unwrap_or(back + terms.tail) <= now;
        (!is_late).then_some((now, Ask { target, until, create: false }))
    }

    /// When there is something to tell without an answer: it lasts no longer, or its worker is back and nothing is to
    /// be asked any more.
    fn over_at(&self, terms: &Terms) -> Option<Millis> {
        if self.is_over {
            return None;
        }
        let latest = self.latest(terms);
        match (self.back, self.ends) {
            (None, _) => Some(latest),
            (Some(_), Some(ends)) => Some(ends.min(latest)),
            (Some(back), None) => Some((back + terms.tail).min(latest)),
        }
    }
}

fn backoff(failures: &mut usize) -> Millis {
    let wait = BACKOFF[(*failures).min(BACKOFF.len() - 1)];
    *failures += 1;
    wait
}
