//! What kept workers from being started: what the next in line waited for, and the window.

use super::TimelineFold;
use crate::engine::{Millis, RunPhase, WorkerState};
use crate::policy::Verdict;
use crate::policy::window::{self, Schedule};
use crate::timeline::{QueueWait, WaitKind};

/// Of a window with more openings than this during a run the others are left out.
const OPENINGS: usize = 400;

impl TimelineFold {
    /// When the window was open during the run.
    pub(super) fn window(&self) -> Option<Vec<(Millis, Millis)>> {
        let schedule = Schedule::of(self.state.graph())?.ok()?;
        let (mut at, until) = (self.timeline.began, self.timeline.until);
        let mut open = Vec::new();
        while at <= until && open.len() < OPENINGS {
            if let Some(left) = window::left(&schedule, at) {
                open.push((at, (at + left).min(until)));
            }
            match window::next_opening(&schedule, at) {
                Some(next) if next > at => at = next,
                _ => break,
            }
        }
        Some(open)
    }

    /// What the next worker in line waits for from now on.
    pub(super) fn note_queue(&mut self, at: Millis) {
        if let Some(wait) = self.timeline.waits.last_mut().filter(|_| self.is_waiting) {
            wait.to = at;
        }
        self.is_waiting = false;
        let starts = matches!(self.state.phase(), RunPhase::Preparing | RunPhase::Rolling);
        if !starts || self.state.is_interrupted() {
            return;
        }
        let Some(first) = self.queued.first().copied() else { return };
        if self.state.worker_state(first) != WorkerState::Queued {
            self.queued.remove(&first);
            return;
        }
        let Some(Verdict::Wait(reason) | Verdict::Refuse(reason)) = self.state.verdict(first, at) else {
            return;
        };
        let kind = WaitKind::of(&reason);
        self.is_waiting = true;
        match self.timeline.waits.last() {
            Some(wait) if wait.kind == kind && wait.to == at => {}
            _ => {
                let reason = reason.describe(self.state.graph());
                self.timeline.waits.push(QueueWait { from: at, to: at, kind, reason });
            }
        }
    }
}
