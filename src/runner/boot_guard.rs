//! Looks beside a step, so that a worker that boots by itself in its middle is noticed. When to look, and what a look
//! means, is decided by [`crate::boot::StepGuard`]; this file carries the looks out.

use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::boot::{LOST_LOOK_WITHIN, Next, PATIENT_LOOK, StepGuard};
use crate::controller::booted_by_itself;
use crate::engine::Outcome;
use crate::graph::TargetIx;
use crate::plan::{Step, StepKind};
use crate::ssh::Cancel;

use super::executor::{OutputSink, StepExecutor};
use super::probe;

/// Between two tries to end an operation that is for all workers.
const CUT_AGAIN: Duration = Duration::from_secs(1);

/// Most of the time it waits.
const STACK: usize = 512 * 1024;

/// The boot ids that this run has seen last.
pub(super) type BootIds = Mutex<HashMap<TargetIx, String>>;

impl StepExecutor {
    /// Carries out a step on a worker, and looks at the worker's boot meanwhile where a step of this kind may wait for a
    /// machine that is not there any more.
    pub(super) fn with_looks(
        &self,
        target: TargetIx,
        step: &Step,
        cancel: &Cancel,
        sink: &OutputSink,
        work: impl FnOnce(&Cancel, &OutputSink) -> Outcome,
    ) -> Outcome {
        let outcome = match self.guard_of(target).filter(|_| waits_for_the_worker(&step.kind)) {
            Some(guard) => self.guarded(target, step, guard, cancel, sink, work),
            None => work(cancel, sink),
        };
        if let Some(boot_id) = outcome.boot_seen() {
            self.remember_boot(target, boot_id);
        }
        outcome
    }

    fn guarded(
        &self,
        target: TargetIx,
        step: &Step,
        mut guard: StepGuard,
        cancel: &Cancel,
        sink: &OutputSink,
        work: impl FnOnce(&Cancel, &OutputSink) -> Outcome,
    ) -> Outcome {
        let began = Instant::now();
        let heard = Arc::new(Mutex::new(Duration::ZERO));
        let (noted, inner) = (Arc::clone(&heard), Arc::clone(sink));
        // One operation of the catalog may serve many workers: it is not cut for one of them, and what it says of
        // others shows nothing of this one.
        let is_shared = matches!(step.kind, StepKind::Deploy { .. });
        let own = self.host(target).clone();
        let listening: OutputSink = Arc::new(move |host, bytes| {
            if !is_shared || host == Some(&own) {
                *noted.lock().unwrap_or_else(PoisonError::into_inner) = began.elapsed();
            }
            inner(host, bytes);
        });
        // The step may be cut by what is seen, and a look by the end of the step: neither waits for the other.
        let (cut, looks) = (cancel.part(), cancel.part());
        let (done, ended) = channel::<()>();
        let every = guard.every();
        let (mut outcome, seen) = std::thread::scope(|scope| {
            let (heard, cut, looks_of_thread, guard) = (&heard, &cut, &looks, &mut guard);
            let watch = move || {
                loop {
                    let due = guard.due(*heard.lock().unwrap_or_else(PoisonError::into_inner));
                    let left = due.saturating_sub(began.elapsed());
                    if ended.recv_timeout(left) != Err(RecvTimeoutError::Timeout) {
                        return None;
                    }
                    if left.is_zero() {
                        let asked = began.elapsed();
                        let look = probe::probe(&self.access(target, looks_of_thread), PATIENT_LOOK);
                        let seen = guard.saw(asked, began.elapsed(), look);
                        if seen.is_some() && !is_shared {
                            cut.cancel();
                            return seen;
                        }
                        if seen.is_some() {
                            while !self.deployer.cut(self.host(target), every)
                                && ended.recv_timeout(CUT_AGAIN) == Err(RecvTimeoutError::Timeout)
                            {
                            }
                            return seen;
                        }
                    }
                }
            };
            let thread = std::thread::Builder::new().name("boot guard".into()).stack_size(STACK);
            // Without a thread there is no look: the step ends at its time-out.
            let watching = thread.spawn_scoped(scope, watch).ok();
            let outcome = work(cut, &listening);
            drop(done);
            looks.cancel();
            (outcome, watching.and_then(|watching| watching.join().unwrap_or_default()))
        });
        if let (Some(_), Outcome::Failed { error }) = (&seen, &mut outcome) {
            // It was cut before it had begun.
            error.message = format!("{} has booted by itself: {}", self.host(target), error.message);
        }
        let was_lost = matches!(outcome, Outcome::Unknown { .. } | Outcome::TimedOut { .. });
        if !was_lost || cancel.is_cancelled() {
            return outcome;
        }
        match seen.or_else(|| self.look_after_a_lost_answer(target, guard, began.elapsed(), cancel)) {
            Some(boot_id) => booted_by_itself(self.host(target).as_str(), boot_id),
            None => outcome,
        }
    }

    /// Until the worker answers, for a machine that boots is not there at first.
    fn look_after_a_lost_answer(
        &self,
        target: TargetIx,
        guard: StepGuard,
        after: Duration,
        cancel: &Cancel,
    ) -> Option<String> {
        let within = self.bucket.settings().timeout(LOST_LOOK_WITHIN);
        let (access, lost, since) = (self.access(target, cancel), guard.lost(after, within), Instant::now());
        let mut bound = PATIENT_LOOK;
        loop {
            let asked = since.elapsed();
            let look = probe::probe(&access, bound);
            match lost.next(asked, since.elapsed(), look) {
                Next::Done(seen) => return seen,
                Next::LookAgain { pause, bound: next } => {
                    bound = next;
                    if !access.pause(pause) {
                        return None;
                    }
                }
            }
        }
    }

    fn guard_of(&self, target: TargetIx) -> Option<StepGuard> {
        let known = self.boot_ids.lock().unwrap_or_else(PoisonError::into_inner).get(&target).cloned();
        known.map(|before| StepGuard::new(before, self.bucket.settings().time_scale()))
    }

    pub(super) fn remember_boot(&self, target: TargetIx, boot_id: &str) {
        self.boot_ids.lock().unwrap_or_else(PoisonError::into_inner).insert(target, boot_id.to_owned());
    }
}

/// Steps that ask a worker for something and wait for its answer; those that are about its boots look at them anyway.
fn waits_for_the_worker(kind: &StepKind) -> bool {
    kind.traits().reaches_worker && !matches!(kind, StepKind::Reboot { .. } | StepKind::WaitForSsh { .. })
}
