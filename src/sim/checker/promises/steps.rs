//! What may begin, and what an intent says: signals, undecided, undos, and who is waited for. It must not know
//! when a run ends.

use std::collections::BTreeSet;

use super::super::super::invariant::Invariant;
use super::super::power::is_away;
use super::*;

impl Checker {
    /// Steps that contact everybody and whose turn it is.
    pub(super) fn pending(&self, at: Millis) -> BTreeSet<(Lane, StepIx)> {
        let mut pending = BTreeSet::new();
        for (lane, book) in &self.lanes {
            let continues = book.place == Place::Active && !book.reverting && book.broke_at.is_none();
            if !matches!(lane, Lane::Worker(_)) || !continues {
                continue;
            }
            for (index, step) in self.graph.steps(*lane).iter().enumerate() {
                let contacts = uses_catalog(&step.kind);
                let step = StepIx(index as u32);
                let open = self.open.values().any(|(l, s, _)| l == lane && *s == step);
                let later = book.due.get(&step).is_some_and(|due| *due > at);
                let tried = self.kept.lanes.get(lane).is_some_and(|told| told.last.contains_key(&step));
                if contacts
                    && !book.satisfied[index]
                    && !open
                    && !later
                    && !tried
                    && self.needs_of(*lane, index)
                {
                    pending.insert((*lane, step));
                }
            }
        }
        pending
    }

    pub(super) fn needs_of(&self, lane: Lane, step: usize) -> bool {
        let mut todo = vec![step];
        let mut seen = BTreeSet::new();
        while let Some(at) = todo.pop() {
            for need in &self.graph.steps(lane)[at].needs {
                if !self.lanes[&lane].satisfied[*need] {
                    return false;
                }
                if !self.graph.applies(lane, *need) && seen.insert(*need) {
                    todo.push(*need);
                }
            }
        }
        true
    }

    pub(super) fn may_begin(&mut self, lane: Lane, step: StepIx, undo: bool) {
        if self.kept.interrupted {
            self.breaks(
                Invariant::PauseAdmitsNobody,
                format!("step {step} of {lane:?} begins after a signal"),
            );
        }
        let failed = self.failed_now();
        match lane {
            Lane::Worker(_) => {
                if !undo && self.book(lane).broke_at.is_some() {
                    self.breaks(
                        Invariant::LegalTransitions,
                        format!("step {step} of {lane:?} begins beside one that has failed"),
                    );
                }
            }
            Lane::Before | Lane::After => {
                if failed > self.graph.numbers().max_failures.value {
                    self.breaks(
                        Invariant::FailureLimit,
                        format!("step {step} of {lane:?} begins after {failed} failures"),
                    );
                }
                let open = |book: &crate::sim::checker::Book| {
                    matches!(book.place, Place::Queued | Place::Preparing | Place::Active)
                };
                let workers = self.lanes.iter().filter(|(lane, _)| matches!(lane, Lane::Worker(_)));
                if lane == Lane::After && workers.clone().any(|(_, book)| open(book)) {
                    self.breaks(
                        Invariant::PlanOrder,
                        format!("step {step} of `after` begins before all workers have ended"),
                    );
                }
            }
        }
    }

    pub(super) fn may_issue(&mut self, at: Millis, lane: Lane, step: StepIx, intent: &Intent) {
        self.may_begin(lane, step, intent.is_undo());
        let was_issued = self.told(lane).was_issued.contains(&step);
        match intent {
            Intent::Do { repeat } if *repeat != was_issued => {
                self.breaks(Invariant::IntentFirst, format!("step {step} of {lane:?} says repeat: {repeat}"));
            }
            Intent::Reboot { .. } => {
                if self.exclusive && !self.away.contains(&lane) && !self.kept.pending.is_empty() {
                    let now = self.pending(at);
                    let waits = self.kept.pending.iter().find(|one| one.0 != lane && now.contains(one));
                    if let Some(waits) = waits.copied() {
                        self.breaks(
                            Invariant::BoundedWaits,
                            format!("{lane:?} goes away, and {waits:?} waits already"),
                        );
                    }
                }
                self.told(lane).enter.retain(|_, reboot| *reboot != step);
                self.told(lane).reboots.insert(step, at);
            }
            Intent::PowerCycle { boot_id } => {
                let attempts = self.graph.steps(lane)[step.index()].retries.attempts;
                let told = self.told(lane);
                let spent = told.spent.get(&step).map_or(0, |(spent, _)| *spent);
                let away = matches!(told.last.get(&step), Some(Last::Known(kind)) if is_away(*kind));
                let awaited = self.awaited(lane, step).map(|(reboot, _)| reboot);
                let b0 = awaited.and_then(|reboot| self.book(lane).reboots.get(&reboot).cloned());
                if spent < attempts || !away || b0.is_none_or(|(b0, needless)| needless || b0 != *boot_id) {
                    self.breaks(
                        Invariant::OneForcedReset,
                        format!("{lane:?} is to be reset after {spent} tries of step {step}, away: {away}"),
                    );
                }
                if let Some(reboot) = awaited {
                    self.reset_issued(at, lane, step, reboot);
                }
            }
            Intent::AwaitBoot { not, reboot_step, reboot_issued, power_cycled, .. } => {
                let reset = reboot_step.and_then(|reboot| self.reset_at(lane, reboot));
                if power_cycled.map(|known| known.at) != reset {
                    let what =
                        format!("step {step} of {lane:?} has {power_cycled:?} for its reset, not {reset:?}");
                    self.breaks(Invariant::OneForcedReset, what);
                }
                if let Some(reboot) = self.told(lane).enter.remove(&step) {
                    self.breaks(
                        Invariant::BoundedWaits,
                        format!("{lane:?} waits again, and reboot {reboot} was not entered again"),
                    );
                }
                let awaited = self.awaited(lane, step).and_then(|(reboot, issued)| {
                    let (b0, needless) = self.book(lane).reboots.get(&reboot).cloned()?;
                    (!needless).then_some((b0, reboot, issued))
                });
                let said = (not.clone(), *reboot_step, *reboot_issued);
                let wanted = awaited.map_or((None, None, None), |(b0, r, i)| (Some(b0), Some(r), Some(i)));
                if said != wanted {
                    self.breaks(
                        Invariant::VerifiedBoot,
                        format!("step {step} of {lane:?} waits for {said:?}, not {wanted:?}"),
                    );
                }
            }
            Intent::ReadBootId if self.told(lane).read.contains(&step) => {
                self.breaks(
                    Invariant::OneReboot,
                    format!("the boot id of step {step}, {lane:?}, is read again"),
                );
            }
            _ => {}
        }
        if intent.is_undo() {
            if !was_issued {
                self.breaks(
                    Invariant::LegalTransitions,
                    format!("{intent:?} of step {step}, {lane:?}, which never ran"),
                );
            }
            let first = self.told(lane).undo_issued.is_empty();
            let broke_at = self.book(lane).broke_at.filter(|broke| self.has_undo(*broke));
            if first && broke_at.is_some_and(|broke| broke != step) {
                self.breaks(
                    Invariant::LegalTransitions,
                    format!("{lane:?}: {step} is undone before {broke_at:?}, which failed"),
                );
            }
            let again = self.told(lane).undo_issued.contains(&(step, Intent::UndoCommand));
            if *intent == Intent::UndoCommand && again {
                self.breaks(
                    Invariant::UnknownIsNotSuccess,
                    format!("the undo command of step {step}, {lane:?}, is run again"),
                );
            }
            self.told(lane).undo_issued.push((step, intent.clone()));
        } else if *intent != Intent::ReadBootId {
            self.told(lane).was_issued.insert(step);
        }
    }

    /// Unless it is known that no reset was made, the step waits anew with all its attempts.
    fn heard_of_reset(&mut self, lane: Lane, step: StepIx, outcome: &Outcome) {
        match outcome {
            Outcome::NotDone { .. } => self.kept.pause_due = true,
            Outcome::Failed { error } => {
                self.told(lane).last.insert(step, Last::Known(error.kind));
            }
            _ => self.waits_anew(lane, step),
        }
    }

    pub(super) fn waits_anew(&mut self, lane: Lane, step: StepIx) {
        let told = self.told(lane);
        told.spent.remove(&step);
        told.last.remove(&step);
    }

    pub(super) fn has_undo(&self, step: StepIx) -> bool {
        match &self.graph.plan.steps[step.index()].kind {
            StepKind::Disable { .. } => true,
            StepKind::Job { action, .. } => *action == crate::plan::JobAction::Stop,
            kind => kind.has_own_undo() == Some(true),
        }
    }

    pub(super) fn heard_of(&mut self, attempt: AttemptId, outcome: &Outcome) {
        let Some((lane, step, intent)) = self.open.get(&attempt).cloned() else { return };
        let on_worker = match self.kind(lane, step) {
            StepKind::Deploy { .. }
            | StepKind::Job { .. }
            | StepKind::Run(_)
            | StepKind::Reboot { .. }
            | StepKind::WaitForSsh { .. }
            | StepKind::Health { .. }
            | StepKind::SyncCheck { .. } => true,
            StepKind::Disable { .. } => intent == Intent::UndoDeploy,
            _ => false,
        };
        let on_worker = on_worker && !matches!(intent, Intent::PowerCycle { .. });
        if let (Lane::Worker(target), Outcome::Ok { .. }, true) = (lane, outcome, on_worker) {
            self.kept.answered.insert(target);
        }
        if matches!(intent, Intent::PowerCycle { .. }) {
            return self.heard_of_reset(lane, step, outcome);
        }
        if intent.is_undo() {
            let told = self.told(lane);
            if matches!(outcome, Outcome::Ok { .. }) {
                told.undo_failures = 0;
                told.undo_done.push((step, intent));
            } else {
                told.undo_failures += 1;
            }
            return;
        }
        let sends = |(l, s, i): &&(Lane, StepIx, Intent)| {
            *l == lane && *s == step && matches!(i, Intent::Reboot { .. })
        };
        let reboots = matches!(intent, Intent::Reboot { .. });
        let looks_only =
            matches!(self.kind(lane, step), StepKind::WaitForSsh { .. } | StepKind::Health { .. });
        let lost = match outcome {
            Outcome::Ok { .. } => {
                let told = self.told(lane);
                told.last.remove(&step);
                if intent == Intent::ReadBootId {
                    told.read.insert(step);
                }
                told.spent.entry(step).or_default().1 = 0;
                return;
            }
            Outcome::NotDone { .. } => {
                self.kept.pause_due = true;
                return;
            }
            Outcome::Failed { error } => {
                let away = error.kind == ErrorKind::Unreachable;
                if reboots && away && self.issued.values().filter(sends).count() > 1 {
                    self.told(lane).spent.entry(step).or_default().1 = 0;
                    return;
                }
                Last::Known(error.kind)
            }
            Outcome::Unexpected { error, .. } => Last::Known(error.kind),
            Outcome::Unknown { .. } => Last::Orphaned,
            Outcome::TimedOut { .. } if looks_only || intent == Intent::ReadBootId => {
                Last::Known(ErrorKind::TimedOut)
            }
            Outcome::TimedOut { .. } => Last::Orphaned,
        };
        let told = self.told(lane);
        told.last.insert(step, lost);
        let (spent, looks) = told.spent.entry(step).or_default();
        if matches!(outcome, Outcome::Unknown { .. }) && *looks < FREE_LOOKS {
            *looks += 1;
        } else {
            *spent += 1;
        }
    }
}
