//! What watches come to, held against the simulator's own books. It must not ask the machines.

use super::super::Arrival;
use super::{Watch, Why, millis};
use crate::boot::{COMMAND_FAILED_GRACE, CommandState, EXCHANGE, LOOK_EVERY, Next, Return};
use crate::engine::{ErrorKind, Intent, Millis, Outcome};
use crate::plan::StepKind;
use crate::sim::drive::Sim;
use crate::sim::invariant::Invariant;

/// So many looks are taken of a worker whose reboot command has failed, some of which find its port closed.
const LOOKS_OF_A_FAILURE: Millis = 4;

impl Sim {
    /// What the watch of a return makes of a look is held against the simulator's own books.
    pub(super) fn check_return(
        &mut self,
        request: &Arrival,
        watch: &Watch,
        at: Millis,
        seen_well: bool,
        next: &Next<Return<Why>>,
    ) {
        let (Intent::AwaitBoot { not, .. }, StepKind::WaitForSsh { settle, .. }) =
            (&request.order.intent, request.kind())
        else {
            return;
        };
        let new = watch.well_since.as_ref().filter(|(boot, _)| Some(boot) != not.as_ref());
        let well_for = new.map(|(_, since)| at - since);
        let is_due = seen_well && well_for.is_some_and(|well| well >= millis(*settle));
        let lane = request.order.lane;
        match next {
            Next::Done(Return::Back { .. }) if !is_due => {
                self.checker.breaks(
                    Invariant::VerifiedBoot,
                    format!("{lane:?} is called back after {well_for:?} ms"),
                );
            }
            Next::LookAgain { .. } if is_due => {
                let what = format!("{lane:?} has stayed well for {well_for:?} ms, and is not called back");
                self.checker.breaks(Invariant::BoundedWaits, what);
            }
            _ => {}
        }
    }

    /// A reboot command that is at work gets its time, and one that has failed costs seconds.
    pub(super) fn check_departure(
        &mut self,
        request: &Arrival,
        watch: &Watch,
        at: Millis,
        outcome: &Outcome,
    ) {
        let (StepKind::Reboot { down_within, .. }, Outcome::Failed { error }, Some(worker)) =
            (request.kind(), outcome, request.worker())
        else {
            return;
        };
        let Some(told_at) = watch.told_at.filter(|_| error.kind == ErrorKind::NotRebooted) else { return };
        let host = self.world.host(worker);
        let (took, within) = (at - told_at, millis(*down_within));
        let failed = matches!(host.command_state(at), Some(CommandState::Ended(code)) if code != 0);
        // Settled by a look that has seen it, and another one after the grace; logins vary.
        let soon = millis(COMMAND_FAILED_GRACE) + LOOKS_OF_A_FAILURE * (millis(LOOK_EVERY) + 6 * host.login);
        let what = match failed {
            true if took > soon.min(within) + millis(EXCHANGE) => "and it had failed at once",
            false if took < within => "and it was at work",
            _ => return,
        };
        let what = format!("{worker:?} was given up {took} ms after the reboot command, {what}");
        self.checker.breaks(Invariant::BoundedWaits, what);
    }
}
