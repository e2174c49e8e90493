//! What the workers of a rehearsal have written down themselves, put in order: which of them were up and
//! which jobs ran on them, at every moment. It knows logs and hosts, and nothing of plans or runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::bucket::Host;
use crate::engine::Millis;
use crate::sandbox::{Boot, Event, ITSELF, LogEntry, Sandbox};

/// What one worker has written down.
#[derive(Clone, Debug, Default)]
pub(super) struct Testimony {
    /// All boots, the first one included.
    pub(super) boots: Vec<Boot>,
    pub(super) log: Vec<LogEntry>,
}

impl Testimony {
    /// When it was asked to reboot from outside, and whether it obeyed; oldest first.
    pub(super) fn asked(&self) -> impl Iterator<Item = (Millis, bool)> + '_ {
        self.log.iter().filter_map(|entry| match &entry.event {
            Event::RebootAsked { by, obeyed } if by != ITSELF => Some((millis(entry), *obeyed)),
            _ => None,
        })
    }

    /// When it first rebooted by itself: a fault, which no run has caused.
    pub(super) fn went_by_itself(&self) -> Option<Millis> {
        let own = |entry: &&LogEntry| matches!(&entry.event, Event::RebootAsked { by, .. } if by == ITSELF);
        self.log.iter().find(own).map(millis)
    }

    /// All reboots, those that it did by itself and one that it did not come back from included.
    pub(super) fn all_reboots(&self) -> usize {
        let obeyed = |entry: &&LogEntry| matches!(entry.event, Event::RebootAsked { obeyed: true, .. });
        self.boots.len().saturating_sub(1).max(self.log.iter().filter(obeyed).count())
    }

    /// Reboots that were caused from outside. One that it did not come back from counts as well.
    pub(super) fn reboots(&self) -> usize {
        let own = |entry: &&LogEntry| matches!(&entry.event, Event::RebootAsked { by, .. } if by == ITSELF);
        let booted = self.boots.len().saturating_sub(1 + self.log.iter().filter(own).count());
        booted.max(self.asked().filter(|(_, obeyed)| *obeyed).count())
    }
}

/// As facts are stamped.
pub(super) fn millis(entry: &LogEntry) -> Millis {
    entry.at.as_millisecond()
}

/// What the workers have written down: all that a verdict believes of what happened to them.
pub(super) type Evidence = BTreeMap<Host, Testimony>;

/// The logs of all workers.
pub(super) fn evidence(sandbox: &Sandbox) -> Evidence {
    let of = |host: &Host| Testimony { boots: sandbox.boots(host), log: sandbox.log(host) };
    sandbox.hosts().iter().map(|host| (host.clone(), of(host))).collect()
}

/// What a worker is like.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Condition {
    /// Its port is closed, or its processes have ended.
    pub(super) away: bool,
    /// The jobs that run there.
    pub(super) running: BTreeSet<String>,
}

/// How all workers were, from one moment on.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) at: Millis,
    pub(super) fleet: BTreeMap<Host, Condition>,
}

/// How the fleet was over time.
#[derive(Debug)]
pub(super) struct History {
    /// How the run found the fleet.
    found: Moment,
    /// What changed since, oldest first: only that is kept, for a fleet of hundreds changes often.
    changes: Vec<(Millis, Host, Condition)>,
}

impl History {
    /// From `start` (when the run began) on.
    pub(super) fn since(start: Millis, evidence: &Evidence) -> Self {
        let mut entries: Vec<(&Host, &LogEntry)> = evidence
            .iter()
            .flat_map(|(host, told)| told.log.iter().map(move |entry| (host, entry)))
            .collect();
        entries.sort_by_key(|(_, entry)| entry.at);
        let mut now: BTreeMap<Host, Condition> =
            evidence.keys().map(|host| (host.clone(), Condition::default())).collect();
        let mut found = None;
        let mut changes = Vec::new();
        for (host, entry) in entries {
            let at = millis(entry);
            if at > start && found.is_none() {
                found = Some(now.clone());
            }
            let Some(next) = now.get(host).and_then(|condition| after(condition, &entry.event)) else {
                continue;
            };
            if found.is_some() {
                changes.push((at, host.clone(), next.clone()));
            }
            now.insert(host.clone(), next);
        }
        Self { found: Moment { at: start, fleet: found.unwrap_or(now) }, changes }
    }

    /// Looks at every moment in turn, the first one included.
    pub(super) fn walk(&self, mut look: impl FnMut(&Moment)) {
        let mut moment = self.found.clone();
        look(&moment);
        for (at, host, condition) in &self.changes {
            moment.at = *at;
            moment.fleet.insert(host.clone(), condition.clone());
            look(&moment);
        }
    }

    /// How the run found the fleet.
    pub(super) fn found(&self) -> &Moment {
        &self.found
    }

    /// Whether a worker in this condition is away, or lacks a job that the run had found running there.
    fn lacks(&self, host: &Host, now: &Condition) -> bool {
        let found = self.found.fleet.get(host);
        now.away || found.is_some_and(|found| !found.running.is_subset(&now.running))
    }

    /// Whether a worker was down at a moment.
    pub(super) fn is_down(&self, host: &Host, moment: &Moment) -> bool {
        moment.fleet.get(host).is_none_or(|now| self.lacks(host, now))
    }

    /// The workers that were down at a moment.
    pub(super) fn down<'a>(&'a self, moment: &'a Moment) -> impl Iterator<Item = &'a Host> + 'a {
        moment.fleet.keys().filter(|host| self.is_down(host, moment))
    }

    fn changes_of<'a>(&'a self, host: &'a Host) -> impl DoubleEndedIterator<Item = (Millis, &'a Condition)> {
        self.changes.iter().filter(move |(_, of, _)| of == host).map(|(at, _, now)| (*at, now))
    }

    /// When a worker was down: from and to (`None`: to the end), in milliseconds since the run began.
    pub(super) fn times_down(&self, host: &Host) -> Vec<(Millis, Option<Millis>)> {
        let start = self.found.at;
        let mut times: Vec<(Millis, Option<Millis>)> = Vec::new();
        for (at, now) in self.changes_of(host) {
            let open = times.last_mut().filter(|(_, to)| to.is_none());
            match (self.lacks(host, now), open) {
                (true, None) => times.push((at - start, None)),
                (false, Some(open)) => open.1 = Some(at - start),
                _ => {}
            }
        }
        times
    }

    /// How a worker was at a time.
    pub(super) fn at<'a>(&'a self, host: &'a Host, time: Millis) -> Option<&'a Condition> {
        let change = self.changes_of(host).rev().find(|(at, _)| *at <= time).map(|(_, now)| now);
        change.or_else(|| self.found.fleet.get(host))
    }

    /// Whether a worker was down in the end.
    pub(super) fn is_down_at_last(&self, host: &Host) -> bool {
        self.at(host, Millis::MAX).is_none_or(|now| self.lacks(host, now))
    }

    /// Whether a job was started or stopped on a worker, or it went down, since the run began.
    pub(super) fn has_changed(&self, host: &Host) -> bool {
        self.changes_of(host).next().is_some()
    }
}

/// What a worker is like after an event; `None`: as before.
fn after(now: &Condition, event: &Event) -> Option<Condition> {
    let mut next = now.clone();
    match event {
        Event::JobStarted { job } => {
            next.running.insert(job.clone());
        }
        Event::JobStopped { job } => {
            next.running.remove(job);
        }
        Event::WentDown => next = Condition { away: true, running: BTreeSet::new() },
        Event::Booted { .. } => next = Condition::default(),
        _ => return None,
    }
    (next != *now).then_some(next)
}
