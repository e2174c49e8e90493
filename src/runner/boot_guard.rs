//! Looks beside a step: has the worker booted by itself (a panic, a reset, a power cut) while the step waits for it?
//!
//! Where the worker itself is asked, a reboot cuts the connection. A NAT, a jump host or a load balancer keeps it open,
//! and the step would wait for its whole time-out. So a connection that is silent gets a second one beside it from time to
//! time that reads the boot id, and so does a step whose answer was lost.

use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::boot::PATIENT_LOOK;
use crate::engine::Outcome;
use crate::graph::TargetIx;
use crate::plan::{Step, StepKind};
use crate::ssh::Cancel;

use super::executor::{OutputSink, StepExecutor};
use super::probe;

/// After so much silence, and again after as much.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// After a lost answer a worker that boots is looked for so long: what it shows decides whether an operator is asked.
const LOST_LOOK_WITHIN: Duration = Duration::from_secs(60);

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
        let before = self.boot_id(target).filter(|_| waits_for_the_worker(&step.kind));
        let outcome = match &before {
            Some(before) => self.guarded(target, step, before, cancel, sink, work),
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
        before: &str,
        cancel: &Cancel,
        sink: &OutputSink,
        work: impl FnOnce(&Cancel, &OutputSink) -> Outcome,
    ) -> Outcome {
        let heard = Arc::new(Mutex::new(Instant::now()));
        let (noted, inner) = (Arc::clone(&heard), Arc::clone(sink));
        // One operation of the catalog may serve many workers: it is not cut for one of them, and what it says of
        // others shows nothing of this one.
        let is_shared = matches!(step.kind, StepKind::Deploy { .. });
        let own = self.host(target).clone();
        let listening: OutputSink = Arc::new(move |host, bytes| {
            if !is_shared || host == Some(&own) {
                *noted.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            }
            inner(host, bytes);
        });
        // The step may be cut by what is seen, and a look by the end of the step: neither waits for the other.
        let (cut, looks) = (cancel.part(), cancel.part());
        let (done, ended) = channel::<()>();
        let (outcome, seen) = std::thread::scope(|scope| {
            let (heard, cut, looks_of_thread) = (&heard, &cut, &looks);
            let watch = move || {
                let pause = LOOK_EVERY / self.bucket.settings().time_scale();
                let mut looked = Instant::now();
                loop {
                    let silent_since = *heard.lock().unwrap_or_else(PoisonError::into_inner);
                    let left = pause.saturating_sub(silent_since.max(looked).elapsed());
                    if ended.recv_timeout(left) != Err(RecvTimeoutError::Timeout) {
                        return None;
                    }
                    if left.is_zero() {
                        let seen = self.another_boot(target, before, looks_of_thread);
                        looked = Instant::now();
                        if seen.is_some() && !is_shared {
                            cut.cancel();
                            return seen;
                        }
                        if seen.is_some() {
                            while !self.deployer.cut(self.host(target), pause)
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
        let was_lost = matches!(outcome, Outcome::Unknown { .. } | Outcome::TimedOut { .. });
        if !was_lost || cancel.is_cancelled() {
            return outcome;
        }
        match seen.or_else(|| self.look_after_a_lost_answer(target, before, cancel)) {
            Some(boot_id) => Outcome::Unknown {
                why: format!(
                    "{} has booted by itself meanwhile: what the step had begun there is not running any more",
                    self.host(target)
                ),
                boot_id: Some(boot_id),
            },
            None => outcome,
        }
    }

    /// Another boot than `before`, where the worker shows one now.
    fn another_boot(&self, target: TargetIx, before: &str, cancel: &Cancel) -> Option<String> {
        let look = probe::probe(&self.access(target, cancel), PATIENT_LOOK).ok()?;
        (look.boot_id != before).then_some(look.boot_id)
    }

    /// Until the worker answers, for a machine that boots is not there at first.
    fn look_after_a_lost_answer(&self, target: TargetIx, before: &str, cancel: &Cancel) -> Option<String> {
        let access = self.access(target, cancel);
        let until = Instant::now() + LOST_LOOK_WITHIN / self.bucket.settings().time_scale();
        loop {
            if let Ok(look) = probe::probe(&access, PATIENT_LOOK) {
                return (look.boot_id != before).then_some(look.boot_id);
            }
            if Instant::now() >= until || !access.pause(Duration::from_secs(1)) {
                return None;
            }
        }
    }

    fn boot_id(&self, target: TargetIx) -> Option<String> {
        self.boot_ids.lock().unwrap_or_else(PoisonError::into_inner).get(&target).cloned()
    }

    pub(super) fn remember_boot(&self, target: TargetIx, boot_id: &str) {
        self.boot_ids.lock().unwrap_or_else(PoisonError::into_inner).insert(target, boot_id.to_owned());
    }
}

/// Steps that ask a worker for something and wait for its answer; those that are about its boots look at them anyway.
fn waits_for_the_worker(kind: &StepKind) -> bool {
    kind.traits().reaches_worker && !matches!(kind, StepKind::Reboot { .. } | StepKind::WaitForSsh { .. })
}
