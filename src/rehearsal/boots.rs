//! What is promised of reboot commands and of machines that boot by themselves, held against the workers' own logs.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Testimony, millis};
use super::judge::{Judge, promise};
use super::verdict::Promise;
use crate::engine::{AttemptId, Fact, Intent, Millis, Outcome};
use crate::graph::{Lane, StepIx, TargetIx};
use crate::plan::{StepKind, counted};
use crate::sandbox::{Event, ITSELF};

/// An attempt on a worker, from its beginning to its end.
struct Attempt<'a> {
    target: TargetIx,
    step: StepIx,
    intent: &'a Intent,
    issued: Millis,
    ended: Millis,
    outcome: &'a Outcome,
}

impl Judge<'_> {
    /// No reboot command was started while another one was at work on the worker.
    pub(super) fn one_command(&self) -> Option<Promise> {
        let (mut begun, mut broken) = (0, BTreeSet::new());
        for (host, told) in self.case.evidence {
            let mut at_work = false;
            for entry in &told.log {
                match &entry.event {
                    Event::CommandBegun { .. } => {
                        begun += 1;
                        if std::mem::replace(&mut at_work, true) {
                            broken.insert(format!("{host} had two at work"));
                        }
                    }
                    Event::CommandEnded | Event::WentDown | Event::RebootAsked { obeyed: false, .. } => {
                        at_work = false;
                    }
                    _ => {}
                }
            }
        }
        let what = format!("{} started, none beside another", counted(begun, "reboot command"));
        let broken: Vec<String> = broken.into_iter().collect();
        (begun > 0).then(|| promise("one_command", what, &broken))
    }

    /// Each boot that a worker has made by itself, and that a step has met or a look has seen, is named in the report, and
    /// no other one is.
    pub(super) fn unplanned_boots(&self) -> Option<Promise> {
        let (mut made, mut broken) = (0, Vec::new());
        let attempts = self.attempts();
        for target in self.case.graph.target_indices() {
            let (host, view) = (self.host(target), self.view_of(target));
            let Some(told) = self.told(host) else { continue };
            let own = own_boots(told);
            made += own.len();
            let number = |id: &str| told.boots.iter().position(|boot| boot.boot_id == id);
            let is_own = |from: usize, to: usize| {
                (from + 1..=to).any(|at| own.iter().any(|(_, boot)| *boot == Some(at)))
            };
            for named in &view.unplanned_boots {
                let between = number(&named.before).zip(number(&named.boot_id));
                if !between.is_some_and(|(from, to)| is_own(from, to)) {
                    broken.push(format!("{host} is said to have booted by itself, and has not"));
                }
            }
            let is_named =
                |at: usize| view.unplanned_boots.iter().any(|named| number(&named.boot_id) == Some(at));
            let mut last = 0;
            for attempt in attempts.iter().filter(|attempt| attempt.target == target) {
                let step = &self.case.graph.plan.steps[attempt.step.index()];
                let in_its_middle =
                    |(at, _): &&(Millis, Option<usize>)| (attempt.issued..=attempt.ended).contains(at);
                if waits_for_worker(&step.kind) && own.iter().any(|boot| in_its_middle(&boot)) {
                    match attempt.outcome {
                        Outcome::TimedOut { .. } => {
                            broken
                                .push(format!("`{}` noticed a boot of {host} only at its time-out", step.id));
                        }
                        Outcome::Unknown { boot_id: None, .. } => {
                            broken.push(format!("`{}` does not say that {host} has booted", step.id));
                        }
                        _ => {}
                    }
                }
                let Some(seen) = attempt.outcome.boot_seen().and_then(&number) else { continue };
                let is_meant =
                    matches!(attempt.intent, Intent::Reboot { .. } | Intent::AwaitBoot { not: Some(_), .. });
                if is_own(last, seen) && !is_meant && !is_named(seen) {
                    broken.push(format!("{host} was seen in a boot of its own making, which is not named"));
                }
                last = last.max(seen);
            }
        }
        let what = format!("{} by workers themselves; those that were met are named", counted(made, "boot"));
        (made > 0 || !broken.is_empty()).then(|| promise("unplanned_boots", what, &broken))
    }

    /// All attempts on workers, in the order of their ends.
    fn attempts(&self) -> Vec<Attempt<'_>> {
        let mut issued: BTreeMap<AttemptId, (TargetIx, StepIx, &Intent, Millis)> = BTreeMap::new();
        let mut attempts = Vec::new();
        for stamped in &self.case.seen.facts {
            match &stamped.fact {
                Fact::Issued { attempt, lane: Lane::Worker(target), step, intent } => {
                    issued.insert(*attempt, (*target, *step, intent, stamped.at));
                }
                Fact::Finished { attempt, outcome } => {
                    if let Some((target, step, intent, at)) = issued.remove(attempt) {
                        attempts.push(Attempt {
                            target,
                            step,
                            intent,
                            issued: at,
                            ended: stamped.at,
                            outcome,
                        });
                    }
                }
                _ => {}
            }
        }
        attempts
    }
}

/// When a worker went down by itself, and the number of the boot that followed, if it came back.
fn own_boots(told: &Testimony) -> Vec<(Millis, Option<usize>)> {
    let own = |event: &Event| matches!(event, Event::RebootAsked { by, .. } if by == ITSELF);
    let next = |at: Millis| told.boots.iter().position(|boot| boot.at.as_millisecond() > at);
    told.log
        .iter()
        .filter(|entry| own(&entry.event))
        .map(|entry| (millis(entry), next(millis(entry))))
        .collect()
}

/// Steps that wait for an answer of the worker, and are not about its boots.
fn waits_for_worker(kind: &StepKind) -> bool {
    matches!(
        kind,
        StepKind::Deploy { .. }
            | StepKind::Job { .. }
            | StepKind::Run(_)
            | StepKind::Health { .. }
            | StepKind::SyncCheck { .. }
    )
}
