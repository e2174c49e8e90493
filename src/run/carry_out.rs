//! Carries a run out: the only file of this room that builds the controller and what stands behind it.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::bucket::Bucket;
use crate::controller::Ended;
use crate::engine::{Fact, RunEnd, RunPhase, RunState, RunStatus};
use crate::graph::{Lane, RolloutGraph, StepIx, TargetIx};
use crate::journal::{JournalError, Mark, OutputWriter, RunId, RunLock, TellOfOutages, UndeliveredNotice};
use crate::report::{Outlook, Reporter, RunView};
use crate::runner::{
    LoopError, Returns, RunLoop, RunLoopParts, SilencerParts, StepExecutor, StepExecutorParts,
    WorkspaceState, end_commands_of, now,
};
use crate::ssh::Cancel;

use super::connector::Connected;
use super::left_behind::{LeftBehind, left_behind};
use super::preflight::Looked;
use super::stored::{empty_view, fold};
use super::take_up::own_entries;
use super::{Run, RunError};

/// Nobody who waits for the end of a run waits longer than this for its last notices.
const LAST_NOTICES: Duration = Duration::from_secs(10);

/// How a process takes part in the run that it carries out.
pub struct RunOptions {
    /// Shows what happens.
    pub reporter: Box<dyn Reporter>,
    /// An operator watches: the process waits while gates are closed. Else it ends, and the run can be resumed after
    /// an approval.
    pub interactive: bool,
    /// SIGINT, SIGTERM and SIGHUP are for the run: the first lets the steps in flight finish, the second stops at
    /// once (a terminal that closes says so once, however many signals that makes). They no longer end the process
    /// by themselves then.
    pub stop_on_signals: bool,
    /// A program that calls [`crate::os::guard_command`] when [`crate::os::COMMAND_GUARD`] is its first argument, as
    /// `maand` does: with it, commands of `local` steps end when this process does, whatever ends it. `None`: those
    /// of a process that is killed are ended when the run is resumed.
    pub command_guard: Option<PathBuf>,
    /// What is to be expected of the run, once it is known: whoever wants to hear that something takes longer than usual
    /// is told by it.
    pub outlook: Option<Arc<OnceLock<Outlook>>>,
    /// Told why the server that keeps the runs is away while it is waited for, and (`None`) that it is back.
    pub outages: TellOfOutages,
    /// Told how far the look at every worker has come, where this process has to take one: the one before it ended
    /// before its own was recorded.
    pub progress: Box<dyn Fn(Looked<'_>) + Send + Sync>,
}

impl RunOptions {
    /// Not interactive; signals are left alone.
    pub fn new(reporter: impl Reporter + 'static) -> Self {
        Self {
            reporter: Box::new(reporter),
            interactive: false,
            stop_on_signals: false,
            command_guard: None,
            outlook: None,
            outages: Box::new(|_| {}),
            progress: Box::new(|_| {}),
        }
    }
}

/// Why a process has nothing more to do with a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Left {
    /// The run has ended, or can only continue after an operator has acted.
    Idle(RunStatus),
    /// A second signal: it was stopped at once, with these steps under way. Each is named with its worker, such as "`reboot`
    /// on 10.0.0.1".
    ForcedStop {
        /// Whether they were carried out is not known, and an operator has to say it.
        in_doubt: Vec<String>,
        /// A resume looks, and does again what has to be done.
        repeated: Vec<String>,
    },
}

/// How a process has left a run.
#[derive(Debug)]
pub struct RunResult {
    /// The run's name.
    pub run: RunId,
    /// Why this process has nothing more to do.
    pub left: Left,
    /// Number of workers in the failure ledger.
    pub failures: u32,
    /// What earlier runs have disabled of the selected workers and left so, where this run has come to a good end.
    pub left_behind: Vec<LeftBehind>,
    /// Notices that were not delivered; the next process that resumes the run tries again.
    pub undelivered: Vec<UndeliveredNotice>,
}

impl Run {
    /// Carries the run out until it has ended, or can only continue after an operator has acted.
    ///
    /// # Errors
    /// [`RunError::Stopped`]: the journal cannot be written or another controller has the run; nothing more was
    /// dispatched. Before the first step also what keeps a stored run from being read.
    pub fn carry_out(mut self, mut options: RunOptions) -> Result<RunResult, RunError> {
        let mut returns = Returns::default();
        let are_asked_for = Returns::are_asked_for(&self.stored.graph.plan);
        let state = self.stored.replay_and(self.options(), |at, state| {
            if are_asked_for {
                returns.see(at, state);
            }
        })?;
        let mut view = self.stored.view()?;
        let mut writer = self
            .journal
            .writer(&self.stored.id, self.stored.epoch, self.stored.last_seq())
            .map_err(|error| RunError::Stopped(LoopError::Journal(error)))?;
        writer.tell_of_outages(options.outages);
        let left = end_commands_of(self.stored.id.as_str(), &self.bucket.paths().data);
        if !left.is_empty() {
            return Err(RunError::LeftRunning { run: self.stored.id, left });
        }
        let executor = self.executor(&state, &view, &writer.mark(), options.command_guard.clone())?;
        executor.set_returns(&returns, now());
        self.forget_enabled(&state)?;
        self.claim_again(&state, &executor)?;
        let mut first = std::mem::take(&mut self.first);
        let by = first.iter().rev().find_map(|fact| match fact {
            Fact::Resumed { by, .. } => Some(by.clone()),
            _ => None,
        });
        let aborted = first.iter().any(|fact| matches!(fact, Fact::Aborted { .. }));
        if state.phase() == RunPhase::Preflight && !aborted {
            first.push(self.preflight(&executor, &*options.progress)?);
        }
        // What it may have shown is over.
        drop(options.progress);
        self.report_start(options.reporter.as_mut())?;
        let notices = self.begin_to_tell(options.command_guard.as_deref())?;
        let reporter = match &notices {
            None => options.reporter,
            Some(notices) => notices.beside(options.reporter, options.outlook),
        };
        view.refresh(now());
        let mut run_loop = RunLoop::new(RunLoopParts {
            run: state,
            writer,
            output: OutputWriter::open(&self.journal, &self.stored.id)?,
            executor: Arc::clone(&executor),
            view,
            reporter,
            interactive: options.interactive,
        });
        if self.stored.graph.plan.silence.is_some() && executor.executes_here() {
            run_loop.keep_silences(SilencerParts {
                graph: Arc::clone(&self.stored.graph),
                run: self.stored.id.to_string(),
                by: by.unwrap_or_else(|| self.stored.header.who.clone()),
                facts: &self.stored.facts,
            });
        }
        if options.stop_on_signals {
            run_loop.watch_signals().map_err(RunError::Signals)?;
        }
        let ended = run_loop.run(first, self.in_doubt).map_err(RunError::Stopped)?;
        let (failures, _) = run_loop.state().failures();
        let leaves_doubt = |(lane, step): &(Lane, StepIx)| run_loop.state().leaves_doubt(*lane, *step);
        let cut: (Vec<_>, Vec<_>) = match &ended {
            Ended::ForcedStop(in_flight) => in_flight.iter().copied().partition(leaves_doubt),
            Ended::Idle(_) => Default::default(),
        };
        let all: Vec<TargetIx> = self.stored.graph.target_indices().collect();
        let is_over = matches!(ended, Ended::Idle(RunStatus::Finished(_)));
        let release = is_over.then(|| executor.release(&all, &Cancel::new()));
        // It was said how the run stands: it may be resumed, or another one begin, while workers that do not answer are
        // waited for, and whoever is still to be told. Claims of a run that has ended count for nothing.
        self.lock.give_back();
        drop((run_loop, executor, self.lock));
        release.into_iter().for_each(|release| release());
        let undelivered = match (&ended, notices) {
            (_, None) => Vec::new(),
            (Ended::ForcedStop(_), Some(notices)) => notices.finish(Duration::ZERO, false),
            (Ended::Idle(_), Some(notices)) => notices.finish(LAST_NOTICES, options.stop_on_signals),
        };
        let left = match ended {
            Ended::Idle(status) => Left::Idle(status),
            Ended::ForcedStop(_) => {
                let graph = &self.stored.graph;
                let name = |(lane, step): (Lane, StepIx)| {
                    let id = &graph.steps(lane)[step.index()].id;
                    match lane {
                        Lane::Worker(target) => format!("`{id}` on {}", graph.host(target)),
                        Lane::Before | Lane::After => format!("`{id}` on this machine"),
                    }
                };
                let (in_doubt, repeated) = cut;
                Left::ForcedStop {
                    in_doubt: in_doubt.into_iter().map(name).collect(),
                    repeated: repeated.into_iter().map(name).collect(),
                }
            }
        };
        let left_behind = if left == Left::Idle(RunStatus::Finished(RunEnd::Succeeded)) {
            let graph = &self.stored.graph;
            let hosts: Vec<&str> = graph.target_indices().map(|target| graph.host(target)).collect();
            let (fleet, _) = self.bucket.load()?;
            left_behind(&self.journal, &fleet.disabled, &hosts, Some(&self.stored.id))?
        } else {
            Vec::new()
        };
        Ok(RunResult { run: self.stored.id, left, failures, left_behind, undelivered })
    }

    /// Whoever follows a run from its start hears of the start too, which was recorded before there was a loop.
    fn report_start(&self, reporter: &mut dyn Reporter) -> Result<(), RunError> {
        if self.stored.epoch > 1 {
            return Ok(());
        }
        let mut view = empty_view(&self.stored.id, &self.stored.header, &self.stored.graph);
        for stamped in &self.stored.facts {
            fold(&mut view, &self.stored.id, stamped)?;
            reporter.fact(stamped, &view);
        }
        Ok(())
    }

    /// What stands behind the effects; `mark`: where the run's facts end.
    fn executor(
        &self,
        state: &RunState,
        view: &RunView,
        mark: &Mark,
        command_guard: Option<PathBuf>,
    ) -> Result<Arc<StepExecutor>, JournalError> {
        let resumed = self.stored.epoch > 1;
        Ok(Arc::new(StepExecutor::new(StepExecutorParts {
            run: self.stored.id.to_string(),
            epoch: self.stored.epoch,
            mark: mark.to_string(),
            marks: resumed.then(|| self.journal.marks(&self.stored.id)).transpose()?,
            scripts: self.stored.header.scripts.clone(),
            workspace: self.workspace.clone(),
            state_dirs: self.stored.state_dirs(),
            boot_ids: boot_ids(view),
            own: own_entries(&self.stored.graph, state),
            command_guard,
            ..looker(&self.bucket, &self.stored.graph, &self.connected, &self.lock)
        })))
    }
}

/// What stands behind the effects of a run that has no name yet: enough to look at the fleet.
pub(super) fn looker(
    bucket: &Arc<Bucket>,
    graph: &Arc<RolloutGraph>,
    connected: &Connected,
    lock: &Arc<RunLock>,
) -> StepExecutorParts {
    StepExecutorParts {
        bucket: Arc::clone(bucket),
        graph: Arc::clone(graph),
        remote: Arc::clone(&connected.remote),
        catalog: Arc::clone(&connected.catalog),
        lock: Arc::clone(lock),
        run: String::new(),
        epoch: 0,
        mark: String::new(),
        marks: None,
        workspace: WorkspaceState::default(),
        scripts: std::collections::BTreeMap::new(),
        state_dirs: HashMap::new(),
        boot_ids: HashMap::new(),
        own: BTreeSet::new(),
        command_guard: None,
    }
}

/// The boot ids that the run has seen last.
fn boot_ids(view: &RunView) -> HashMap<TargetIx, String> {
    let seen = view.graph().target_indices().zip(view.last_boot_ids());
    seen.filter_map(|(target, boot_id)| Some((target, boot_id.clone()?))).collect()
}
