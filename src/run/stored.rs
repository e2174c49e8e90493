//! A run as the journal has it, and its state rebuilt from that alone.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::{Check, Fact, Millis, Options, RunState, Stamped};
use crate::graph::{self, CompileOptions, RolloutGraph, TargetIx};
use crate::journal::{Journal, RunHeader, RunId};
use crate::plan::{self, Source};
use crate::report::{RunInfo, RunView};
use crate::runner::WorkspaceState;

use super::RunError;

/// A stored run with all its facts.
pub(super) struct Stored {
    pub(super) id: RunId,
    pub(super) epoch: u64,
    pub(super) header: RunHeader,
    pub(super) graph: Arc<RolloutGraph>,
    pub(super) facts: Vec<Stamped>,
}

impl Stored {
    /// Reads a run and compiles its plan again.
    pub(super) fn load(journal: &Journal, id: RunId) -> Result<Self, RunError> {
        let stored = journal.run(&id)?;
        let graph = compile_stored(&stored.header)?;
        let facts = journal.read(&id).and_then(|facts| facts.collect::<Result<Vec<_>, _>>())?;
        Ok(Self { id, epoch: stored.epoch, header: stored.header, graph, facts })
    }

    /// The state of the run.
    pub(super) fn replay(&self, options: Options) -> Result<RunState, RunError> {
        self.replay_and(options, |_, _| {})
    }

    /// As [`Stored::replay`]; `see` is shown the state after each fact, with the fact's time.
    pub(super) fn replay_and(
        &self,
        options: Options,
        mut see: impl FnMut(Millis, &RunState),
    ) -> Result<RunState, RunError> {
        let mut state = RunState::new(Arc::clone(&self.graph), options);
        for stamped in &self.facts {
            state.replay(stamped.at, &stamped.fact).map_err(|violation| RunError::IllegalFact {
                run: self.id.clone(),
                seq: stamped.seq,
                violation,
            })?;
            see(stamped.at, &state);
        }
        Ok(state)
    }

    /// The view of the run.
    pub(super) fn view(&self) -> Result<RunView, RunError> {
        let mut view = empty_view(&self.id, &self.header, &self.graph);
        self.facts.iter().try_for_each(|stamped| fold(&mut view, &self.id, stamped))?;
        Ok(view)
    }

    /// The number of its newest fact.
    pub(super) fn last_seq(&self) -> u64 {
        self.facts.last().map_or(0, |stamped| stamped.seq)
    }

    /// The folder on each worker that preflight fixed for claims and receipts.
    pub(super) fn state_dirs(&self) -> HashMap<TargetIx, String> {
        let mut found = HashMap::new();
        for stamped in &self.facts {
            if let Fact::Preflight { checks } = &stamped.fact {
                for (at, check) in (0..).zip(checks) {
                    if let Check::Ready { state_dir, .. } = check {
                        found.insert(TargetIx(at), state_dir.clone());
                    }
                }
            }
        }
        found
    }
}

/// The workspace that a run began with.
pub(super) fn workspace_then(header: &RunHeader) -> WorkspaceState {
    WorkspaceState { hash: header.workspace_hash.clone(), files: header.workspace_files.clone() }
}

/// A view without a fact.
pub(super) fn empty_view(id: &RunId, header: &RunHeader, graph: &Arc<RolloutGraph>) -> RunView {
    RunView::new(RunInfo { run: id.to_string(), started_at: header.started_at }, Arc::clone(graph))
}

/// Adds a stored fact to a view.
pub(super) fn fold(view: &mut RunView, id: &RunId, stamped: &Stamped) -> Result<(), RunError> {
    view.fold(stamped).map_err(|violation| RunError::IllegalFact {
        run: id.clone(),
        seq: stamped.seq,
        violation,
    })
}

/// Compiles a stored plan for its stored fleet.
///
/// # Errors
/// [`RunError::OtherVersion`] where that is not the graph that the run began with.
pub fn compile_stored(header: &RunHeader) -> Result<Arc<RolloutGraph>, RunError> {
    let source = Source::new(header.plan_file.clone(), header.plan_text.clone());
    let plan = plan::parse(&source, &header.overrides)?;
    let options = CompileOptions { workers: header.only_workers.clone(), files: header.scripts.clone() };
    let graph = graph::compile(&Arc::new(plan), &Arc::new(header.fleet.clone()), &options)?;
    if graph.hash() != header.graph_hash {
        return Err(RunError::OtherVersion { program: header.program.clone() });
    }
    Ok(Arc::new(graph))
}
