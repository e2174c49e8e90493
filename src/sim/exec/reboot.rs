//! Reboots as the world has them: the script that compares and reboots, departures and returns.

use super::Arrival;
use crate::boot::{Answer, CompareMode};
use crate::bucket::WorkerIx;
use crate::engine::Intent;
use crate::graph::StepIx;
use crate::sim::drive::{Event, Sim};
use crate::sim::invariant::Invariant;
use crate::sim::mutation::Mutation;
use crate::sim::world::{Does, RebootCommand, boot_id};

impl Sim {
    /// The script on the worker: compare, receipt, reboot.
    pub(super) fn compare_and_reboot(
        &mut self,
        arrival: &Arrival,
        worker: WorkerIx,
        mode: CompareMode,
    ) -> Answer {
        let order = &arrival.order;
        let Intent::Reboot { boot_id: before, generation } = &order.intent else { return Answer::Nothing };
        let boot = self.world.host(worker).boot();
        let fresh = self.config.mutation == Some(Mutation::FreshBootId);
        if boot_id(worker, boot) != *before && !fresh {
            return Answer::Already { boot_id: boot_id(worker, boot) };
        }
        let at_work = self.world.host(worker).is_told_to_reboot(order.step, self.now);
        if mode == CompareMode::Look {
            let there = at_work || self.world.host(worker).has_receipt(order.step, *generation);
            return if there { Answer::Pending } else { Answer::Nothing };
        }
        let is_new = fresh || self.world.host_mut(worker).takes_receipt(order.step, *generation);
        // One of an earlier attempt is adopted.
        let is_forgotten = self.config.mutation == Some(Mutation::LateCommandForgotten);
        if is_new && (!at_work || is_forgotten) {
            if at_work {
                let what = format!(
                    "a reboot command of step {} is started on {worker:?} beside another",
                    order.step
                );
                self.checker.breaks(Invariant::OneReboot, what);
            }
            self.starts_command(worker, order.step);
        }
        Answer::Pending
    }

    fn starts_command(&mut self, worker: WorkerIx, of: StepIx) {
        let (boot, now) = (self.world.host(worker).boot(), self.now);
        let mut after = Some(1_000);
        let mut does = Does::TakesDown;
        if self.fault(150) {
            let host = self.world.host_mut(worker);
            match self.faults.below(7) {
                0 => host.deaf += 1,
                1 => host.dies = true,
                2 => host.loops = true,
                // It looks as if it went away, and only its sshd did.
                3 => {
                    host.deaf += 1;
                    host.refuses = (now, now + 5_000);
                }
                4 => (after, does) = (None, Does::Ends(now + 200, 1)),
                // It, or what it has left to the system, may outlive the time that it has.
                kind => {
                    after = Some(self.faults.between(60_000, 400_000));
                    does = if kind == 5 { Does::TakesDown } else { Does::Schedules };
                }
            }
        }
        let stays_off = self.stays_off();
        let host = self.world.host_mut(worker);
        host.dies |= stays_off;
        if host.deaf > 0 {
            host.deaf -= 1;
            (after, does) = (None, Does::Ends(now + 1_000, 0));
        }
        if self.config.check {
            host.command = Some(Box::new(RebootCommand { step: of, boot, does }));
        }
        if let Some(after) = after {
            self.push(after, Event::GoesDown { worker, boot, step: Some(of) });
        }
    }

    pub(in crate::sim) fn goes_down(&mut self, worker: WorkerIx, boot: u32, step: Option<StepIx>) {
        if self.world.host(worker).boot() != boot || !self.world.host(worker).is_up() {
            return;
        }
        self.world.goes_down(self.now, worker, step.is_some());
        let dark = self.config.check && self.durations.coin();
        self.world.host_mut(worker).dark = dark;
        if let Some(step) = step {
            *self.world.host_mut(worker).run_reboots.of(step) += 1;
        }
        let host = self.world.host_mut(worker);
        if host.dies {
            // For good, unless an operator goes there: after a day.
            host.dies = false;
            self.push(86_400_000, Event::ComesUp { worker, boot });
        } else {
            let after = self.takes("boot", 15_000, 90_000);
            self.push(after, Event::ComesUp { worker, boot });
        }
        self.breaks_connections(worker);
    }

    pub(in crate::sim) fn comes_up(&mut self, worker: WorkerIx, boot: u32) {
        let host = self.world.host(worker);
        if host.boot() != boot || host.is_up() {
            return;
        }
        self.world.comes_up(self.now, worker);
        if self.config.check && self.durations.per_mille(200) {
            // Its sshd is started once more while it boots.
            let from = self.now + self.durations.between(1_000, 9_000);
            let until = from + self.durations.between(500, 6_000);
            self.world.host_mut(worker).refuses = (from, until);
        }
        let host = self.world.host_mut(worker);
        if host.loops {
            host.loops = false;
            let boot = host.boot();
            self.push(4_000, Event::GoesDown { worker, boot, step: None });
        }
        self.wake(worker);
    }
}
