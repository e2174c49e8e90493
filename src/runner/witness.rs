//! Workers as witnesses of the journal: each keeps the mark of the newest fact that it has heard of (see
//! `FENCE` in `src/ssh/group.rs`).
//!
//! A process that resumes a run compares it with the facts that it has read, once per worker and before it changes
//! anything there. A worker that knows another fact has seen a journal that is not this one: it was put back from an
//! older copy, or the bucket was copied and the run was continued in both. To continue would do again what was done.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::boot::EXCHANGE;
use crate::bucket::Host;
use crate::engine::{ErrorKind, Intent, StepError};
use crate::graph::TargetIx;
use crate::journal::Marks;
use crate::plan::Step;
use crate::ssh::Cancel;

use super::access::ScriptError;
use super::executor::StepExecutor;

/// Run, epoch, number and hash of the newest fact that the worker has heard of.
const READ_MARK: &str = r#"[ ! -f "$MAAND_STATE_DIR/epoch" ] || head -c 300 "$MAAND_STATE_DIR/epoch""#;

/// A connection that breaks while it is asked is no answer.
const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_millis(500);

/// Facts from before this process, and who has been asked about them.
#[derive(Debug)]
pub(super) struct Witnesses {
    /// `None`: this process has begun the run, and nobody can know more.
    marks: Option<Marks>,
    /// Marks that this process may have sent itself.
    own: Mutex<HashSet<String>>,
    agree: Mutex<BTreeSet<Host>>,
}

impl Witnesses {
    pub(super) fn new(marks: Option<Marks>) -> Self {
        Self { marks, own: Mutex::default(), agree: Mutex::default() }
    }

    /// Scripts carry this mark from now on.
    pub(super) fn sends(&self, mark: &str) {
        if self.marks.is_some() {
            self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(mark.to_owned());
        }
    }

    fn has_sent(&self, seq: &str, chain: &str) -> bool {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).contains(&format!("{seq} {chain}"))
    }

    fn agrees(&self, host: &Host) -> bool {
        self.agree.lock().unwrap_or_else(PoisonError::into_inner).contains(host)
    }

    fn remember(&self, host: &Host) {
        self.agree.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone());
    }
}

impl StepExecutor {
    /// Asks a worker, before this process changes anything there for the first time, whether the journal has the
    /// newest fact that the worker has heard of.
    ///
    /// # Errors
    /// [`ErrorKind::JournalBehind`] where it has not; else why the worker cannot be asked.
    pub(super) fn journal_knows(
        &self,
        target: TargetIx,
        intent: &Intent,
        step: &Step,
        cancel: &Cancel,
    ) -> Result<(), StepError> {
        let Some(marks) = &self.witnesses.marks else { return Ok(()) };
        let host = self.host(target);
        let changes = match (intent, &step.kind) {
            (Intent::ReadBootId | Intent::AwaitBoot { .. }, _) => false,
            // The worker is away, and nothing on it is changed by the order itself.
            (Intent::PowerCycle { .. }, _) => false,
            (_, kind) => kind.traits().reaches_worker && kind.traits().touches,
        };
        if !changes || self.witnesses.agrees(host) {
            return Ok(());
        }
        let access = self.access(target, cancel);
        let script = access.script("read the mark", READ_MARK, EXCHANGE);
        let mut tries = 1;
        let kept = loop {
            match access.run(&script, Instant::now() + EXCHANGE) {
                Ok(kept) => break kept,
                // A worker on its way down or up cannot be asked; its receipt says whether it was rebooted.
                Err(_) if matches!(intent, Intent::Reboot { .. }) => return Ok(()),
                // Nothing of the step was sent, so a connection that breaks costs no attempt.
                Err(ScriptError::Unknown(_)) if tries < TRIES && access.pause(BETWEEN_TRIES) => tries += 1,
                Err(error) => return Err(error.into_error(host, "reading the mark")),
            }
        };
        let mut words = kept.split_whitespace();
        if let (Some(run), Some(_epoch), Some(seq), Some(chain)) =
            (words.next(), words.next(), words.next(), words.next())
            && run == self.run
            && !marks.include(seq, chain)
            && !self.witnesses.has_sent(seq, chain)
        {
            let message = format!(
                "{host} has heard of a fact of this run that the journal does not have (number {}; the journal ends at \
                 {}): facts were lost",
                crate::ssh::visible(seq.as_bytes()),
                marks.count()
            );
            return Err(StepError::new(ErrorKind::JournalBehind, message));
        }
        self.witnesses.remember(host);
        Ok(())
    }
}
