//! How far a run has come: steps that have ended, since when none has, and what the process that carries it out has
//! told besides facts.

use std::collections::HashMap;

use crate::engine::{AttemptId, Fact, Intent, LaneWait, Millis, PublicWorkerState, RunPhase, Stamped};
use crate::graph::{Lane, TargetIx};

use super::Time;
use super::derive::scope;
use super::event::{EVENT_SCHEMA, Event, EventLine};
use super::phase::{Phase, WaitPhase};
use super::view::{Once, RunView};

/// What is kept of that.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Steps of each worker that have ended; of one whose part is over all of them.
    ended: Vec<u32>,
    /// The sum of them.
    of_workers: u64,
    /// All steps of all workers.
    all: u64,
    /// When a step has ended last, or the run was resumed.
    at: Millis,
    /// How long nobody carried the run out.
    idle: Millis,
    last_at: Millis,
    last_seq: u64,
    phases: HashMap<TargetIx, Phase>,
    /// The step of `before` or `after` that was reached last.
    once: Option<Once>,
}

impl RunView {
    /// Whether all that is in flight in a lane only looks: there is nothing of it to be in doubt about.
    pub(super) fn only_looks(&self, lane: Lane) -> bool {
        let steps = self.graph().steps(lane);
        let mut of_lane = self.open_attempts.values().filter(|attempt| attempt.lane == lane);
        of_lane.all(|attempt| {
            matches!(attempt.intent, Intent::Do { .. }) && steps[attempt.step.index()].kind.only_looks()
        })
    }

    /// Nothing has ended.
    pub(super) fn begin_progress(&mut self) {
        let started_at = self.started_at.0;
        self.progress = Progress { at: started_at, last_at: started_at, ..Progress::default() };
        self.progress.ended = vec![0; self.workers.len()];
        for target in self.graph().target_indices().collect::<Vec<_>>() {
            let (_, of) = self.run_state.steps_done(Lane::Worker(target));
            self.workers[target.0 as usize].steps = of;
            self.progress.all += u64::from(of);
        }
    }

    /// Steps that have ended, and all there are. The steps of a worker whose part is over count as ended.
    pub fn progress(&self) -> (u64, u64) {
        let once = [Lane::Before, Lane::After].map(|lane| self.run_state.steps_done(lane));
        let (done, of) =
            once.iter().fold((0, 0), |(done, of), (d, o)| (done + u64::from(*d), of + u64::from(*o)));
        (self.progress.of_workers + done, self.progress.all + of)
    }

    /// When a step has ended last, or the run was started or resumed.
    pub(super) fn progressed_at(&self) -> Millis {
        self.progress.at
    }

    /// How long the run was carried out until [`Self::progressed_at`].
    pub(super) fn worked(&self) -> Millis {
        self.progress.at - self.started_at.0 - self.progress.idle
    }

    /// Whether no worker is started until somebody lets the run continue.
    pub(super) fn is_paused(&self) -> bool {
        self.run_state.paused().is_some() && !self.state.is_final()
    }

    /// How far the wait of a worker has come, as far as it was told.
    pub(super) fn phase(&self, target: TargetIx, at: Millis) -> Option<&Phase> {
        self.progress.phases.get(&target).filter(|phase| !phase.is_over(at))
    }

    /// The step of `before` or `after` that is under way.
    pub(super) fn once(&self) -> Option<Once> {
        let lane = match self.run_state.phase() {
            RunPhase::Before => Lane::Before,
            RunPhase::After => Lane::After,
            _ => return None,
        };
        let gated =
            matches!(self.run_state.lane_wait(lane), Some(LaneWait::Gate { .. } | LaneWait::Decision { .. }));
        self.progress.once.filter(|once| once.lane == lane && !gated)
    }

    pub(super) fn reach_once(&mut self, once: Once) {
        self.progress.once = Some(once);
    }

    /// Counts the steps of a worker anew.
    pub(super) fn count_steps(&mut self, target: TargetIx, state: PublicWorkerState) {
        let (done, of) = self.run_state.steps_done(Lane::Worker(target));
        let index = target.0 as usize;
        self.workers[index].steps_done = done;
        let ended = if state.is_active() || state == PublicWorkerState::Queued { done } else { of };
        let before = std::mem::replace(&mut self.progress.ended[index], ended);
        self.progress.of_workers = self.progress.of_workers + u64::from(ended) - u64::from(before);
    }

    /// A fact was taken; `before`: the steps that had ended before it.
    pub(super) fn note_progress(&mut self, stamped: &Stamped, before: u64) {
        let (now, _) = self.progress();
        let progress = &mut self.progress;
        match &stamped.fact {
            Fact::Resumed { fresh_process, .. } => {
                if *fresh_process {
                    progress.idle += (stamped.at - progress.last_at).max(0);
                    progress.phases.clear();
                }
                progress.at = stamped.at;
            }
            _ if now != before => progress.at = stamped.at,
            _ => {}
        }
        (progress.last_at, progress.last_seq) = (stamped.at, stamped.seq);
    }

    pub(super) fn end_phase(&mut self, lane: Lane) {
        if let Lane::Worker(target) = lane {
            self.progress.phases.remove(&target);
        }
    }

    /// Takes what the process that carries the run out knows of an attempt under way; the event of it, or `None`: the
    /// attempt is over, or nothing has changed.
    pub fn tell(&mut self, at: Millis, attempt: AttemptId, phase: WaitPhase) -> Option<EventLine> {
        let open = self.open_attempts.get(&attempt)?;
        let Lane::Worker(target) = open.lane else { return None };
        let event = Event::StepPhase {
            scope: scope(self.graph(), open.lane, open.step),
            attempt: open.attempt,
            phase: phase.name(),
            why: match &phase {
                WaitPhase::Answers { why } => Some(why.clone()),
                WaitPhase::Waits { r#for } => Some(r#for.clone()),
                _ => None,
            },
            until: match &phase {
                WaitPhase::Settling { until, .. } => Some(Time(*until)),
                _ => None,
            },
        };
        let before = self.progress.phases.insert(target, Phase { phase: phase.clone(), since: at });
        if before.is_some_and(|before| before.phase == phase) {
            return None;
        }
        let (run, seq) = (self.run.clone(), self.progress.last_seq);
        Some(EventLine { schema: EVENT_SCHEMA, run, seq, at: Time(at), event })
    }
}
