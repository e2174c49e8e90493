//! Forced resets: one for each reboot step of a worker, stored before, and never of a worker that answers.

use super::super::invariant::Invariant;
use super::Checker;
use crate::engine::{ErrorKind, Intent, Millis};
use crate::graph::{Lane, StepIx};
use crate::plan::{OnNoReturn, StepKind};
use crate::sim::exec::Arrival;

impl Checker {
    /// A reset is issued for the wait at `step`, which is for this reboot.
    pub(super) fn reset_issued(&mut self, at: Millis, lane: Lane, step: StepIx, reboot: StepIx) {
        let wanted = matches!(
            self.kind(lane, step),
            StepKind::WaitForSsh { on_no_return: OnNoReturn::PowerCycle, .. }
        );
        if !wanted {
            let what = format!("{lane:?} is to be reset, and step {step} does not say so");
            self.breaks(Invariant::OneForcedReset, what);
        }
        if self.resets.insert((lane, reboot), at).is_some() {
            let what = format!("{lane:?} is to be reset again for reboot {reboot}");
            self.breaks(Invariant::OneForcedReset, what);
        }
    }

    /// When a reset was issued for this reboot.
    pub(super) fn reset_at(&self, lane: Lane, reboot: StepIx) -> Option<Millis> {
        self.resets.get(&(lane, reboot)).copied()
    }

    /// An order has come to a BMC.
    pub(in crate::sim) fn reset_ordered(&mut self, arrival: &Arrival, answers: bool) {
        let order = &arrival.order;
        let stored = self.issued.get(&order.attempt);
        if !matches!(stored, Some((_, _, Intent::PowerCycle { .. }))) {
            self.breaks(Invariant::OneForcedReset, format!("{order:?} is sent, and not stored"));
        }
        if !self.ordered.insert(order.attempt) {
            self.breaks(Invariant::OneForcedReset, format!("{order:?} is sent twice"));
        }
        if answers {
            self.breaks(Invariant::OneForcedReset, format!("{order:?} is sent, and the worker answers"));
        }
    }
}

/// Nobody has answered there, as far as the last attempt could see.
pub(super) fn is_away(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unreachable | ErrorKind::Refused | ErrorKind::TimedOut)
}
