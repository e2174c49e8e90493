//! What is promised of `prepare`: no worker is drained before it is prepared, nor before all others are, and one that fails
//! it never is. When a worker was drained it says itself, and `disabled.json`; that its steps have succeeded is the journal's
//! word, which the worker's own log of commands is held against.

use std::collections::{BTreeMap, BTreeSet};

use super::history::millis;
use super::judge::{Judge, are, promise};
use super::verdict::Promise;
use crate::engine::{Fact, Millis, Outcome, Resolution};
use crate::graph::{Lane, TargetIx};
use crate::plan::{OnStepFailure, StepKind};
use crate::sandbox::{Event, ITSELF};

impl Judge<'_> {
    /// `None`: the plan prepares nobody.
    pub(super) fn prepared_first(&self) -> Option<Promise> {
        let ahead = self.case.graph.plan.prepares();
        if ahead == 0 {
            return None;
        }
        let prepared = self.prepared();
        let failed: BTreeMap<TargetIx, Millis> = self.first_failures();
        let drained: BTreeMap<TargetIx, Millis> = self
            .case
            .graph
            .target_indices()
            .filter_map(|target| Some((target, self.drained(target)?)))
            .collect();
        let mut broken = Vec::new();
        for (target, at) in &drained {
            let host = self.host(*target);
            if prepared.get(target).is_none_or(|since| since > at) {
                broken.push(match failed.get(target).is_some_and(|failed| failed < at) {
                    true => format!("{host} was drained though it had failed to prepare"),
                    false => format!("{host} was drained before it was prepared"),
                });
            } else if self.lacks_a_command(*target, *at) {
                broken.push(format!("{host} was drained, and knows of no command that has prepared it"));
            }
        }
        if let Some((first, at)) = drained.iter().min_by_key(|(_, at)| **at) {
            for target in self.prepared_after(*at) {
                let ended = [&prepared, &failed].into_iter().filter_map(|times| times.get(&target)).min();
                if ended.is_none_or(|ended| ended > at) {
                    let (host, first) = (self.host(target), self.host(*first));
                    broken.push(format!("{first} was drained while {host} was still to be prepared"));
                }
            }
        }
        let words = are(drained.len(), "worker").replacen(" is", " was", 1).replacen(" are", " were", 1);
        let what = format!("{words} drained, after all were prepared or had failed to be");
        Some(promise("prepared_first", what, &broken))
    }

    /// When all that prepares a worker had succeeded, or may fail and has.
    fn prepared(&self) -> BTreeMap<TargetIx, Millis> {
        let plan = &self.case.graph.plan;
        let mut attempts = BTreeMap::new();
        let mut done: BTreeMap<TargetIx, BTreeMap<usize, Millis>> = BTreeMap::new();
        for stamped in &self.case.seen.facts {
            let ended = match &stamped.fact {
                Fact::Issued { attempt, lane: Lane::Worker(target), step, .. } => {
                    attempts.insert(*attempt, (*target, step.index()));
                    None
                }
                Fact::Finished { attempt, outcome: Outcome::Ok { .. } }
                | Fact::InDoubtResolved { attempt, how: Resolution::Done | Resolution::Skip } => {
                    attempts.get(attempt).copied()
                }
                Fact::StepIgnored { lane: Lane::Worker(target), step, .. } => Some((*target, step.index())),
                _ => None,
            };
            if let Some((target, step)) = ended.filter(|(_, step)| *step < plan.prepares()) {
                done.entry(target).or_default().entry(step).or_insert(stamped.at);
            }
        }
        let of = |target: TargetIx| {
            let done = done.get(&target);
            let mut at = Millis::MIN;
            for (step, _) in self.steps(target).filter(|(step, _)| *step < plan.prepares()) {
                at = at.max(*done?.get(&step)?);
            }
            Some((target, at))
        };
        self.case.graph.target_indices().filter_map(of).collect()
    }

    fn first_failures(&self) -> BTreeMap<TargetIx, Millis> {
        let mut failed = BTreeMap::new();
        for stamped in &self.case.seen.facts {
            if let Fact::WorkerFailed { target, .. } = &stamped.fact {
                failed.entry(*target).or_insert(stamped.at);
            }
        }
        failed
    }

    /// Who was prepared later than that.
    fn prepared_after(&self, at: Millis) -> BTreeSet<TargetIx> {
        let ahead = self.case.graph.plan.prepares();
        let late = self.case.seen.facts.iter().filter(|stamped| stamped.at > at);
        late.filter_map(|stamped| match &stamped.fact {
            Fact::Issued { lane: Lane::Worker(target), step, .. } if step.index() < ahead => Some(*target),
            _ => None,
        })
        .collect()
    }

    /// When the run first took something of a worker: it was disabled, a job was stopped there, or it was told to reboot.
    fn drained(&self, target: TargetIx) -> Option<Millis> {
        let host = self.host(target);
        let found = self.case.seen.looks.first();
        let was_disabled = found.is_some_and(|look| look.disabled.workers.contains(host.as_str()));
        let disabled = self.case.seen.looks.iter().find(|look| look.disabled.workers.contains(host.as_str()));
        let disabled = disabled.filter(|_| !was_disabled).map(|look| look.at);
        // What `before` does, a deploy of all workers for one, is not of their turn.
        let mut facts = self.case.seen.facts.iter();
        let begun = facts.find(|stamped| matches!(stamped.fact, Fact::BeforeDone))?.at;
        let mut log = self.told(host)?.log.iter().filter(|entry| millis(entry) >= begun);
        let taken = log.find(|entry| match &entry.event {
            Event::JobStopped { .. } => true,
            Event::RebootAsked { by, .. } => by != ITSELF,
            _ => false,
        });
        disabled.into_iter().chain(taken.map(millis)).min()
    }

    /// The plan prepares it by a command there that had to succeed, and until then none had.
    fn lacks_a_command(&self, target: TargetIx, until: Millis) -> bool {
        let ahead = self.case.graph.plan.prepares();
        let has_to_run = self.steps(target).any(|(step, of)| {
            let is_command = matches!(&of.kind, StepKind::Run(command) if command.unless.is_none());
            step < ahead && is_command && of.on_failure == OnStepFailure::Fail
        });
        let start = self.history.found().at;
        let ran = |host| {
            self.told(host).is_some_and(|told| {
                told.log.iter().any(|entry| {
                    let is_own = matches!(
                        entry.event,
                        Event::NotExecuted { code: 0, .. } | Event::Executed { users_own: true, .. }
                    );
                    is_own && (start..=until).contains(&millis(entry))
                })
            })
        };
        has_to_run && !ran(self.host(target))
    }
}
