//! A stored run that is only looked at, while a controller may be at work on it.

use std::sync::Arc;

use crate::bucket::Bucket;
use crate::engine::{AttemptId, Stamped};
use crate::graph::RolloutGraph;
use crate::journal::{self, Holder, Journal, Location, Mark, Mode, Output, RunHeader, RunId};
use crate::report::{RunView, UndeliveredNotice};
use crate::runner::now;

use super::RunError;
use super::site::pick;
use super::stored::{compile_stored, empty_view, fold};

/// A stored run, open for reading.
pub struct RunReader {
    journal: Journal,
    /// Its name.
    pub id: RunId,
    /// What was fixed when it started.
    pub header: RunHeader,
    /// Compiled from that.
    pub graph: Arc<RolloutGraph>,
}

impl RunReader {
    /// Opens the run that `name` means: a name, the beginning or end of one, or (`None`) the newest. Makes no
    /// journal where there is none.
    ///
    /// # Errors
    /// There is no such run, or this program cannot read it.
    pub fn open(bucket: &Bucket, name: Option<&str>) -> Result<Self, RunError> {
        let journal = Location::of(bucket)?.open(Mode::ReadOnly)?;
        let id = journal.find(name)?;
        let header = journal.run(&id)?.header;
        let graph = compile_stored(&header)?;
        Ok(Self { journal, id, header, graph })
    }

    /// As [`Self::open`]; `None` means the unfinished run, if there is one.
    ///
    /// # Errors
    /// There is no such run, or this program cannot read it.
    pub fn open_unfinished(bucket: &Bucket, name: Option<&str>) -> Result<Self, RunError> {
        let id = pick(&Location::of(bucket)?.open(Mode::ReadOnly)?, name)?;
        Self::open(bucket, Some(id.as_str()))
    }

    /// The process that carries the run out now, if one does.
    pub fn controller(&self) -> Option<Holder> {
        controller_of(&self.journal, &self.id)
    }

    /// As [`Self::controller`], for whoever asks again and again.
    pub fn seen_controller(&self) -> Option<Holder> {
        let holder = self.journal.seen_holder().ok().flatten();
        holder.filter(|holder| holder.run.as_deref() == Some(self.id.as_str()))
    }

    /// The facts after the one with number `seq`, oldest first; 0: all of them.
    ///
    /// # Errors
    /// The journal cannot be read, or is damaged.
    pub fn facts_after(
        &self,
        seq: u64,
    ) -> Result<impl Iterator<Item = Result<Stamped, RunError>> + '_, RunError> {
        let facts = self.journal.read_after(&self.id, seq)?;
        Ok(facts.map(|fact| fact.map_err(RunError::Journal)))
    }

    /// A view with every fact of this moment, and the number of the newest.
    ///
    /// # Errors
    /// The journal is damaged, or its facts do not follow from one another.
    pub fn view(&self) -> Result<(RunView, u64), RunError> {
        let mut view = self.empty_view();
        let mut last = 0;
        for stamped in self.facts_after(0)? {
            let stamped = stamped?;
            last = stamped.seq;
            self.fold(&mut view, &stamped)?;
        }
        view.set_orphaned(self.controller().is_none());
        view.set_has_to_be_named(self.has_to_be_named()?);
        view.undelivered_notices = self.undelivered_notices()?;
        view.refresh(now());
        Ok((view, last))
    }

    /// Notices that were given up.
    fn undelivered_notices(&self) -> Result<Vec<UndeliveredNotice>, RunError> {
        let shown = |notice: journal::UndeliveredNotice| {
            let (seq, event) = notice.key;
            UndeliveredNotice { target: notice.target, event, seq, why: notice.why }
        };
        Ok(self.journal.undelivered_notices(&self.id)?.into_iter().map(shown).collect())
    }

    /// The mark of the newest fact, whose hash covers all of them.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn newest_mark(&self) -> Result<Option<Mark>, RunError> {
        Ok(self.journal.newest_mark(&self.id)?)
    }

    /// Adds a newer fact to a view.
    ///
    /// # Errors
    /// [`RunError::IllegalFact`].
    pub fn fold(&self, view: &mut RunView, stamped: &Stamped) -> Result<(), RunError> {
        fold(view, &self.id, stamped)
    }

    /// Whether commands that name no run mean another one.
    pub(super) fn has_to_be_named(&self) -> Result<bool, RunError> {
        Ok(pick(&self.journal, None)? != self.id)
    }

    /// A view of which no fact is known yet.
    pub(super) fn empty_view(&self) -> RunView {
        empty_view(&self.id, &self.header, &self.graph)
    }

    /// What was written during an attempt so far, by host.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn output(&self, attempt: AttemptId) -> Result<Vec<(String, Output)>, RunError> {
        self.journal.read_output(&self.id, attempt).map_err(RunError::Journal)
    }

    /// The same of so many hosts at most, and how many there are.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn some_output(
        &self,
        attempt: AttemptId,
        hosts: u32,
    ) -> Result<(Vec<(String, Output)>, usize), RunError> {
        let outputs = self.journal.read_output_of(&self.id, attempt, hosts)?;
        Ok((outputs, self.journal.count_outputs(&self.id, attempt)?))
    }
}

/// The journal of a bucket, for reading only, and the run in it that `name` means; `None`: the unfinished one, else the
/// newest.
///
/// # Errors
/// There is no such run.
pub fn open_run(bucket: &Bucket, name: Option<&str>) -> Result<(Journal, RunId), RunError> {
    let journal = Location::of(bucket)?.open(Mode::ReadOnly)?;
    let id = pick(&journal, name)?;
    Ok((journal, id))
}

/// The process that carries a run out now, if one does.
/// A server that cannot be asked does not know of one.
pub(super) fn controller_of(journal: &Journal, id: &RunId) -> Option<Holder> {
    let holder = journal.holder().ok().flatten();
    holder.filter(|holder| holder.run.as_deref() == Some(id.as_str()))
}
