//! The vocabulary of facts: what is known to have happened in a run.
//!
//! The journal is the list of these, append-only and numbered without gaps, and the only source of
//! state. A fact is never changed; new kinds may be added, old ones must always load. This module
//! must not know how facts come to be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bucket::{JobIx, WorkerIx};
use crate::graph::{Lane, StepIx, TargetIx};

use super::{GatePlace, GateStanding, Intent, Outcome, StepError};

/// Milliseconds since 1970-01-01 UTC, by the controller's clock.
pub type Millis = i64;

/// One try of one step (or of one undo); unique within a run, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub u64);

/// A fact with its place in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    /// From 1, without gaps.
    pub seq: u64,
    /// When the controller learnt it.
    pub at: Millis,
    /// The controller that wrote it: raised with each process that takes the run up, never lowered.
    pub epoch: u64,
    /// What has happened.
    pub fact: Fact,
}

/// Something that is known to have happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Fact {
    /// The first fact of a run.
    RunStarted {
        /// How many workers were selected.
        workers: u32,
        /// [`crate::graph::RolloutGraph::hash`] of what is run.
        graph_hash: String,
        /// Jitter is drawn from it, so that a replay draws the same.
        seed: u64,
    },
    /// Every selected worker was looked at before anything was issued.
    Preflight {
        /// One entry for each target, in order.
        checks: Vec<Check>,
    },
    /// One round of observation of these jobs: every enabled allocation of them is well, except the
    /// listed ones.
    Observed {
        /// The jobs of the round, on all workers that have an enabled allocation.
        jobs: Vec<JobIx>,
        /// Allocations that were unhealthy, or could not be seen.
        unavailable: Vec<(WorkerIx, JobIx)>,
        /// So long ago the round began, in milliseconds: what it saw is as old as that.
        #[serde(default)]
        took: Millis,
    },
    /// The same, written as what the list of [`Fact::Observed`] would have more and less than the list of the last
    /// round of each job (before the first: an empty one), where that is shorter. What stays down for the whole of a
    /// run is written once, so that a wide run with budgets is no longer than what happens in it.
    ObservedChanges {
        /// The jobs of the round, on all workers that have an enabled allocation.
        jobs: Vec<JobIx>,
        /// Allocations that the list has now, ascending.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        added: Vec<(WorkerIx, JobIx)>,
        /// Allocations that it has no longer, ascending: they were seen well, or are on a worker that is down by the
        /// run and is not looked at.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        removed: Vec<(WorkerIx, JobIx)>,
        /// So long ago the round began, in milliseconds: what it saw is as old as that.
        took: Millis,
    },
    /// The steps of `before` have all ended well.
    BeforeDone,
    /// A worker begins the steps of `prepare`. Nothing of it is down, and no limit of the rollout counts it.
    PrepareStarted {
        /// The first worker in the order of the run that is not prepared.
        target: TargetIx,
    },
    /// All steps of `prepare` have ended well on a worker; it is queued for the others.
    WorkerPrepared {
        /// A worker that was being prepared.
        target: TargetIx,
    },
    /// This wave may begin.
    WaveStarted {
        /// From 0.
        wave: u32,
    },
    /// A worker begins its steps: from now on it counts against concurrency and budgets.
    WorkerAdmitted {
        /// The first worker in line that all limits allow.
        target: TargetIx,
    },
    /// An effect that touches the world is about to be carried out.
    Issued {
        /// The number by which its outcome refers to it: one more than that of the attempt before.
        attempt: AttemptId,
        /// The lane of the step: the run's own, or a worker's.
        lane: Lane,
        /// The step.
        step: StepIx,
        /// What is to be done, with everything that a repeat must do alike.
        intent: Intent,
    },
    /// An attempt has ended. Facts about attempts that nobody waits for any more are kept and change nothing.
    Finished {
        /// The attempt's number, from its `Issued`.
        attempt: AttemptId,
        /// What is known of it.
        outcome: Outcome,
    },
    /// A failed attempt will be followed by another.
    RetryScheduled {
        /// The lane of the step: the run's own, or a worker's.
        lane: Lane,
        /// The step.
        step: StepIx,
        /// When the next attempt may begin: now, the back-off and its jitter.
        due: Millis,
        /// The reboot step that is entered again, with the same boot id to compare, since the reboot did not
        /// happen; `None`: only the failed step itself is.
        #[serde(rename = "rearm")]
        reissue: Option<StepIx>,
    },
    /// A `pause` or `approve` step was reached.
    GateClosed {
        /// The lane of the step: the run's own, or a worker's.
        lane: Lane,
        /// The step.
        step: StepIx,
        /// When it opens by itself; `None`: an operator opens it.
        opens: Option<Millis>,
        /// When waiting for an operator ends in failure; `None`: never.
        expires: Option<Millis>,
    },
    /// A timer that the engine asked for has fired.
    Due {
        /// What was waited for.
        timer: Timer,
    },
    /// An operator has approved a gate.
    Approved {
        /// The lane of the step: the run's own, or a worker's.
        lane: Lane,
        /// The step.
        step: StepIx,
        /// The operator, `user@host`.
        by: String,
    },
    /// A step has failed for good and its `on_failure` says to ignore that.
    StepIgnored {
        /// The lane of the step: the run's own, or a worker's.
        lane: Lane,
        /// The step.
        step: StepIx,
        /// The error of its last attempt.
        error: StepError,
    },
    /// A step has failed for good.
    StepFailed {
        /// The lane of the step: the run's own, or a worker's.
        lane: Lane,
        /// The step.
        step: StepIx,
        /// The error of its last attempt.
        error: StepError,
    },
    /// It cannot be found out by looking whether a command ran: an operator has to decide.
    InDoubt {
        /// The attempt whose answer was lost.
        attempt: AttemptId,
    },
    /// An attempt whose answer was lost is settled.
    InDoubtResolved {
        /// The attempt that was in doubt.
        attempt: AttemptId,
        /// What is taken for its outcome.
        how: Resolution,
    },
    /// All steps of a worker have ended well.
    WorkerSucceeded {
        /// A worker that was active.
        target: TargetIx,
    },
    /// A worker has failed; it stays as it is, and down.
    WorkerFailed {
        /// The worker, which enters the failure ledger.
        target: TargetIx,
        /// The step that failed; `None`: it failed before its first, as when preflight does not reach it.
        step: Option<StepIx>,
        /// The first error that made it fail.
        error: StepError,
    },
    /// A failed worker's steps are being undone.
    RevertStarted {
        /// The worker, which stays active until the revert has ended.
        target: TargetIx,
    },
    /// A failed worker is as it was before the run.
    WorkerReverted {
        /// The worker, which enters the failure ledger and is no longer down.
        target: TargetIx,
    },
    /// Undoing failed: the worker stays as it is, and listed.
    RevertStuck {
        /// The worker, which enters the failure ledger.
        target: TargetIx,
        /// The error of the last undo.
        error: StepError,
    },
    /// A wave's workers have all ended.
    WaveFinished {
        /// From 0.
        wave: u32,
        /// When the next may begin (now, when there is no soak).
        soak_until: Millis,
    },
    /// The gates of a place have come to something else than what was known of them.
    GateMeasured {
        /// Where they stand.
        place: GatePlace,
        /// What they come to.
        standing: GateStanding,
        /// What was measured, in words.
        says: String,
    },
    /// No worker is admitted until an operator resumes the run.
    Paused {
        /// The operator, `user@host`, or what else paused it.
        by: String,
        /// For the operator who finds it paused.
        reason: String,
    },
    /// A signal: steps in flight are finished, no further one is issued.
    Interrupted {
        /// The signal's name, or the operator who asked for the stop.
        by: String,
    },
    /// A controller continues the run.
    Resumed {
        /// The operator, `user@host`.
        by: String,
        /// Nothing of an earlier controller is in flight any more: attempts without an outcome are
        /// in doubt.
        fresh_process: bool,
        /// The run came to this journal in a bundle: SHA-256 of its content, in hexadecimal digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bundle: Option<String>,
    },
    /// The run cannot continue by itself.
    Halted {
        /// What an operator has to settle before it can.
        reason: HaltReason,
    },
    /// An operator lets a failed worker continue at its failed step.
    Retried {
        /// The worker, which leaves the failure ledger and queues again.
        target: TargetIx,
        /// The operator, `user@host`.
        by: String,
    },
    /// An operator takes a run up again whose rollout had come to its end: its last wave opens once more, for these
    /// workers, inside of `before` and `after`. Nothing begins before it is resumed.
    Reopened {
        /// Workers that had failed or were skipped; each is retried.
        targets: Vec<TargetIx>,
        /// Workers whose entries an operator has removed from `disabled.json` since: nothing there is the run's own
        /// any more.
        enabled: Vec<TargetIx>,
        /// The operator, `user@host`.
        by: String,
    },
    /// An operator takes a worker out of the failure ledger; it stays down.
    Skipped {
        /// A worker that had failed or had not started.
        target: TargetIx,
        /// The operator, `user@host`.
        by: String,
    },
    /// An operator ends the run for good.
    Aborted {
        /// The operator, `user@host`.
        by: String,
        /// Workers that were started are reverted first.
        revert: bool,
    },
    /// A worker takes no further part in an aborted run.
    WorkerCancelled {
        /// The worker, as it is: what was begun on it is not undone.
        target: TargetIx,
    },
    /// What became of a worker's silence in the monitoring system. It changes nothing of the run.
    Silence {
        /// The worker that is expected to be down, or was.
        target: TargetIx,
        /// What is known of its silence.
        event: SilenceEvent,
    },
    /// The last fact of a run, unless it is reopened; answers that come late may follow, and ends of silences.
    RunFinished {
        /// What its workers come to.
        end: RunEnd,
    },
}

impl Fact {
    /// Whether it may come after the run's last fact: what an operator may still do, and what is heard late and changes
    /// nothing.
    pub fn may_follow_the_end(&self) -> bool {
        matches!(
            self,
            Self::Finished { .. } | Self::Reopened { .. } | Self::Skipped { .. } | Self::Silence { .. }
        )
    }
}

/// What became of a silence. That it was extended is no event, unless a failure was told before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum SilenceEvent {
    /// There is one now, from now on.
    Created {
        /// As the monitoring system calls it.
        id: String,
        /// When it ends, unless it is extended.
        until: Millis,
    },
    /// After a failure it is extended again.
    Extended {
        /// As the monitoring system calls it.
        id: String,
        /// When it ends, unless it is extended.
        until: Millis,
    },
    /// It could not be created or extended, and is tried again; further failures are not told.
    Failed {
        /// What kept it from being so, in one sentence.
        why: String,
    },
    /// It is not extended any more.
    Ending {
        /// When it ends.
        until: Millis,
        /// The worker is still down: the plan lets no silence last longer.
        at_most: bool,
    },
}

/// What preflight found on one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Check {
    /// It answers and has what the plan needs.
    Ready {
        /// Its boot id then.
        boot_id: String,
        /// The folder on the worker for claims, receipts and locks.
        state_dir: String,
    },
    /// It does not.
    Unreachable {
        /// What kept it from being looked at, or what it lacks.
        error: StepError,
    },
    /// An operator has disabled it: it is left alone.
    LeftAlone {
        /// For the operator: where it is disabled.
        reason: String,
    },
}

/// How an attempt in doubt was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Repeating it does no harm: it is issued again.
    Repeat,
    /// The operator says: run it again.
    Rerun,
    /// The operator says: it was done.
    Done,
    /// The operator says: continue without it.
    Skip,
}

/// What an operator says of attempts in doubt when a run is resumed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoubtAnswers {
    /// Of these workers'.
    pub of: BTreeMap<TargetIx, Resolution>,
    /// Of all others; `None`: they stay undecided.
    pub others: Option<Resolution>,
}

impl DoubtAnswers {
    /// How an attempt of this lane is to be settled; `None`: nothing was said of it.
    pub fn of(&self, lane: Lane) -> Option<Resolution> {
        match lane {
            Lane::Worker(target) => self.of.get(&target).copied().or(self.others),
            Lane::Before | Lane::After => self.others,
        }
    }
}

impl From<Option<Resolution>> for DoubtAnswers {
    fn from(others: Option<Resolution>) -> Self {
        Self { of: BTreeMap::new(), others }
    }
}

/// A timer of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "timer", rename_all = "snake_case")]
pub enum Timer {
    /// The next attempt of a step.
    Retry {
        /// The lane of the step: the run's own, or a worker's.
        lane: Lane,
        /// The step.
        step: StepIx,
    },
    /// A gate opens by itself, or its wait for an operator expires.
    Gate {
        /// The lane of the step: the run's own, or a worker's.
        lane: Lane,
        /// The step.
        step: StepIx,
    },
    /// The soak after this wave is over.
    Soak {
        /// From 0.
        wave: u32,
    },
    /// Admission is asked again (a window opens, or jobs are looked at again).
    Admission,
}

/// Why a run cannot continue by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "halted", rename_all = "snake_case")]
pub enum HaltReason {
    /// More workers failed than the plan allows.
    TooManyFailures {
        /// Workers in the failure ledger.
        failed: u32,
        /// `max_failures`, resolved.
        allowed: u32,
    },
    /// A step of `before` or `after` failed.
    LaneFailed {
        /// `before` or `after`.
        lane: Lane,
        /// The step.
        step: StepIx,
        /// The error of its last attempt.
        error: StepError,
    },
    /// A gate of the rollout failed, or said nothing for too long.
    GateFailed {
        /// Where it stands.
        place: GatePlace,
        /// What was measured, in words.
        says: String,
    },
    /// No worker is active, and none can ever be admitted as things stand.
    NobodyAdmissible {
        /// The first worker in line.
        target: TargetIx,
        /// The limit that keeps it from starting.
        reason: String,
    },
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// All workers succeeded.
    Succeeded,
    /// It went to its end, and some worker failed, was skipped, or was left disabled.
    Failed,
    /// An operator ended it.
    Aborted,
}
