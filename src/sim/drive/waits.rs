//! What the first in line waits for, summed up over a run.

use super::Sim;
use crate::engine::{Millis, WorkerState};
use crate::graph::TargetIx;
use crate::policy::{Reason, Verdict};

impl Sim {
    /// What the first in line waits for until the next event.
    pub(super) fn note_wait(&mut self, passes: Millis) {
        let (Some(waits), Some(controller)) = (&mut self.waits, &self.controller) else { return };
        let rollout = controller.run();
        let count = self.graph.targets.len() as u32;
        while self.first_in_line < count
            && rollout.worker_state(TargetIx(self.first_in_line)) != WorkerState::Queued
        {
            self.first_in_line += 1;
        }
        if passes == 0 || self.first_in_line == count {
            return;
        }
        let why = match rollout.verdict(TargetIx(self.first_in_line), self.now) {
            Some(Verdict::Wait(reason) | Verdict::Refuse(reason)) => match reason {
                Reason::Wave { .. } => "wave",
                Reason::Concurrency { .. } => "concurrency",
                Reason::Spread { .. } => "spread",
                Reason::Budget { .. } => "budget",
                Reason::Observation { .. } => "observation",
                Reason::Window { .. } | Reason::Frozen { .. } | Reason::WindowTooShort { .. } => "window",
                Reason::Failures { .. } => "failures",
                Reason::Preparation { .. } => "preparation",
                Reason::Paused => "paused",
            },
            Some(Verdict::Admit) | None => "turn",
        };
        *waits.entry(why).or_default() += passes;
    }
}
