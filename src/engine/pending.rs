//! What this process still has to do: what to look at next, and what it has asked for already. It is no part
//! of what is known of the run; another process that reads the same facts begins with an empty one.

use std::collections::{BTreeSet, VecDeque};

use super::Millis;
use crate::graph::{Lane, RolloutGraph, TargetIx};
use crate::policy::{Admission, Conditions, Pick, Queue};

/// Between two looks at jobs that hold everybody back: an operator who fixes a peer sees the run continue
/// within this time, and a fleet is not flooded with probes.
pub(super) const RECHECK_JOBS_MS: Millis = 10_000;

/// The work that is pending in one process.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Lanes to look at, the most urgent first.
    agenda: VecDeque<Lane>,
    /// Lanes that wait until no worker is rebooting, and those that wait until no catalog operation is under
    /// way or waits itself, or for their turn to be drained.
    blocked_catalog: BTreeSet<Lane>,
    blocked_reboot: BTreeSet<Lane>,
    /// Queued workers, arranged for the question who is next; it counts how often whom was passed over.
    queue: Queue,
    /// When the queue was last asked and had nobody to start, and nothing that it looks at has changed
    /// since. In a wide rollout most facts change nothing for those who wait.
    queue_checked_at: Option<Millis>,
    /// Since when nobody is active and nobody can be admitted.
    blocked_since: Option<Millis>,
    observing: bool,
    /// When the admission timer that is set fires.
    admission_due: Option<Millis>,
    /// A worker could start, and the guard has not said lately that it may.
    guard_asked: bool,
}

impl Pending {
    pub(super) fn new(graph: &RolloutGraph, admission: &Admission) -> Self {
        Self {
            agenda: VecDeque::new(),
            blocked_catalog: BTreeSet::new(),
            blocked_reboot: BTreeSet::new(),
            queue: Queue::new(graph, admission),
            queue_checked_at: None,
            blocked_since: None,
            observing: false,
            admission_due: None,
            guard_asked: false,
        }
    }

    /// The lane has changed: something may follow in it.
    pub(super) fn look_at(&mut self, lane: Lane) {
        self.agenda.push_back(lane);
    }

    pub(super) fn next_lane(&self) -> Option<Lane> {
        self.agenda.front().copied()
    }

    /// Nothing more follows in [`Self::next_lane`].
    pub(super) fn lane_is_done(&mut self) {
        self.agenda.pop_front();
    }

    pub(super) fn clear_agenda(&mut self) {
        self.agenda.clear();
    }

    pub(super) fn block_catalog(&mut self, lane: Lane) {
        self.blocked_catalog.insert(lane);
    }

    pub(super) fn block_reboot(&mut self, lane: Lane) {
        self.blocked_reboot.insert(lane);
    }

    pub(super) fn any_blocked_catalog(&self) -> bool {
        !self.blocked_catalog.is_empty()
    }

    /// Lanes that were held back by the exclusion of catalog operations and reboots are looked at again.
    pub(super) fn wake_blocked(&mut self) {
        // Operations first: a reboot that this very fact lets begin has to find them waiting.
        for lane in std::mem::take(&mut self.blocked_catalog).into_iter().rev() {
            self.agenda.push_front(lane);
        }
        self.agenda.extend(std::mem::take(&mut self.blocked_reboot));
    }

    /// A worker is queued again.
    pub(super) fn enqueue(&mut self, target: TargetIx) {
        self.queue.push(target);
        self.patience_begins_anew();
    }

    pub(super) fn dequeue(&mut self, target: TargetIx) {
        self.queue.remove(target);
    }

    /// A worker has ended, in whatever way: others may continue.
    pub(super) fn worker_ended(&mut self, target: TargetIx) {
        self.blocked_catalog.remove(&Lane::Worker(target));
        self.blocked_reboot.remove(&Lane::Worker(target));
        self.patience_begins_anew();
        self.wake_blocked();
    }

    pub(super) fn patience_begins_anew(&mut self) {
        self.blocked_since = None;
    }

    /// Since when nobody can be admitted, if not since now.
    pub(super) fn blocked_since(&mut self, at: Millis) -> Millis {
        *self.blocked_since.get_or_insert(at)
    }

    /// The queue may answer otherwise than before.
    pub(super) fn queue_has_changed(&mut self) {
        self.queue_checked_at = None;
    }

    /// Whether it was asked lately and nothing that it looks at has changed since.
    pub(super) fn queue_was_checked(&self, at: Millis) -> bool {
        self.queue_checked_at.is_some_and(|asked| at - asked < RECHECK_JOBS_MS)
    }

    /// Who is next.
    pub(super) fn pick(&mut self, admission: &Admission, at: Millis, conditions: &Conditions) -> Pick {
        let pick = self.queue.pick(admission, at, conditions);
        self.queue_checked_at = (!matches!(pick, Pick::Admit(_))).then_some(at);
        pick
    }

    pub(super) fn passed_over(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        self.queue.passed_over()
    }

    pub(super) fn waits_for_health(
        &self,
        admission: &Admission,
        at: Millis,
        conditions: &Conditions,
    ) -> bool {
        self.queue.waits_for_health(admission, at, conditions)
    }

    /// An observation is to begin; `false`: one is under way.
    pub(super) fn observe(&mut self) -> bool {
        !std::mem::replace(&mut self.observing, true)
    }

    pub(super) fn observed(&mut self) {
        self.observing = false;
    }

    pub(super) fn is_observing(&self) -> bool {
        self.observing
    }

    /// The admission timer is to fire then; `false`: one is set that fires no later.
    pub(super) fn ask_again(&mut self, due: Millis) -> bool {
        let sooner = self.admission_due.is_none_or(|set| set > due);
        if sooner {
            self.admission_due = Some(due);
        }
        sooner
    }

    pub(super) fn admission_timer_fired(&mut self) {
        self.admission_due = None;
    }

    pub(super) fn admission_timer_is_set(&self) -> bool {
        self.admission_due.is_some()
    }

    /// Whether the queue as a whole may start nobody, whatever the guard says.
    pub(super) fn queue_is_held(&self, admission: &Admission, at: Millis, conditions: &Conditions) -> bool {
        self.queue.is_held(admission, at, conditions)
    }

    pub(super) fn ask_guard(&mut self, asked: bool) {
        self.guard_asked = asked;
    }

    pub(super) fn guard_is_asked(&self) -> bool {
        self.guard_asked
    }

    /// What the controller before this one had asked for will not come.
    pub(super) fn begin_anew(&mut self) {
        (self.observing, self.admission_due, self.guard_asked) = (false, None, false);
    }
}
