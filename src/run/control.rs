//! Requests of an operator about a run: to the process that carries it out, or, where there is none, facts
//! that this process records itself.

use std::time::{Duration, Instant};

use crate::engine::{Control, Fact, Options, RunStatus};
use crate::journal::{Journal, RequestState, RunId};
use crate::runner::now;

use super::site::pick;
use super::stored::Stored;
use super::take_up::facts_of_request;
use super::{Run, RunError, Site};

/// The controller looks for requests twice a second; one that is busy with its disk may take longer.
const TAKEN_WITHIN: Duration = Duration::from_secs(15);

/// Between two looks at what became of a request.
const POLL: Duration = Duration::from_millis(50);

/// What became of a request.
#[must_use = "a run that is to be ended is not ended before it is carried out"]
pub enum Controlled {
    /// The process that carries the run out has taken it.
    Taken(RunId),
    /// No process carries the run out: it is recorded.
    Recorded {
        /// The run.
        run: RunId,
        /// It has ended, and still has; else it holds when the run is resumed.
        ended: bool,
    },
    /// No process carries the run out, and this one has to: an abort may have workers to put back.
    ToCarryOut(Box<Run>),
}

impl Run {
    /// Pauses, aborts, approves, retries or skips for `by`, who is recorded with it. `name` is a run's name, or
    /// its beginning or end; `None`: the unfinished one. Waits until a living controller has answered, for some
    /// seconds at most.
    ///
    /// # Errors
    /// [`RunError::Refused`] where it is not possible now, [`RunError::NoAnswer`]; and what keeps the journal from
    /// being used.
    pub fn control(site: &Site, name: Option<&str>, verb: Control, by: &str) -> Result<Controlled, RunError> {
        Self::control_as(site, name, verb, (by, true))
    }

    /// As [`Self::control`], by a process that carries no run out: never [`Controlled::ToCarryOut`].
    ///
    /// # Errors
    /// Those of [`Self::control`], and [`RunError::NoController`] for what a controller would have to begin now: an
    /// abort, and what lets the run continue. Nothing has changed then.
    pub fn control_from_outside(
        site: &Site,
        name: Option<&str>,
        verb: Control,
        by: &str,
    ) -> Result<Controlled, RunError> {
        Self::control_as(site, name, verb, (by, false))
    }

    fn control_as(
        site: &Site,
        name: Option<&str>,
        verb: Control,
        (by, may_carry_out): (&str, bool),
    ) -> Result<Controlled, RunError> {
        let mut journal = site.journal_of_runs()?;
        let id = pick(&journal, name)?;
        if let Some(holder) = journal.holder()? {
            if holder.run.is_none() && holder.operation.is_some() {
                // It takes no requests: it has no run.
                return Err(RunError::Locked(Box::new(holder)));
            }
            let request = journal.request(&id, &verb, by, now())?;
            return wait_until_taken(&journal, request, id);
        }
        let lock = site.lock(Some(&id))?;
        let mut stored = Stored::load(&journal, id)?;
        let mut state = stored.replay(Options::default())?;
        let at = now();
        let request = (at, &verb, by);
        let mut facts = facts_of_request(&journal, &site.bucket, &stored.id, &mut state, request)?;
        let has_work = matches!(verb, Control::Abort { .. } | Control::Resume | Control::Stop);
        if has_work && !may_carry_out {
            return Err(RunError::NoController(stored.id));
        }
        if matches!(verb, Control::Abort { .. }) {
            stored.epoch = journal.raise_epoch(&stored.id)?;
            facts.push(Fact::Resumed { by: by.to_owned(), fresh_process: true, bundle: None });
            let run = Self::continued(site, journal, lock, stored, facts)?;
            return Ok(Controlled::ToCarryOut(Box::new(run)));
        }
        let mut writer = journal.writer(&stored.id, stored.epoch, stored.last_seq())?;
        writer.append(at, &facts, None)?;
        lock.give_back();
        let ended = matches!(state.status(), RunStatus::Finished(_));
        Ok(Controlled::Recorded { run: stored.id, ended })
    }
}

fn wait_until_taken(journal: &Journal, request: i64, run: RunId) -> Result<Controlled, RunError> {
    let until = Instant::now() + TAKEN_WITHIN;
    loop {
        match journal.request_state(request)? {
            RequestState::Taken => return Ok(Controlled::Taken(run)),
            RequestState::Refused(why) => return Err(RunError::Refused(why)),
            RequestState::Pending if Instant::now() < until => std::thread::sleep(POLL),
            RequestState::Pending => return Err(RunError::NoAnswer(run)),
        }
    }
}
