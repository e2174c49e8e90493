//! The part of `decide` that is about one lane: which step's turn has come.

use super::super::state::{StepStatus, Turn, WorkerState};
use super::super::{ErrorKind, Fact, Intent, Millis, StepError, Timer};
use super::Decide;
use crate::graph::{Lane, StepRef, TargetIx};
use crate::plan::StepKind;

impl Decide<'_> {
    pub(super) fn next_of_lane(&mut self, lane: Lane) -> Option<Fact> {
        let run = self.run;
        let state = run.lanes.get(lane);
        if let Lane::Worker(target) = lane {
            if !state.state().is_active() {
                return None;
            }
            if state.state() == WorkerState::Reverting {
                return self.next_undo(target);
            }
        }
        if let Some(fact) = self.after_attempts(lane) {
            return Some(fact);
        }
        if run.hold.is_aborted() {
            return self.end_by_abort(lane);
        }
        if let Some((step, _)) = state.failed() {
            // Steps in flight beside it finish first.
            return if state.is_at_rest() { self.after_failed_step(lane, step) } else { None };
        }
        let once = !matches!(lane, Lane::Worker(_));
        if !run.may_step(lane) || (once && run.failures.is_exceeded()) {
            return None;
        }
        for (step, slot) in state.steps() {
            let at = StepRef { lane, step };
            if *slot.status() == StepStatus::Pending
                && run.is_its_turn(at)
                && run.needs_met(at)
                && let Some(fact) = self.begin(at)
            {
                return Some(fact);
            }
        }
        match lane {
            Lane::Worker(target) if state.is_preparing() => {
                state.is_prepared(run.setup.ahead()).then_some(Fact::WorkerPrepared { target })
            }
            Lane::Worker(target) if state.all_satisfied() => Some(Fact::WorkerSucceeded { target }),
            _ => None,
        }
    }

    /// The fact that a step's turn has come; `None` when it has to wait for others.
    fn begin(&mut self, at: StepRef) -> Option<Fact> {
        if let Some(gate) = self.close_gate(at) {
            return Some(gate);
        }
        let run = self.run;
        let lane = run.lanes.get(at.lane);
        let intent = self.intent(at);
        let waits = matches!(intent, Intent::AwaitBoot { .. } | Intent::Reboot { .. });
        if !waits && lane.has_unverified_reboot() {
            return self.fail_unverified(at);
        }
        if run.setup.is_exclusive(at, &intent) && run.exclusion.any_rebooting() {
            self.pending.block_catalog(at.lane);
            return None;
        }
        if let Lane::Worker(target) = at.lane
            && self.waits_for_its_turn(at, target)
        {
            return None;
        }
        if run.setup.catalog_is_exclusive() && matches!(intent, Intent::Reboot { .. }) {
            // One that may be away already is what the waiting operations wait for.
            let maybe_away = matches!(at.lane, Lane::Worker(target) if run.exclusion.is_rebooting(target));
            let waiting = self.pending.any_blocked_catalog() && !maybe_away;
            // One that is drained just now has its deploy to come, and goes down in this turn, too.
            if run.exclusion.any_operation() || run.exclusion.any_drain() || waiting {
                self.pending.block_reboot(at.lane);
                return None;
            }
        }
        Some(self.issue(at, intent))
    }

    /// Workers are drained and enabled in turns where an operation is for all of them. One that is to be drained waits
    /// until those that reboot are back and started again: its deploy could not be done before either, and meanwhile
    /// its jobs run. What is back is started by one deploy, behind all edits that can be made now. Nobody waits for
    /// what may take long, such as a command between two steps of a turn, a gate or an operator.
    fn waits_for_its_turn(&mut self, at: StepRef, target: TargetIx) -> bool {
        let exclusion = &self.run.exclusion;
        match self.run.setup.turn(at) {
            Turn::Drain
                if exclusion.others_rebooting(target)
                    || exclusion.others_enabling(target)
                    || exclusion.others_starting(target) =>
            {
                self.pending.block_reboot(at.lane);
                true
            }
            Turn::Start if exclusion.others_enabling(target) => {
                self.pending.block_catalog(at.lane);
                true
            }
            _ => false,
        }
    }

    fn close_gate(&mut self, at: StepRef) -> Option<Fact> {
        let step = self.run.setup.step(at);
        let (opens, expires) = match &step.kind {
            StepKind::Pause { duration } => (Some(self.at + self.run.setup.scaled(*duration)), None),
            StepKind::Approve { .. } => {
                (None, step.timeout.map(|timeout| self.at + timeout.as_millis() as Millis))
            }
            _ => return None,
        };
        let (lane, step) = (at.lane, at.step);
        if let Some(due) = opens.or(expires) {
            self.wake(due, Timer::Gate { lane, step });
        }
        Some(Fact::GateClosed { lane, step, opens, expires })
    }

    /// What the next attempt of a step is for.
    fn intent(&self, at: StepRef) -> Intent {
        let lane = self.run.lanes.get(at.lane);
        let state = lane.step(at.step);
        match self.run.setup.kind(at) {
            StepKind::Reboot { .. } => {
                let read = state.reboot().and_then(|reboot| Some((reboot.generation(), reboot.boot_id()?)));
                read.map_or(Intent::ReadBootId, |(generation, boot_id)| Intent::Reboot {
                    boot_id: boot_id.to_owned(),
                    generation,
                })
            }
            StepKind::WaitForSsh { .. } => {
                let reboot = lane.awaited_reboot(self.run.setup.order(), at.step);
                let needed = reboot.filter(|(_, reboot)| reboot.is_needed());
                Intent::AwaitBoot {
                    not: needed.and_then(|(_, reboot)| reboot.boot_id()).map(str::to_owned),
                    reboot_step: needed.map(|(step, _)| step),
                    reboot_issued: needed.and_then(|(_, reboot)| reboot.issued_at()),
                    kernel: needed.and_then(|(_, reboot)| reboot.kernel()).map(str::to_owned),
                    power_cycled: needed.and_then(|(_, reboot)| reboot.power_cycled()),
                }
            }
            _ => Intent::Do { repeat: state.was_issued() },
        }
    }

    /// Validation orders every step before or behind the wait; a plan that got past it must not hang.
    fn fail_unverified(&self, at: StepRef) -> Option<Fact> {
        let Lane::Worker(target) = at.lane else { return None };
        if !self.run.lanes.get(at.lane).is_at_rest() || self.has_pending_wait(at.lane) {
            return None;
        }
        let message = "the reboot before it is not verified: a wait_for_ssh has to come between";
        let error = StepError::new(ErrorKind::Unverified, message);
        Some(Fact::WorkerFailed { target, step: Some(at.step), error })
    }

    fn has_pending_wait(&self, lane: Lane) -> bool {
        self.run.lanes.get(lane).steps().any(|(step, state)| {
            let at = StepRef { lane, step };
            matches!(self.run.setup.kind(at), StepKind::WaitForSsh { .. })
                && !state.status().satisfies()
                && (*state.status() != StepStatus::Pending || self.run.needs_met(at))
        })
    }
}
