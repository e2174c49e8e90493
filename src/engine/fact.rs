//! The vocabulary of facts: what is known to have happened in a run.
//!
//! The journal is the list of these, append-only and numbered without gaps, and the only source of
//! state. A fact is never changed; new kinds may be added, old ones must always load. This module
//! must not know how facts come to be.

use serde::{Deserialize, Serialize};

use crate::bucket::{JobIx, WorkerIx};
use crate::graph::{Lane, StepIx, TargetIx};

use super::StepError;

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
    /// When it was learnt.
    pub at: Millis,
    /// Which controller wrote it; goes up with each take-over, never down.
    pub epoch: u64,
    /// What.
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
        /// Which jobs were looked at, everywhere.
        jobs: Vec<JobIx>,
        /// What was not well, or could not be seen.
        unavailable: Vec<(WorkerIx, JobIx)>,
        /// So long ago the round began, in milliseconds: what it saw is as old as that.
        #[serde(default)]
        took: Millis,
    },
    /// The steps of `before` have all ended well.
    BeforeDone,
    /// This wave may begin.
    WaveStarted {
        /// From 0.
        wave: u32,
    },
    /// A worker starts.
    WorkerAdmitted {
        /// Which.
        target: TargetIx,
    },
    /// An effect that touches the world is about to be carried out.
    Issued {
        /// Its number.
        attempt: AttemptId,
        /// Whose.
        lane: Lane,
        /// Index of the step in its lane's list.
        step: StepIx,
        /// What for, with everything that a repeat must do alike.
        intent: Intent,
    },
    /// What came of it. Facts about attempts that are no longer awaited are kept and change nothing.
    Finished {
        /// Which.
        attempt: AttemptId,
        /// How.
        outcome: Outcome,
    },
    /// A failed attempt will be followed by another.
    RetryScheduled {
        /// Whose.
        lane: Lane,
        /// Which step.
        step: StepIx,
        /// When.
        due: Millis,
        /// The reboot did not happen: its step is entered again, with the same boot id to compare.
        #[serde(rename = "rearm")]
        reissue: Option<StepIx>,
    },
    /// A `pause` or `approve` step was reached.
    GateClosed {
        /// Whose.
        lane: Lane,
        /// Which step.
        step: StepIx,
        /// When it opens by itself; `None`: a person opens it.
        opens: Option<Millis>,
        /// When waiting for a person ends in failure; `None`: never.
        expires: Option<Millis>,
    },
    /// A timer that the engine asked for has fired.
    Due {
        /// Which.
        timer: Timer,
    },
    /// A person has approved a gate.
    Approved {
        /// Whose.
        lane: Lane,
        /// Which step.
        step: StepIx,
        /// Who.
        by: String,
    },
    /// A step has failed for good and its `on_failure` says to ignore that.
    StepIgnored {
        /// Whose.
        lane: Lane,
        /// Which step.
        step: StepIx,
        /// Why it failed.
        error: StepError,
    },
    /// A step has failed for good.
    StepFailed {
        /// Whose.
        lane: Lane,
        /// Which step.
        step: StepIx,
        /// Why.
        error: StepError,
    },
    /// It cannot be found out by looking whether a command ran: a person has to decide.
    InDoubt {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// An attempt whose answer was lost is settled.
    InDoubtResolved {
        /// Which attempt.
        attempt: AttemptId,
        /// How.
        how: Resolution,
    },
    /// All steps of a worker have ended well.
    WorkerSucceeded {
        /// Which.
        target: TargetIx,
    },
    /// A worker has failed; it stays as it is, and down.
    WorkerFailed {
        /// Which.
        target: TargetIx,
        /// The step, where it was one.
        step: Option<StepIx>,
        /// Why.
        error: StepError,
    },
    /// A failed worker's steps are being undone.
    RevertStarted {
        /// Which.
        target: TargetIx,
    },
    /// A failed worker is as it was before the run.
    WorkerReverted {
        /// Which.
        target: TargetIx,
    },
    /// Undoing failed: the worker stays as it is, and listed.
    RevertStuck {
        /// Which.
        target: TargetIx,
        /// Why.
        error: StepError,
    },
    /// A wave's workers have all ended.
    WaveFinished {
        /// From 0.
        wave: u32,
        /// When the next may begin (now, when there is no soak).
        soak_until: Millis,
    },
    /// Nobody is admitted until somebody resumes the run.
    Paused {
        /// Who or what.
        by: String,
        /// Why.
        reason: String,
    },
    /// A signal: steps in flight are finished, no further one is issued.
    Interrupted {
        /// Which signal, or who.
        by: String,
    },
    /// A controller goes on with the run.
    Resumed {
        /// Who.
        by: String,
        /// Nothing of an earlier controller is in flight any more: attempts without an outcome are
        /// in doubt.
        fresh_process: bool,
    },
    /// The run cannot go on by itself.
    Halted {
        /// Why.
        reason: HaltReason,
    },
    /// A person lets a failed worker continue at its failed step.
    Retried {
        /// Which.
        target: TargetIx,
        /// Who.
        by: String,
    },
    /// A person takes a worker out of the failure ledger; it stays down.
    Skipped {
        /// Which.
        target: TargetIx,
        /// Who.
        by: String,
    },
    /// A person ends the run for good.
    Aborted {
        /// Who.
        by: String,
        /// Workers that were started are reverted first.
        revert: bool,
    },
    /// A worker takes no further part in an aborted run.
    WorkerCancelled {
        /// Which.
        target: TargetIx,
    },
    /// The last fact of a run.
    RunFinished {
        /// How it ended.
        end: RunEnd,
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
        /// Why.
        error: StepError,
    },
    /// A person has disabled it: it is left alone.
    LeftAlone {
        /// Why.
        reason: String,
    },
}

/// What an attempt is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "purpose", rename_all = "snake_case")]
pub enum Intent {
    /// Read the boot id that a reboot step will be compared with.
    ReadBootId,
    /// Do the step.
    Do {
        /// An earlier attempt may have done some of it.
        repeat: bool,
    },
    /// Compare-and-reboot.
    Reboot {
        /// B0: reboot only while the worker has this boot id.
        boot_id: String,
        /// Counts how often the step was entered again because the reboot did not happen; receipts
        /// of lower ones are void.
        generation: u32,
    },
    /// Wait until the worker is back.
    AwaitBoot {
        /// It must have another boot id than this; `None`: any boot will do.
        not: Option<String>,
        /// The reboot step that is waited for.
        reboot_step: Option<StepIx>,
        /// When that step's last attempt was issued.
        reboot_issued: Option<Millis>,
    },
    /// Undo: remove this run's entries of the worker from `disabled.json`.
    UndoEnable,
    /// Undo: deploy the worker.
    UndoDeploy,
    /// Undo: start what a `stop` step had stopped.
    UndoStop,
    /// Undo: the command that the step names.
    UndoCommand,
}

impl Intent {
    /// Whether it belongs to a revert.
    pub fn is_undo(&self) -> bool {
        matches!(self, Self::UndoEnable | Self::UndoDeploy | Self::UndoStop | Self::UndoCommand)
    }
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was seen to be done.
    Ok {
        /// What was seen.
        evidence: Evidence,
    },
    /// It is known not to be done.
    Failed {
        /// Why.
        error: StepError,
    },
    /// It was sent, and the answer was lost.
    Unknown {
        /// Why.
        why: String,
    },
    /// It took longer than its time-out.
    TimedOut {
        /// The time-out, in milliseconds.
        after: Millis,
        /// What was under way.
        doing: String,
    },
    /// Nothing was done, and no worker is to blame: a build failed, a lock is held, the workspace has
    /// changed. The run pauses.
    NotDone {
        /// Why.
        reason: String,
    },
}

/// What was seen of a success.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "seen", rename_all = "snake_case")]
pub enum Evidence {
    /// In words.
    Said {
        /// One line for people.
        text: String,
    },
    /// A boot id.
    BootId {
        /// As read.
        boot_id: String,
    },
    /// Nothing had to be done (`unless` said so).
    NotNeeded,
    /// `disabled.json` has the entries; these are this run's own.
    Disabled {
        /// The worker itself (`None`) or a job on it.
        own: Vec<Option<String>>,
        /// Entries that a person had put there already.
        others: Vec<Option<String>>,
    },
    /// A boot id other than B0 was seen.
    Rebooted {
        /// The new one.
        boot_id: String,
    },
    /// The worker has gone away; only `wait_for_ssh` turns this into a verified reboot.
    Departed,
    /// The worker is back and has stayed so through the settle time.
    Back {
        /// Its boot id.
        boot_id: String,
    },
}

/// How an attempt in doubt was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Repeating it does no harm: it is issued again.
    Repeat,
    /// A person says: run it again.
    Rerun,
    /// A person says: it was done.
    Done,
    /// A person says: go on without it.
    Skip,
}

/// A timer of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "timer", rename_all = "snake_case")]
pub enum Timer {
    /// The next attempt of a step.
    Retry {
        /// Whose.
        lane: Lane,
        /// Which step.
        step: StepIx,
    },
    /// A gate opens by itself, or its wait for a person expires.
    Gate {
        /// Whose.
        lane: Lane,
        /// Which step.
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

/// Why a run cannot go on by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "halted", rename_all = "snake_case")]
pub enum HaltReason {
    /// More workers failed than the plan allows.
    TooManyFailures {
        /// How many.
        failed: u32,
        /// How many are allowed.
        allowed: u32,
    },
    /// A step of `before` or `after` failed.
    LaneFailed {
        /// Which list.
        lane: Lane,
        /// Which step.
        step: StepIx,
        /// Why.
        error: StepError,
    },
    /// Nobody is active, and nobody can ever be admitted as things stand.
    NobodyAdmissible {
        /// The first worker in line.
        target: TargetIx,
        /// Why it cannot start, in words.
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
    /// A person ended it.
    Aborted,
}
