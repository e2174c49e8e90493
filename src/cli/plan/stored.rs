//! A stored run, opened again: its journal, and its graph compiled from what the run itself keeps.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::{CliError, Context};
use super::session::compile_stored;
use crate::bucket::Bucket;
use crate::engine::RuleViolation;
use crate::graph::RolloutGraph;
use crate::journal::{self, Holder, Journal, Mode, RunId, StoredRun};
use crate::plan::Problem;
use crate::report::{RunInfo, RunView};

/// A run of the bucket that the context leads to.
pub(in crate::cli) struct Stored {
    /// The bucket's `data` folder.
    pub(in crate::cli) data: PathBuf,
    /// Open as asked for.
    pub(in crate::cli) journal: Journal,
    /// What was fixed when it started.
    pub(in crate::cli) run: StoredRun,
    /// Compiled from that.
    pub(in crate::cli) graph: Arc<RolloutGraph>,
}

impl Stored {
    /// Opens the run that `name` means: a name, the beginning or end of one, or (`None`) the newest.
    ///
    /// # Errors
    /// No bucket, no such run, or one that this program can not read.
    pub(in crate::cli) fn open(name: Option<&str>, mode: Mode, context: &Context) -> Result<Self, CliError> {
        let data = Bucket::find(context.bucket.as_deref())?.paths().data.clone();
        // Looking for a run makes no journal.
        let journal = Journal::open(&data, Mode::ReadOnly)?;
        let id = journal.find(name)?;
        let journal = if mode == Mode::ReadOnly { journal } else { Journal::open(&data, mode)? };
        let run = journal.run(&id)?;
        let graph = compile_stored(&run.header)?;
        Ok(Self { data, journal, run, graph })
    }

    /// The process that carries this run out now, if one does.
    pub(in crate::cli) fn holder(&self) -> Option<Holder> {
        holder(&self.data, &self.run.id)
    }

    /// A view with every fact of this moment, and the number of the newest.
    ///
    /// # Errors
    /// The facts are damaged, or do not follow from one another.
    pub(in crate::cli) fn view(&self) -> Result<(RunView, u64), Problem> {
        let info = RunInfo { run: self.run.id.to_string(), started_at: self.run.header.started_at };
        let mut view = RunView::new(info, self.graph.clone());
        let mut last = 0;
        for stamped in self.journal.read(&self.run.id)? {
            let stamped = stamped?;
            view.fold(&stamped).map_err(|illegal| impossible(&self.run.id, stamped.seq, &illegal))?;
            last = stamped.seq;
        }
        view.set_orphaned(self.holder().is_none());
        Ok((view, last))
    }
}

/// The process that carries a run out now, if one does.
pub(in crate::cli) fn holder(data: &std::path::Path, id: &RunId) -> Option<Holder> {
    journal::holder_of(data).filter(|holder| holder.run.as_deref() == Some(id.as_str()))
}

/// A stored fact breaks a rule of the engine: the journal is intact, so the programs differ.
pub(in crate::cli) fn impossible(id: &RunId, seq: u64, illegal: &RuleViolation) -> Problem {
    Problem::error("maand::run::illegal_fact", format!("run {id}: fact {seq} can not be: {illegal}"))
        .help("it was written by another version of maand, or this is a bug; use the version that wrote it")
}
