//! What a run reports, held against what the workers have written down: successes, the order of things,
//! the journal, the exit code.

use std::collections::BTreeMap;

use super::child::{FAILED, RESUMABLE, SUCCEEDED};
use super::history::millis;
use super::judge::{Judge, are, promise};
use super::verdict::Promise;
use crate::bucket::Host;
use crate::engine::{Fact, Intent, Millis};
use crate::graph::{Lane, TargetIx};
use crate::plan::{OnStepFailure, RebootUnless, Step, StepKind, counted};
use crate::report::{PublicRunState, PublicWorkerState};
use crate::sandbox::{Event, FaultKind, LogEntry};

impl Judge<'_> {
    pub(super) fn successes(&self) -> Promise {
        // A throwaway fleet has no kernels to ask: its workers are rebooted.
        let sure = |step: &Step| {
            matches!(
                &step.kind,
                StepKind::Reboot { unless: None | Some(RebootUnless::NotRequired { .. }), .. }
            )
        };
        let (mut broken, mut succeeded, mut rebooted) = (Vec::new(), 0, 0);
        for target in self.case.graph.target_indices() {
            let view = self.view_of(target);
            if view.state != PublicWorkerState::Succeeded {
                continue;
            }
            succeeded += 1;
            let host = self.host(target);
            let Some(told) = self.told(host) else {
                broken.push(format!("{host} is unknown to the fleet"));
                continue;
            };
            let wanted = self.steps(target).filter(|(_, step)| sure(step)).count();
            rebooted += usize::from(wanted > 0);
            if told.boots.len() < 1 + wanted {
                broken.push(format!("{host} has not rebooted"));
            } else if let Some(id) = &view.boot_id_after
                && !told.boots.iter().skip(usize::from(wanted > 0)).any(|boot| boot.boot_id == *id)
            {
                broken.push(format!("{host} never had the boot id {id}"));
            }
            let ill = self.history.is_down_at_last(host);
            let restored = self.restores(target) && !self.view.left_disabled.contains(&view.host);
            if ill && restored && told.went_by_itself().is_none() {
                broken.push(format!("{host} is not as it was"));
            }
        }
        let what = match (succeeded, rebooted) {
            (0, _) => "no worker is reported as done".to_owned(),
            (n, 0) => format!("{} reported as done, up, with the jobs from before", are(n, "worker")),
            (n, _) => {
                format!("{} reported as done, rebooted, with the jobs from before", are(n, "worker"))
            }
        };
        promise("successes", what, &broken)
    }

    /// No worker was asked to reboot before the journal knew.
    pub(super) fn intent_first(&self) -> Promise {
        let mut issued: BTreeMap<&Host, Vec<Millis>> = BTreeMap::new();
        for stamped in &self.case.seen.facts {
            if let Fact::Issued { lane: Lane::Worker(target), intent: Intent::Reboot { .. }, .. } =
                &stamped.fact
            {
                issued.entry(self.host(*target)).or_default().push(stamped.at);
            }
        }
        let mut broken = Vec::new();
        for (host, told) in self.case.evidence {
            let issued = issued.remove(host).unwrap_or_default();
            let early =
                told.asked().enumerate().any(|(n, (at, _))| issued.get(n).is_none_or(|then| at < *then));
            if early {
                broken.push(host.to_string());
            }
        }
        promise("intent_first", "no reboot was asked for before the journal had noted it".into(), &broken)
    }

    /// Where the plan drains before it reboots: no job was running then, and it was enabled only after it
    /// was up again.
    pub(super) fn drained_first(&self) -> Option<Promise> {
        let (mut drained, mut broken) = (0, Vec::new());
        for target in self.case.graph.target_indices() {
            let host = self.host(target);
            let Some(told) = self.told(host) else { continue };
            let Some((asked, _)) = told.asked().find(|(_, obeyed)| *obeyed) else { continue };
            if !self.drains_before_reboot(target) {
                continue;
            }
            drained += 1;
            let then = self.history.at(host, asked).cloned().unwrap_or_default();
            if !then.running.is_empty() {
                broken
                    .push(format!("{host} had {}", then.running.into_iter().collect::<Vec<_>>().join(", ")));
            }
            let booted =
                |entry: &&LogEntry| matches!(entry.event, Event::Booted { .. }) && millis(entry) > asked;
            let back = told.log.iter().find(booted).map_or(Millis::MAX, millis);
            let looks = self.case.seen.looks.iter().filter(|look| asked < look.at && look.at < back);
            if looks.filter(|look| !look.disabled.workers.contains(host.as_str())).count() > 0 {
                broken.push(format!("{host} was enabled before it was back"));
            }
        }
        let what = match drained {
            0 => return None,
            1 => "the worker that was rebooted was drained until it was back".to_owned(),
            n => format!("each of the {n} workers that were rebooted was drained until it was back"),
        };
        Some(promise("drained_first", what, &broken))
    }

    /// A `disable` of the whole worker, then a `deploy`, then the first `reboot`, each needing the one
    /// before.
    fn drains_before_reboot(&self, target: TargetIx) -> bool {
        let steps: Vec<(usize, &Step)> = self.steps(target).collect();
        let find = |wanted: fn(&Step) -> bool| steps.iter().find(|(_, step)| wanted(step)).map(|(at, _)| *at);
        let Some(reboot) = find(|step| matches!(step.kind, StepKind::Reboot { .. })) else { return false };
        let Some(disable) = find(|step| matches!(step.kind, StepKind::Disable { jobs: None })) else {
            return false;
        };
        let deploys = steps.iter().filter(|(_, step)| {
            let whole = matches!(step.kind, StepKind::Deploy { jobs: None, .. });
            whole && matches!(step.on_failure, OnStepFailure::Fail)
        });
        let mut deploys = deploys.map(|(at, _)| *at);
        deploys.any(|deploy| {
            self.comes_first(target, disable, deploy) && self.comes_first(target, deploy, reboot)
        })
    }

    fn comes_first(&self, target: TargetIx, first: usize, then: usize) -> bool {
        let needs: Vec<usize> = self.case.graph.needs(target, then).collect();
        // Needs go from later steps to earlier ones, so this ends.
        needs.iter().any(|need| *need == first || self.comes_first(target, first, *need))
    }

    /// Where a host key changed: nothing was sent to that worker any more.
    pub(super) fn host_key(&self) -> Option<Promise> {
        let faults = self.case.faults.iter();
        let mut changes =
            faults.filter(|fault| fault.kind == FaultKind::ChangesHostKey && fault.at_step.is_none());
        let mut broken = Vec::new();
        let first = changes.next()?;
        for fault in std::iter::once(first).chain(changes) {
            let log = self.told(&fault.host).map_or(&[][..], |told| &told.log);
            let (name, host) = (fault.to_string(), &fault.host);
            let changed =
                |entry: &LogEntry| matches!(&entry.event, Event::FaultHappened { fault } if *fault == name);
            let after = log.iter().skip_while(|entry| !changed(entry));
            let sent = |event: &Event| {
                matches!(
                    event,
                    Event::Executed { .. } | Event::NotExecuted { .. } | Event::RebootAsked { .. }
                )
            };
            if after.filter(|entry| sent(&entry.event)).count() > 0 {
                broken.push(host.to_string());
            }
        }
        Some(promise("host_key", "nothing was sent to a worker whose host key had changed".into(), &broken))
    }

    pub(super) fn journal(&self) -> Promise {
        let facts = &self.case.seen.facts;
        let mut broken = Vec::new();
        if !facts.iter().zip(1..).all(|(fact, seq)| fact.seq == seq) {
            broken.push("there is a gap".to_owned());
        }
        if !self.legal {
            broken.push("one of them breaks a rule".to_owned());
        }
        let what =
            format!("the journal has {} without a gap, each of them legal", counted(facts.len(), "fact"));
        promise("journal", what, &broken)
    }

    pub(super) fn exit_code(&self) -> Promise {
        let state = self.view.state;
        let expected = match state {
            PublicRunState::Succeeded => SUCCEEDED,
            PublicRunState::Failed | PublicRunState::Aborted | PublicRunState::Halted => FAILED,
            _ if self.view.counts.failures > 0 => FAILED,
            _ => RESUMABLE,
        };
        let mut broken = Vec::new();
        match self.case.run_exit {
            Some(code) if code != expected => broken.push(format!("expected {expected}")),
            // Killed after the last thing that it had to do.
            None if state.is_final() && self.case.kills == 0 => {
                broken.push("it ended by a signal after its end".to_owned())
            }
            _ => {}
        }
        let code = self.case.run_exit.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        promise("exit_code", format!("the exit code ({code}) fits the report ({})", state.as_str()), &broken)
    }
}
