//! The steps of one lane: what each is doing, and what is known of the worker.
//!
//! Bookkeeping only: which change is legal is decided in `evolve`, what follows in `decide`. What is rare is
//! boxed: every fact looks at all steps of its lane, and with tens of thousands of workers under way the
//! cost of that is the number of cache lines.

use crate::plan::{CommandStep, Step, StepKind};

use super::chart::{Activity, Chart};
use super::{AttemptId, ErrorKind, Intent, Millis, StepError};

/// What one step is doing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Status {
    /// Not issued, or to be issued again.
    Pending,
    /// Issued.
    InFlight(AttemptId),
    /// An attempt ended badly, and what follows is not decided yet.
    Ended(Box<Ended>),
    /// Issued by a controller that is gone.
    Orphaned(AttemptId),
    /// A person has to say whether it ran.
    InDoubt(AttemptId),
    /// To be issued again then.
    BackingOff { due: Millis },
    /// Waits for its time, or for a person.
    Gated(Box<Gate>),
    /// Nothing was done and no worker is to blame: issued again when the run is resumed.
    Postponed,
    /// Ended well.
    Done,
    /// Its `when` does not hold here, or a person said to go on without it.
    Skipped,
    /// Failed, and `on_failure: ignore`.
    Ignored,
    /// Failed for good.
    Failed,
}

/// An attempt that ended badly.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ended {
    pub(super) attempt: AttemptId,
    pub(super) error: StepError,
    /// Whether it was done is not known.
    pub(super) unknown: bool,
}

/// What a step waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gate {
    /// Its time; `None`: a person.
    pub(super) opens: Option<Millis>,
    pub(super) expires: Option<Millis>,
}

impl Status {
    /// The gate that a person has to open.
    pub(super) fn waits_for_a_person(&self) -> Option<&Gate> {
        match self {
            Self::Gated(gate) => Some(&**gate).filter(|gate| gate.opens.is_none()),
            _ => None,
        }
    }

    /// Whether steps that need this one may run.
    pub(super) fn satisfies(&self) -> bool {
        matches!(self, Self::Done | Self::Skipped | Self::Ignored)
    }
}

/// One step of a lane.
#[derive(Clone, Debug)]
pub(super) struct StepState {
    pub(super) status: Status,
    /// Attempts that were spent since the start or the last retry by a person.
    pub(super) tries: u32,
    /// Unknown outcomes that were looked at again without spending an attempt.
    pub(super) rechecks: u8,
    /// It was issued at least once: it may have changed something.
    pub(super) was_issued: bool,
    /// Of a reboot step.
    pub(super) reboot: Option<Box<RebootState>>,
}

/// What is known of a reboot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RebootState {
    /// B0, read once.
    pub(super) boot_id: Option<String>,
    pub(super) generation: u32,
    /// How often it was issued.
    pub(super) issues: u32,
    /// When it was last issued.
    pub(super) issued_at: Option<Millis>,
    pub(super) seen: RebootSeen,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum RebootSeen {
    /// Nothing yet.
    #[default]
    Nothing,
    /// `unless` said that none is needed.
    NotNeeded,
    /// The worker went away.
    Departed,
    /// Another boot id than B0 was seen.
    Verified(String),
}

impl RebootState {
    /// Issued, and neither verified nor found needless: nothing but waiting may follow.
    pub(super) fn is_unverified(&self) -> bool {
        self.issued_at.is_some() && !matches!(self.seen, RebootSeen::NotNeeded | RebootSeen::Verified(_))
    }
}

/// One undo, in the order in which they are carried out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Undo {
    pub(super) step: u32,
    pub(super) intent: Intent,
}

/// A revert that is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Revert {
    /// What is still to be done; the first is next.
    pub(super) todo: std::collections::VecDeque<Undo>,
    pub(super) in_flight: Option<AttemptId>,
    /// Tries of the first entry.
    pub(super) tries: u32,
    pub(super) error: Option<StepError>,
}

/// All of one lane.
pub(super) struct LaneState {
    pub(super) chart: Chart,
    pub(super) steps: Box<[StepState]>,
    pub(super) admitted_at: Option<Millis>,
    /// Taken up again by a person: the time that it took says nothing about others.
    pub(super) retried: bool,
    /// The wave that waits for it; `None`: its own. A retry is waited for by the wave that is open.
    pub(super) counted_in: Option<u32>,
    /// The step that failed for good, and why.
    pub(super) failed: Option<(u32, ErrorKind)>,
    pub(super) error: Option<Box<StepError>>,
    /// Entries of `disabled.json` that are this run's own: the worker (`None`) or jobs on it.
    pub(super) own_disabled: Vec<Option<String>>,
    /// A disable was issued and its outcome is not known to be undone.
    pub(super) maybe_disabled: bool,
    pub(super) revert: Option<Box<Revert>>,
    /// In the failure ledger.
    pub(super) counted_failed: bool,
    /// Never admitted: it did not answer in preflight.
    pub(super) unreachable: bool,
    /// Something on the worker has succeeded in this run: it was there.
    pub(super) answered: bool,
    /// Left alone because a person had disabled it.
    pub(super) left_alone: bool,
    /// How many attempts are in flight.
    pub(super) in_flight: u32,
}

impl LaneState {
    pub(super) fn new(steps: &[Step], applies: impl Fn(usize) -> bool) -> Self {
        let steps = (0..steps.len())
            .map(|at| StepState {
                status: if applies(at) { Status::Pending } else { Status::Skipped },
                tries: 0,
                rechecks: 0,
                was_issued: false,
                reboot: matches!(steps[at].kind, StepKind::Reboot { .. }).then(Box::<RebootState>::default),
            })
            .collect();
        Self {
            chart: Chart::new(),
            steps,
            admitted_at: None,
            retried: false,
            counted_in: None,
            failed: None,
            error: None,
            own_disabled: Vec::new(),
            maybe_disabled: false,
            revert: None,
            counted_failed: false,
            unreachable: false,
            answered: false,
            left_alone: false,
            in_flight: 0,
        }
    }

    /// What the steps, taken together, are doing.
    pub(super) fn activity(&self) -> Activity {
        let any = |wanted: fn(&Status) -> bool| self.steps.iter().any(|step| wanted(&step.status));
        if any(|s| matches!(s, Status::Orphaned(_) | Status::InDoubt(_))) {
            Activity::Resolving
        } else if any(|s| matches!(s, Status::InFlight(_))) {
            Activity::Stepping
        } else if any(|s| matches!(s, Status::BackingOff { .. })) {
            Activity::BackingOff
        } else if any(|s| matches!(s, Status::Gated(_))) {
            Activity::Awaiting
        } else {
            Activity::Stepping
        }
    }

    pub(super) fn all_satisfied(&self) -> bool {
        self.steps.iter().all(|step| step.status.satisfies())
    }

    /// Whether this run may have left entries of this worker in `disabled.json`.
    pub(super) fn is_left_disabled(&self) -> bool {
        self.maybe_disabled || !self.own_disabled.is_empty()
    }

    /// A reboot was issued whose new boot nobody has seen.
    pub(super) fn has_unverified_reboot(&self) -> bool {
        self.steps.iter().filter_map(|step| step.reboot.as_deref()).any(RebootState::is_unverified)
    }

    /// The reboot step whose boot `wait` waits for: the last one before it in the plan's order that
    /// was issued, with its state.
    pub(super) fn awaited_reboot(&self, order: &[u32], wait: u32) -> Option<(u32, &RebootState)> {
        order
            .iter()
            .take_while(|step| **step != wait)
            .filter_map(|step| {
                let reboot = self.steps[*step as usize].reboot.as_deref()?;
                reboot.issued_at.map(|_| (*step, reboot))
            })
            .last()
    }
}

/// Whether the step may be carried out again when it is not known whether it was.
pub(super) fn may_repeat(kind: &StepKind) -> bool {
    match kind {
        StepKind::Run(command) | StepKind::Local(command) => command_may_repeat(command),
        _ => true,
    }
}

fn command_may_repeat(command: &CommandStep) -> bool {
    command.idempotent || command.unless.is_some()
}

/// Whether the step, when it times out, may still be changing something on the worker.
pub(super) fn touches(kind: &StepKind) -> bool {
    !matches!(
        kind,
        StepKind::WaitForSsh { .. }
            | StepKind::Health { .. }
            | StepKind::Pause { .. }
            | StepKind::Approve { .. }
    )
}

/// Whether a success of this attempt shows that the worker is there.
pub(super) fn reaches_worker(kind: &StepKind, intent: &Intent) -> bool {
    match intent {
        Intent::UndoEnable => false,
        Intent::UndoDeploy | Intent::UndoStop => true,
        _ => !matches!(
            kind,
            StepKind::Disable { .. }
                | StepKind::Enable
                | StepKind::Build
                | StepKind::Local(_)
                | StepKind::Pause { .. }
                | StepKind::Approve { .. }
        ),
    }
}

/// The operations that an engine which contacts every worker can not do while one is down.
pub(super) fn is_catalog_operation(kind: &StepKind) -> bool {
    matches!(
        kind,
        StepKind::Deploy { .. } | StepKind::Job { .. } | StepKind::Health { .. } | StepKind::SyncCheck { .. }
    )
}
