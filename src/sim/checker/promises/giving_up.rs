//! When a step is tried again, when it is given up, and what of a failed worker is undone. It must not know
//! other workers.

use super::super::super::invariant::Invariant;
use super::*;

impl Checker {
    pub(super) fn tried_later(
        &mut self,
        at: Millis,
        lane: Lane,
        step: StepIx,
        due: Millis,
        reissue: Option<StepIx>,
    ) {
        let plan_step = self.graph.steps(lane)[step.index()].clone();
        let itself = matches!(plan_step.kind, StepKind::Reboot { .. });
        let told = self.told(lane);
        let last = told.last.get(&step).copied();
        let spent = told.spent.get(&step).map_or(0, |(spent, _)| *spent);
        let wanted = match last {
            Some(Last::Known(ErrorKind::NotRebooted)) if itself => Some(step),
            Some(Last::Known(ErrorKind::NotRebooted)) => self.awaited(lane, step).map(|(reboot, _)| reboot),
            _ => None,
        };
        if reissue != wanted {
            self.breaks(
                Invariant::BoundedWaits,
                format!("step {step} of {lane:?} after {last:?} enters {reissue:?}, not {wanted:?}"),
            );
        }
        if let Some(Last::Known(kind)) = last
            && is_final(kind)
        {
            self.breaks(
                Invariant::BoundedWaits,
                format!("step {step} of {lane:?} is tried again after {kind:?}"),
            );
        }
        if spent >= plan_step.retries.attempts || self.kept.aborted.is_some() {
            self.breaks(
                Invariant::BoundedWaits,
                format!("step {step} of {lane:?} is tried again after {spent} attempts"),
            );
        }
        let whole = whole_delay(&plan_step.retries, spent);
        let bounds = match last {
            Some(Last::Known(_)) => whole / 2..=whole,
            // A lost answer is looked at soon.
            _ => 0..=whole.max(2_000),
        };
        if !bounds.contains(&(due - at)) {
            let after = due - at;
            self.breaks(
                Invariant::BoundedWaits,
                format!("step {step} of {lane:?} is tried {after} ms after try {spent}: {bounds:?}"),
            );
        }
        if matches!(last, Some(Last::Known(_))) && whole >= 1_000 {
            self.drawn(whole, (lane, step, spent), due - at);
        }
    }

    /// Workers that failed together do not come back together: delays of the same length differ.
    fn drawn(&mut self, whole: Millis, whose: (Lane, StepIx, u32), delay: Millis) {
        let draws = self.kept.draws.entry(whole).or_default();
        draws.insert(whose, delay);
        let all_alike = draws.values().all(|other| *other == delay);
        let count = draws.len();
        if count >= ENOUGH_DRAWS && all_alike {
            self.breaks(
                Invariant::BoundedWaits,
                format!("{count} retries after {whole} ms all wait for {delay} ms"),
            );
        }
    }

    pub(super) fn given_up(&mut self, lane: Lane, step: StepIx, kind: ErrorKind, ignored: bool) {
        let plan_step = &self.graph.steps(lane)[step.index()];
        let attempts = plan_step.retries.attempts;
        if ignored != (plan_step.on_failure == OnStepFailure::Ignore) {
            self.breaks(Invariant::PlanOrder, format!("step {step} of {lane:?} failed, ignored: {ignored}"));
        }
        let spent = self.told(lane).spent.get(&step).map_or(0, |(spent, _)| *spent);
        if spent < attempts && !is_final(kind) && self.kept.aborted.is_none() {
            self.breaks(
                Invariant::BoundedWaits,
                format!("step {step} of {lane:?} is given up after {spent} tries of {attempts}"),
            );
        }
        if !ignored {
            self.told(lane).failed.insert(step);
        }
    }

    pub(super) fn stuck(&mut self, target: TargetIx, kind: ErrorKind) {
        let told = self.kept.lanes.entry(Lane::Worker(target)).or_default();
        let Some((step, last)) = told.undo_issued.last() else { return };
        let attempts = self.graph.plan.steps[step.index()].retries.attempts;
        let tries = told.undo_failures;
        if *last != Intent::UndoCommand && !is_final(kind) && tries < attempts {
            self.breaks(
                Invariant::BoundedWaits,
                format!("the revert of {target:?} is given up after {tries} tries of {attempts}"),
            );
        }
    }

    /// Every step that may have changed something and has an undo was undone.
    pub(super) fn all_undone(&mut self, target: TargetIx, world: &World) {
        let graph = std::sync::Arc::clone(&self.graph);
        let told = self.told(Lane::Worker(target));
        let wanted = told.was_issued.iter().filter_map(|step| {
            let intent = match &graph.plan.steps[step.index()].kind {
                StepKind::Disable { .. } => Intent::UndoDeploy,
                StepKind::Job { action, .. } if *action == crate::plan::JobAction::Stop => Intent::UndoStop,
                kind if kind.has_own_undo() == Some(true) => Intent::UndoCommand,
                _ => return None,
            };
            Some((*step, intent))
        });
        let missing = wanted.filter(|undo| !told.undo_done.contains(undo)).collect::<Vec<_>>();
        if !missing.is_empty() {
            self.breaks(
                Invariant::NothingLeftDisabled,
                format!("{target:?} is reverted without {missing:?}"),
            );
        }
        self.verified(target, world);
    }
}
