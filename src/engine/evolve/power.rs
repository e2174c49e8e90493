//! A forced reset of a worker that does not come back: whose turn it is, and that it is issued once.

use super::super::known::Known;
use super::super::state::{RebootState, StepStatus};
use super::super::{Evidence, Millis, Outcome, ResetOrdered};
use crate::graph::StepRef;
use crate::plan::{OnNoReturn, StepKind};

impl Known {
    /// B0 of the reboot whose worker is to be reset now, since the wait at this step has ended with nobody there.
    pub(in crate::engine) fn forced_reset(&self, at: StepRef) -> Option<&str> {
        let wanted =
            matches!(self.setup.kind(at), StepKind::WaitForSsh { on_no_return: OnNoReturn::PowerCycle, .. });
        let lane = self.lanes.get(at.lane);
        let is_away = match lane.step(at.step).status() {
            StepStatus::Ended(ended) => !ended.unknown && ended.error.kind.is_away(),
            _ => false,
        };
        if !wanted || !is_away {
            return None;
        }
        let (_, reboot) = lane.awaited_reboot(self.setup.order(), at.step)?;
        reboot.boot_id().filter(|_| reboot.is_unverified() && reboot.power_cycled().is_none())
    }

    /// From here on no other one can be issued for this reboot.
    pub(super) fn power_cycle_issued(&mut self, now: Millis, at: StepRef) {
        if let Some(reboot) = self.awaited_reboot_mut(at) {
            reboot.power_cycle(now);
        }
    }

    /// An attempt to reset the worker has ended. Unless it is known that nothing was done, the wait begins anew: it is the
    /// worker that tells whether it was reset. `false`: it has failed.
    pub(super) fn finish_power_cycle(&mut self, at: StepRef, outcome: &Outcome) -> bool {
        let order = match outcome {
            Outcome::Ok { evidence: Evidence::PowerCycled { .. } } => ResetOrdered::Taken,
            Outcome::Ok { .. } | Outcome::Failed { .. } | Outcome::NotDone { .. } => ResetOrdered::NotSent,
            Outcome::Unknown { .. } | Outcome::TimedOut { .. } | Outcome::Unexpected { .. } => {
                ResetOrdered::Unknown
            }
        };
        if let Some(reboot) = self.awaited_reboot_mut(at) {
            reboot.reset_known(order);
        }
        let waits = !matches!(outcome, Outcome::Failed { .. } | Outcome::NotDone { .. });
        if waits {
            self.lanes.get_mut(at.lane).step_mut(at.step).wait_anew();
        }
        waits
    }

    fn awaited_reboot_mut(&mut self, wait: StepRef) -> Option<&mut RebootState> {
        let lane = self.lanes.get_mut(wait.lane);
        let (reboot, _) = lane.awaited_reboot(self.setup.order(), wait.step)?;
        lane.step_mut(reboot).reboot_mut()
    }
}
