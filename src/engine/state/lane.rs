//! One lane: a worker, or the run's own `before` or `after`.

use super::disabled::DisabledEntries;
use super::{Activity, RebootState, Revert, StepState, StepStatus, WorkerChart, WorkerEvent, WorkerState};
use crate::engine::{AttemptId, ErrorKind, Intent, Millis, StepError};
use crate::graph::StepIx;
use crate::plan::{Step, StepKind};

/// Whether anybody has met the worker in this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) enum Presence {
    /// It was there in preflight, or nobody has looked yet.
    #[default]
    Present,
    /// It did not answer in preflight, and nothing on it has succeeded since: it was down before the run.
    NeverSeen,
    /// It did not answer in preflight, and something on it has succeeded since.
    SeenLater,
    /// An operator had disabled it: it takes no part.
    LeftAlone,
}

/// All of one lane.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct LaneState {
    chart: WorkerChart,
    presence: Presence,
    /// How many attempts are in flight.
    in_flight: u32,
    steps: Box<[StepState]>,
    /// It is active with the steps of `prepare` alone.
    is_preparing: bool,
    admitted_at: Option<Millis>,
    /// An operator took it up again, and this wave waits for it instead of its own.
    retried_in: Option<u32>,
    /// The step that failed for good, and why.
    failed: Option<(StepIx, ErrorKind)>,
    error: Option<Box<StepError>>,
    disabled: DisabledEntries,
    revert: Option<Box<Revert>>,
}

impl LaneState {
    pub(in crate::engine) fn new(steps: &[Step], applies: impl Fn(usize) -> bool) -> Self {
        let state =
            |at: usize| StepState::new(applies(at), matches!(steps[at].kind, StepKind::Reboot { .. }));
        Self {
            chart: WorkerChart::new(),
            presence: Presence::default(),
            in_flight: 0,
            steps: (0..steps.len()).map(state).collect(),
            is_preparing: false,
            admitted_at: None,
            retried_in: None,
            failed: None,
            error: None,
            disabled: DisabledEntries::default(),
            revert: None,
        }
    }

    pub(in crate::engine) fn state(&self) -> WorkerState {
        self.chart.state()
    }

    /// `false`: the event may not happen in this state, and nothing has changed.
    #[must_use]
    pub(in crate::engine) fn handle(&mut self, event: WorkerEvent) -> bool {
        self.chart.handle(event)
    }

    /// Brings the chart in line with what the steps are doing.
    pub(in crate::engine) fn settle(&mut self, interrupted: bool) {
        if self.state().is_active() {
            let held = interrupted && self.is_at_rest();
            let event = if held { WorkerEvent::Held } else { WorkerEvent::Now(self.activity()) };
            // Every active state takes both.
            let taken = self.chart.handle(event);
            debug_assert!(taken, "an active lane takes {event:?}");
        }
    }

    /// What the steps, taken together, are doing.
    fn activity(&self) -> Activity {
        let any = |wanted: fn(&StepStatus) -> bool| self.steps.iter().any(|step| wanted(step.status()));
        if any(|s| matches!(s, StepStatus::Orphaned(_) | StepStatus::InDoubt(_))) {
            Activity::Resolving
        } else if any(|s| matches!(s, StepStatus::InFlight(_))) {
            Activity::Stepping
        } else if any(|s| matches!(s, StepStatus::BackingOff { .. })) {
            Activity::BackingOff
        } else if any(|s| matches!(s, StepStatus::Gated(_))) {
            Activity::Awaiting
        } else {
            Activity::Stepping
        }
    }

    /// Nothing is in flight.
    pub(in crate::engine) fn is_at_rest(&self) -> bool {
        self.in_flight == 0
    }

    pub(in crate::engine) fn has_step(&self, step: StepIx) -> bool {
        step.index() < self.steps.len()
    }

    pub(in crate::engine) fn step(&self, step: StepIx) -> &StepState {
        &self.steps[step.index()]
    }

    pub(in crate::engine) fn step_mut(&mut self, step: StepIx) -> &mut StepState {
        &mut self.steps[step.index()]
    }

    pub(in crate::engine) fn steps(&self) -> impl Iterator<Item = (StepIx, &StepState)> {
        self.steps.iter().zip(0..).map(|(step, at)| (StepIx(at), step))
    }

    pub(in crate::engine) fn all_satisfied(&self) -> bool {
        self.steps.iter().all(|step| step.status().satisfies())
    }

    pub(in crate::engine) fn is_preparing(&self) -> bool {
        self.is_preparing
    }

    pub(in crate::engine) fn set_preparing(&mut self, is_preparing: bool) {
        self.is_preparing = is_preparing;
    }

    /// The first `ahead` of its steps, those of `prepare`, have ended and let others begin.
    pub(in crate::engine) fn is_prepared(&self, ahead: usize) -> bool {
        self.steps[..ahead].iter().all(|step| step.status().satisfies())
    }

    pub(in crate::engine) fn presence(&self) -> Presence {
        self.presence
    }

    pub(in crate::engine) fn leave_alone(&mut self) {
        self.presence = Presence::LeftAlone;
    }

    pub(in crate::engine) fn does_not_answer(&mut self, error: &StepError) {
        self.presence = Presence::NeverSeen;
        self.error = Some(Box::new(error.clone()));
    }

    pub(in crate::engine) fn admit(&mut self, at: Millis) {
        self.admitted_at = Some(at);
    }

    /// How long it took until `at`; `None`: it was taken up again, and its time says nothing about others.
    pub(in crate::engine) fn took(&self, at: Millis) -> Option<Millis> {
        self.admitted_at.filter(|_| self.retried_in.is_none()).map(|admitted| at - admitted)
    }

    /// The wave that waits for it, where it is not its own.
    pub(in crate::engine) fn retried_in(&self) -> Option<u32> {
        self.retried_in
    }

    pub(in crate::engine) fn issue(&mut self, at: Millis, attempt: AttemptId, step: StepIx, intent: &Intent) {
        self.in_flight += 1;
        if !intent.is_undo() {
            self.steps[step.index()].issue(at, attempt, intent);
        } else if let Some(revert) = &mut self.revert {
            revert.issued(attempt);
        }
    }

    /// An attempt has its answer; `reached`: it came from the worker.
    pub(in crate::engine) fn answered(&mut self, reached: bool) {
        self.in_flight -= 1;
        if reached && self.presence == Presence::NeverSeen {
            self.presence = Presence::SeenLater;
        }
    }

    /// Nobody will answer an attempt.
    pub(in crate::engine) fn orphan(&mut self, attempt: AttemptId, step: StepIx, intent: &Intent) {
        self.in_flight -= 1;
        if !intent.is_undo() {
            let state = &mut self.steps[step.index()];
            if matches!(intent, Intent::PowerCycle { .. }) {
                state.wait_anew();
            }
            state.set(StepStatus::Orphaned(attempt));
        } else if let Some(revert) = &mut self.revert {
            revert.orphaned(intent);
        }
    }

    /// The step that failed first, and why.
    pub(in crate::engine) fn failed(&self) -> Option<(StepIx, ErrorKind)> {
        self.failed
    }

    pub(in crate::engine) fn error(&self) -> Option<&StepError> {
        self.error.as_deref()
    }

    /// A step has failed for good; the first one is what the lane fails with.
    pub(in crate::engine) fn fail_step(&mut self, step: StepIx, error: &StepError) {
        self.steps[step.index()].set(StepStatus::Failed);
        if self.failed.is_none() {
            self.failed = Some((step, error.kind));
            self.set_error(error);
        }
    }

    /// The worker has failed, if not with a step that is known.
    pub(in crate::engine) fn fail(&mut self, step: Option<StepIx>, error: &StepError) {
        self.failed = self.failed.or(step.map(|step| (step, error.kind)));
        self.set_error(error);
    }

    pub(in crate::engine) fn set_error(&mut self, error: &StepError) {
        self.error = Some(Box::new(error.clone()));
    }

    /// A failed step is pending again, with all its attempts.
    pub(in crate::engine) fn reset_failed_step(&mut self, step: StepIx) {
        self.steps[step.index()].reset();
        (self.failed, self.error) = (None, None);
    }

    /// A lane of the run itself goes through all of its steps again.
    pub(in crate::engine) fn begin_again(&mut self) {
        self.steps.iter_mut().for_each(StepState::reset);
        (self.failed, self.error) = (None, None);
    }

    /// An operator takes the worker up again, and `wave` waits for it.
    pub(in crate::engine) fn retry(&mut self, wave: u32) {
        for step in &mut self.steps {
            // What waited beside the failed step waits anew: its timer is gone, or long past, and a resume
            // looks at active workers alone.
            if matches!(
                step.status(),
                StepStatus::Gated(_) | StepStatus::BackingOff { .. } | StepStatus::Postponed
            ) {
                step.set(StepStatus::Pending);
            }
        }
        (self.failed, self.error) = (None, None);
        self.retried_in = Some(wave);
    }

    /// What was not done for a reason that is no worker's may be done now.
    pub(in crate::engine) fn resume(&mut self) {
        for step in &mut self.steps {
            if *step.status() == StepStatus::Postponed {
                step.set(StepStatus::Pending);
            }
        }
    }

    pub(in crate::engine) fn disabled(&self) -> &DisabledEntries {
        &self.disabled
    }

    pub(in crate::engine) fn disabled_mut(&mut self) -> &mut DisabledEntries {
        &mut self.disabled
    }

    pub(in crate::engine) fn revert(&self) -> Option<&Revert> {
        self.revert.as_deref()
    }

    pub(in crate::engine) fn revert_mut(&mut self) -> Option<&mut Revert> {
        self.revert.as_deref_mut()
    }

    pub(in crate::engine) fn start_revert(&mut self, revert: Revert) {
        self.revert = Some(Box::new(revert));
    }

    /// A reboot was issued whose new boot nobody has seen.
    pub(in crate::engine) fn has_unverified_reboot(&self) -> bool {
        self.steps.iter().filter_map(StepState::reboot).any(RebootState::is_unverified)
    }

    /// The reboot step whose boot `wait` waits for: the last one before it in the plan's order that
    /// was issued, with its state.
    pub(in crate::engine) fn awaited_reboot(
        &self,
        order: &[StepIx],
        wait: StepIx,
    ) -> Option<(StepIx, &RebootState)> {
        order
            .iter()
            .take_while(|step| **step != wait)
            .filter_map(|step| {
                let reboot = self.step(*step).reboot()?;
                reboot.issued_at().map(|_| (*step, reboot))
            })
            .last()
    }
}
