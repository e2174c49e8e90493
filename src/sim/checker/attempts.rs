//! Attempts: what may be issued, and whether what is said of it is true in the world.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::invariant::Invariant;
use super::{Checker, Place, takes_down};
use crate::engine::{AttemptId, ErrorKind, Evidence, Intent, Millis, Outcome};
use crate::graph::{Lane, StepIx, TargetIx};
use crate::plan::{ExpectedBoot, ExpectedKernel, RebootUnless, StepKind};
use crate::sim::exec::Arrival;
use crate::sim::world::{Alloc, Entry, World, boot_number};

impl Checker {
    /// What comes before a step has ended well; where a step is skipped, what came before that, too.
    pub(super) fn needs(&mut self, lane: Lane, step: StepIx, what: &str) {
        let mut todo = vec![step.index()];
        let mut seen = BTreeSet::new();
        while let Some(at) = todo.pop() {
            for need in self.graph.steps(lane)[at].needs.clone() {
                if !self.book(lane).satisfied[need] {
                    self.breaks(Invariant::PlanOrder, format!("{what} {step} of {lane:?} before {need}"));
                }
                if !self.graph.applies(lane, need) && seen.insert(need) {
                    todo.push(need);
                }
            }
        }
    }

    pub(super) fn issued(
        &mut self,
        attempt: AttemptId,
        lane: Lane,
        step: StepIx,
        intent: &Intent,
        world: &World,
    ) {
        self.open.insert(attempt, (lane, step, intent.clone()));
        self.issued.insert(attempt, (lane, step, intent.clone()));
        let kind = self.kind(lane, step).clone();
        let (place, reverting, left_alone, satisfied) = {
            let book = self.book(lane);
            (book.place, book.reverting, book.left_alone, book.satisfied[step.index()])
        };
        if left_alone {
            self.breaks(Invariant::OperatorsWorkers, format!("{lane:?} is an operator's, and is issued"));
        }
        if intent.is_undo() != reverting {
            self.breaks(
                Invariant::LegalTransitions,
                format!("{intent:?} for {lane:?}, reverting: {reverting}"),
            );
        }
        if !intent.is_undo() {
            self.needs(lane, step, "step");
            // An operator's retry may enter a reboot again that nobody has seen.
            let again = self.book(lane).retried && self.book(lane).reboots.contains_key(&step);
            if again {
                self.book(lane).satisfied[step.index()] = false;
            }
            if satisfied && !again {
                self.breaks(
                    Invariant::LegalTransitions,
                    format!("step {step} of {lane:?} is issued and was done or skipped"),
                );
            }
            if self.aborted {
                self.breaks(
                    Invariant::LegalTransitions,
                    format!("step {step} of {lane:?} is issued after an abort"),
                );
            }
        }
        if let Lane::Worker(target) = lane {
            if !matches!(place, Place::Active | Place::Preparing) {
                self.breaks(
                    Invariant::LegalTransitions,
                    format!("step {step} is issued and {lane:?} is {place:?}"),
                );
            }
            self.issued_ahead(target, step, intent);
            let enables =
                matches!((&kind, intent), (StepKind::Enable, Intent::Do { .. }) | (_, Intent::UndoEnable));
            if enables {
                self.verified(target, world);
            }
            if takes_down(&kind) && !intent.is_undo() && *intent != Intent::ReadBootId {
                self.goes_down(target);
            }
        }
        if let Intent::Reboot { boot_id, .. } = intent {
            let known = self.book(lane).reboots.entry(step).or_insert_with(|| (boot_id.clone(), false));
            if known.0 != *boot_id {
                self.breaks(
                    Invariant::OneReboot,
                    format!("reboot {step} of {lane:?} is compared with another boot id"),
                );
            }
        }
        if self.exclusive {
            self.exclusion(lane, &kind, intent);
        }
        if matches!(intent, Intent::Reboot { .. }) {
            self.away.insert(lane);
        }
    }

    /// Nothing enables a worker before the new boot of each reboot is there.
    pub(super) fn verified(&mut self, target: TargetIx, world: &World) {
        let worker = self.worker(target);
        let now = world.host(worker).boot();
        let reboots = self.book(Lane::Worker(target)).reboots.clone();
        for (step, (b0, needless)) in reboots {
            if !needless && boot_number(worker, &b0).is_none_or(|before| now <= before) {
                self.breaks(
                    Invariant::VerifiedBoot,
                    format!("{target:?} is enabled and reboot {step} has not happened"),
                );
            }
        }
    }

    pub(super) fn ended(&mut self, attempt: AttemptId, outcome: &Outcome, world: &World) {
        let Some((lane, step, intent)) = self.open.remove(&attempt) else { return };
        if let (Intent::Reboot { .. }, Outcome::Failed { error }) = (&intent, outcome) {
            // Sent before, and away now: the wait may look for it.
            let sent = self
                .issued
                .values()
                .filter(|(l, s, i)| *l == lane && *s == step && matches!(i, Intent::Reboot { .. }));
            if sent.count() > 1 && error.kind == ErrorKind::Unreachable {
                self.book(lane).satisfied[step.index()] = true;
            }
        }
        if let (Outcome::Unexpected { boot_id, .. }, Lane::Worker(target)) = (outcome, lane) {
            self.settled(target, step, boot_id, world);
            self.away.remove(&lane);
        }
        let Outcome::Ok { evidence } = outcome else { return };
        self.kernels(lane, step, &intent, evidence, world);
        if !world.done.contains(&attempt) {
            self.breaks(
                Invariant::UnknownIsNotSuccess,
                format!("{intent:?} of step {step}, {lane:?}, is said to be done and is not"),
            );
        }
        if let (Evidence::Back { boot_id, .. }, Lane::Worker(target)) = (evidence, lane) {
            self.settled(target, step, boot_id, world);
        }
        if let Evidence::Rebooted { boot_id } = evidence
            && let (Lane::Worker(target), Intent::Reboot { boot_id: before, .. }) = (lane, &intent)
        {
            let worker = self.worker(target);
            if boot_number(worker, boot_id).is_none_or(|new| Some(new) <= boot_number(worker, before)) {
                self.breaks(Invariant::VerifiedBoot, format!("{boot_id} of {target:?} is no new boot"));
            }
        }
        let seen = matches!(
            (&intent, evidence),
            (_, Evidence::Back { .. } | Evidence::Rebooted { .. })
                | (Intent::Reboot { .. }, Evidence::NotNeeded { .. })
        );
        if seen {
            self.away.remove(&lane);
        }
        if matches!(evidence, Evidence::NotNeeded { .. })
            && let Some(reboot) = self.book(lane).reboots.get_mut(&step)
        {
            reboot.1 = true;
        }
        let is_of_step = !matches!(intent, Intent::ReadBootId | Intent::PowerCycle { .. });
        if is_of_step && !intent.is_undo() {
            self.book(lane).satisfied[step.index()] = true;
        }
    }

    /// A worker that runs an old kernel, or cannot tell, is taken neither for one that is as expected nor for one that
    /// needs no reboot.
    fn kernels(&mut self, lane: Lane, step: StepIx, intent: &Intent, evidence: &Evidence, world: &World) {
        let Lane::Worker(target) = lane else { return };
        let worker = self.worker(target);
        let host = world.host(worker);
        if !host.kernels.is_doubtful() {
            return;
        }
        match (intent, evidence) {
            (Intent::AwaitBoot { reboot_step: Some(reboot), .. }, Evidence::Back { boot_id, .. }) => {
                let expects = matches!(
                    self.kind(lane, *reboot),
                    StepKind::Reboot {
                        expect: Some(ExpectedBoot { kernel: Some(ExpectedKernel::Newest), .. }),
                        ..
                    }
                );
                if expects && boot_number(worker, boot_id) == Some(host.boot()) {
                    let what = format!("{target:?} does not run its newest kernel, and passes for it");
                    self.breaks(Invariant::VerifiedBoot, what);
                }
            }
            (Intent::Reboot { boot_id, .. }, Evidence::NotNeeded { .. }) => {
                let asks = matches!(
                    self.kind(lane, step),
                    StepKind::Reboot { unless: Some(RebootUnless::NotRequired { .. }), .. }
                );
                if asks && boot_number(worker, boot_id) == Some(host.boot()) {
                    let what = format!("{target:?} may need a reboot, and is taken for one that does not");
                    self.breaks(Invariant::UnknownIsNotSuccess, what);
                }
            }
            _ => {}
        }
    }

    /// The worker was up with that boot id for as long as it had to settle.
    pub(super) fn settled(&mut self, target: TargetIx, step: StepIx, boot_id: &str, world: &World) {
        let StepKind::WaitForSsh { settle, .. } = self.kind(Lane::Worker(target), step) else { return };
        let settle = settle.as_millis() as Millis;
        let worker = self.worker(target);
        let boot = boot_number(worker, boot_id).and_then(|boot| world.host(worker).boots.get(boot as usize));
        let until = boot.map(|boot| boot.down_at.unwrap_or(self.last_at) - boot.up_at);
        if until.is_none_or(|up| up < settle) {
            self.breaks(
                Invariant::VerifiedBoot,
                format!("{target:?} is called back after {until:?} ms of {settle}"),
            );
        }
    }

    pub(super) fn reverted(&mut self, target: TargetIx, world: &World) {
        let worker = self.worker(target);
        let (entries, others) = (world.file.entries(), world.file.others());
        if entries.of_worker(worker).iter().any(|job| !others.contains(Entry { worker, job: *job })) {
            self.breaks(Invariant::NothingLeftDisabled, format!("{target:?} is reverted and still disabled"));
        }
        let stopped = |alloc: &&Alloc| alloc.by_run && !alloc.running && !world.covers(worker, alloc.job);
        if let Some(alloc) = world.host(worker).allocs.iter().find(stopped) {
            self.breaks(
                Invariant::NothingLeftDisabled,
                format!("{target:?} is reverted and {:?} is as the run stopped it", alloc.job),
            );
        }
    }

    /// An effect is about to be carried out: as it was stored, and as the run's own plan says.
    pub(in crate::sim) fn effect(&mut self, arrival: &Arrival) {
        let order = &arrival.order;
        let stored = self.issued.get(&order.attempt);
        if stored != Some(&(order.lane, order.step, order.intent.clone())) {
            self.breaks(Invariant::IntentFirst, format!("{order:?} is not what was stored"));
        }
        if !Arc::ptr_eq(&arrival.graph, &self.graph) {
            let planned = self.graph.steps(order.lane).get(order.step.index()).map(|step| &step.kind);
            let meant = match order.lane {
                Lane::Worker(target) => Some(self.worker(target)),
                Lane::Before | Lane::After => None,
            };
            if planned != Some(arrival.kind()) || meant != arrival.worker() {
                self.breaks(
                    Invariant::StoredPlan,
                    format!("{:?} on {:?} is not the run's", arrival.kind(), arrival.worker()),
                );
            }
        }
    }
}
