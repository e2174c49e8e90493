//! What `apply`, `resume` and the control commands share: a stored or new run, the world behind it, the
//! controller, and how its end becomes an exit code.

use std::collections::{BTreeSet, HashMap};
use std::io::{IsTerminal, stdout};
use std::sync::Arc;

use super::super::open_bucket::OpenBucket;
use super::super::{CliError, Context, Exit, engine, out};
use crate::bucket::{Bucket, DisabledEntry, JobName};
use crate::catalog::Catalog;
use crate::controller::Ended;
use crate::engine::{Check, Fact, Options, Resolution, RunEnd, RunPhase, RunState, RunStatus, Stamped};
use crate::graph::{self, CompileOptions, Lane, RolloutGraph, TargetIx};
use crate::journal::{Holder, Journal, JournalError, LockError, OutputWriter, RunHeader, RunId, RunLock};
use crate::plan::{self, Plan, Problem, Source};
use crate::report::{JsonLines, Plain, Reporter, RunInfo, RunView, Terminal};
use crate::runner::{self, Claim, LoopError, RunLoop, RunLoopParts};
use crate::ssh::{Cancel, Remote};

/// A run as the journal has it.
pub(super) struct Stored {
    pub(super) id: RunId,
    pub(super) header: RunHeader,
    pub(super) epoch: u64,
    pub(super) graph: Arc<RolloutGraph>,
    pub(super) facts: Vec<Stamped>,
}

impl Stored {
    /// Reads a run and compiles its plan again from what the journal kept; `named`: as the person named
    /// it, else the unfinished one, else the latest.
    pub(super) fn load(journal: &Journal, id: RunId) -> Result<Self, CliError> {
        let stored = journal.run(&id)?;
        let graph = compile_stored(&stored.header)?;
        let facts = journal.read(&id)?.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { id, epoch: stored.epoch, header: stored.header, graph, facts })
    }

    /// The state of the run, rebuilt from its facts.
    pub(super) fn rollout(&self, options: Options) -> Result<RunState, CliError> {
        let mut rollout = RunState::new(Arc::clone(&self.graph), options);
        for stamped in &self.facts {
            rollout.replay(stamped.at, &stamped.fact).map_err(|illegal| {
                let message = format!("fact {} of run {} breaks a rule: {illegal}", stamped.seq, self.id);
                CliError::new(
                    Exit::Bug,
                    Problem::error("maand::journal::illegal", message)
                        .help("the journal was changed, or this is a bug in maand; nothing was touched"),
                )
            })?;
        }
        Ok(rollout)
    }

    /// The view of the run.
    pub(super) fn view(&self) -> Result<RunView, CliError> {
        let info = RunInfo { run: self.id.to_string(), started_at: self.header.started_at };
        let mut view = RunView::new(info, Arc::clone(&self.graph));
        for stamped in &self.facts {
            view.fold(stamped).map_err(|illegal| {
                CliError::new(Exit::Bug, Problem::error("maand::journal::illegal", illegal.to_string()))
            })?;
        }
        Ok(view)
    }

    /// The number of its newest fact.
    pub(super) fn last_seq(&self) -> u64 {
        self.facts.last().map_or(0, |stamped| stamped.seq)
    }

    /// What preflight fixed for each worker.
    pub(super) fn state_dirs(&self) -> HashMap<TargetIx, String> {
        let mut found = HashMap::new();
        for stamped in &self.facts {
            if let Fact::Preflight { checks } = &stamped.fact {
                for (at, check) in checks.iter().enumerate() {
                    if let Check::Ready { state_dir, .. } = check {
                        found.insert(TargetIx(at as u32), state_dir.clone());
                    }
                }
            }
        }
        found
    }
}

/// Compiles a stored plan for its stored fleet, which gives the graph that the run began with, or says
/// that this program compiles it to another one.
pub(super) fn compile_stored(header: &RunHeader) -> Result<Arc<RolloutGraph>, CliError> {
    let source = Source::new(header.plan_file.clone(), header.plan_text.clone());
    let plan: Plan = plan::parse(&source, &header.overrides)?;
    let options = CompileOptions { workers: header.only_workers.clone() };
    let graph = graph::compile(&Arc::new(plan), &Arc::new(header.fleet.clone()), &options)?;
    if graph.hash() != header.graph_hash {
        let message = format!(
            "this version of maand ({}) compiles the run's plan to another graph than {} did",
            env!("CARGO_PKG_VERSION"),
            header.program
        );
        let help = format!("go on with maand {}, or abort the run and apply the plan anew", header.program);
        return Err(Problem::error("maand::run::other_version", message).help(help).into());
    }
    Ok(Arc::new(graph))
}

/// Takes the run lock, or says who has it.
pub(super) fn lock(bucket: &Bucket, run: Option<String>) -> Result<RunLock, CliError> {
    let record = Holder::this_process(run, runner::now());
    RunLock::acquire(&bucket.paths().data, &record).map_err(lock_error)
}

/// Takes the run lock away from a holder that is stopped or gone.
pub(super) fn take_over(bucket: &Bucket, run: Option<String>, elsewhere: bool) -> Result<RunLock, CliError> {
    let record = Holder::this_process(run, runner::now());
    RunLock::take_over(&bucket.paths().data, &record, elsewhere).map_err(lock_error)
}

fn lock_error(error: LockError) -> CliError {
    match error {
        LockError::Held(holder) => CliError::new(Exit::Locked, holder.problem()),
        LockError::Failed(problem) => problem.into(),
    }
}

/// Who shows a run, and whether a person watches.
pub(super) fn reporter(context: &Context) -> Box<dyn Reporter> {
    if context.json {
        Box::new(JsonLines::new(stdout()))
    } else if is_live(context) {
        Box::new(Terminal::stdout(context.colors))
    } else {
        Box::new(Plain::new(stdout(), context.quiet))
    }
}

/// Standard output is a terminal that can show more than lines.
pub(super) fn is_live(context: &Context) -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stdout().is_terminal() && !dumb && !context.quiet && !context.json
}

/// The parts of a run that goes on in this process.
pub(super) struct Session {
    pub(super) bucket: Arc<Bucket>,
    pub(super) outside: Outside,
    pub(super) journal: Journal,
    pub(super) lock: Arc<RunLock>,
    pub(super) stored: Stored,
    pub(super) workspace_hash: String,
}

impl Session {
    pub(super) fn options(&self) -> Options {
        Options {
            exclusive_catalog: self.outside.catalog.capabilities().contacts_every_worker,
            time_scale: self.bucket.settings().time_scale(),
        }
    }

    fn world(&self, rollout: &RunState) -> Arc<runner::StepExecutor> {
        let mut own = BTreeSet::new();
        for target in self.stored.graph.target_indices() {
            let host = &self.stored.graph.fleet.worker(self.stored.graph.target(target).worker).host;
            for entry in rollout.own_disabled(target) {
                own.extend(match entry {
                    None => Some(DisabledEntry::Worker(host.clone())),
                    Some(job) => JobName::parse(job).map(|job| DisabledEntry::Allocation(job, host.clone())),
                });
            }
        }
        Arc::new(runner::StepExecutor::new(runner::StepExecutorParts {
            bucket: Arc::clone(&self.bucket),
            graph: Arc::clone(&self.stored.graph),
            remote: Arc::clone(&self.outside.remote),
            catalog: Arc::clone(&self.outside.catalog),
            run: self.stored.id.to_string(),
            epoch: self.stored.epoch,
            workspace_hash: self.workspace_hash.clone(),
            scripts: self.stored.header.scripts.clone(),
            lock: Arc::clone(&self.lock),
            state_dirs: self.stored.state_dirs(),
            own,
        }))
    }

    /// Goes on with the run: applies `first`, settles undecided as the person says, and runs to a rest.
    pub(super) fn run(
        self,
        first: Vec<Fact>,
        in_doubt: Option<Resolution>,
        context: &Context,
    ) -> Result<Exit, CliError> {
        let rollout = self.stored.rollout(self.options())?;
        let mut view = self.stored.view()?;
        let world = self.world(&rollout);
        let mut first = first;
        if rollout.phase() == RunPhase::Preflight
            && !first.iter().any(|fact| matches!(fact, Fact::Preflight { .. } | Fact::Aborted { .. }))
        {
            // The process before this one ended between the start and the preflight.
            let mut checks = self.look()?;
            self.claim(&mut checks)?;
            first.push(Fact::Preflight { checks });
        }
        view.refresh(runner::now());
        let interactive = std::io::stdin().is_terminal() && !context.json;
        let reporter = reporter(context);
        let mut run_loop = RunLoop::new(RunLoopParts {
            run: rollout,
            writer: self.journal.writer(&self.stored.id, self.stored.epoch, self.stored.last_seq())?,
            output: OutputWriter::open(&self.journal, &self.stored.id)?,
            executor: Arc::clone(&world),
            view,
            reporter,
            interactive,
        });
        run_loop.watch_signals().map_err(|error| {
            Problem::error("maand::run::signals", format!("signals can not be watched: {error}"))
        })?;
        let ended = run_loop.run(first, in_doubt).map_err(stopped)?;
        let finished = matches!(ended, Ended::Idle(RunStatus::Finished(_)));
        let released: Vec<TargetIx> = self.stored.graph.target_indices().collect();
        let exit = exit_of(&ended, &run_loop, &self.stored.id, context);
        if finished {
            world.release(&released, &Cancel::new());
        }
        Ok(exit)
    }

    /// Preflight: looks at every worker and touches none.
    pub(super) fn look(&self) -> Result<Vec<Check>, CliError> {
        let world = self.world(&self.stored.rollout(self.options())?);
        let finished = finished_runs(&self.journal)?;
        let own_run = self.stored.id.to_string();
        let is_over = |run: &str| run == own_run || finished.contains(run);
        let graph = &self.stored.graph;
        Ok(world.preflight(&is_over, &|target| left_alone(graph, target), &Cancel::new(), &|_, _| {}))
    }

    /// Writes the run's claims on the workers that are ready.
    pub(super) fn claim(&self, checks: &mut [Check]) -> Result<(), CliError> {
        let world = self.world(&self.stored.rollout(self.options())?);
        let stale: Vec<String> = finished_runs(&self.journal)?.into_iter().collect();
        world.claim(checks, &claim(&self.bucket, &self.stored), &stale, &Cancel::new());
        Ok(())
    }

    /// Writes the run's name into the lock's record, which was taken before the run had one.
    pub(super) fn name_lock(&mut self) -> Result<(), CliError> {
        let record = Holder::this_process(Some(self.stored.id.to_string()), runner::now());
        match Arc::get_mut(&mut self.lock) {
            Some(lock) => lock.write(&record).map_err(lock_error),
            None => Ok(()),
        }
    }
}

/// Runs of this bucket that are over: their claims count for nothing.
pub(super) fn finished_runs(journal: &Journal) -> Result<BTreeSet<String>, CliError> {
    Ok(journal.runs()?.into_iter().filter(|run| run.state.is_final()).map(|run| run.id.to_string()).collect())
}

/// The claim of a run.
pub(super) fn claim(bucket: &Bucket, stored: &Stored) -> Claim {
    Claim {
        run: stored.id.to_string(),
        epoch: stored.epoch,
        who: stored.header.who.clone(),
        since: crate::report::Time(stored.header.started_at).rfc3339(),
        bucket: bucket.paths().root.display().to_string(),
    }
}

/// A worker that a person had drained is left alone by a plan that drains and re-enables: a run never
/// enables what it has not disabled.
pub(super) fn left_alone(graph: &RolloutGraph, target: TargetIx) -> Option<String> {
    let drains = graph.plan.steps.iter().any(|step| matches!(step.kind, plan::StepKind::Disable { .. }));
    (drains && graph.target(target).already_disabled).then(|| {
        format!(
            "{} is disabled in disabled.json already, by somebody else: it is left alone",
            graph.host(target)
        )
    })
}

/// A controller that can not go on: the run is as the journal has it, and can be resumed, unless
/// somebody else has it now.
fn stopped(error: LoopError) -> CliError {
    match error {
        LoopError::Journal(error) => {
            let exit = match error {
                JournalError::Fenced { .. } | JournalError::Finished { .. } => Exit::Locked,
                _ => Exit::Resumable,
            };
            CliError::new(exit, Problem::from(error))
        }
        LoopError::Broken(why) => {
            let help = "this is a bug in maand: nothing more was begun, and `maand plan resume` continues from \
                        the journal; please report it with `maand plan logs`";
            let problem = Problem::error("maand::bug", format!("the engine refused its own fact: {why}"));
            CliError::new(Exit::Bug, problem.help(help))
        }
    }
}

fn exit_of(ended: &Ended, run_loop: &RunLoop, id: &RunId, context: &Context) -> Exit {
    let (failures, _) = run_loop.state().failures();
    match ended {
        Ended::Idle(RunStatus::Finished(RunEnd::Succeeded)) => Exit::Done,
        Ended::Idle(RunStatus::Finished(_)) => Exit::Failed,
        Ended::Idle(RunStatus::Halted(_)) => Exit::Failed,
        Ended::Idle(_) if failures > 0 => Exit::Failed,
        Ended::Idle(_) => Exit::Resumable,
        Ended::ForcedStop(in_flight) => {
            let graph = run_loop.state().graph();
            let what: Vec<String> = in_flight
                .iter()
                .map(|(lane, step)| {
                    let id = &graph.steps(*lane)[*step as usize].id;
                    match lane {
                        Lane::Worker(target) => format!("`{id}` on {}", graph.host(*target)),
                        Lane::Before | Lane::After => format!("`{id}` on this machine"),
                    }
                })
                .collect();
            let what = if what.is_empty() { "nothing was in flight".to_owned() } else { what.join(", ") };
            let problem = Problem::warning("maand::run::cut", format!("stopped at once; in doubt: {what}"))
                .help(format!("`maand plan resume {id}` looks at the workers before it does anything"));
            out::diagnose(&problem, context.colors);
            if failures > 0 { Exit::Failed } else { Exit::Resumable }
        }
    }
}

/// Opens what every command that goes on with a run needs.
pub(super) fn open(context: &Context) -> Result<(Arc<Bucket>, Journal), CliError> {
    let bucket = Arc::new(Bucket::find(context.bucket.as_deref())?);
    let journal = Journal::open(&bucket.paths().data, crate::journal::Mode::ReadWrite)?;
    Ok((bucket, journal))
}

/// Opens the journal of a bucket for looking at it.
pub(super) fn open_to_read(context: &Context) -> Result<Journal, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    Ok(Journal::open(&bucket.paths().data, crate::journal::Mode::ReadOnly)?)
}

/// The transport and the catalog of a bucket.
pub(super) struct Outside {
    pub(super) remote: Arc<dyn Remote>,
    pub(super) catalog: Arc<dyn Catalog>,
}

/// Opens them for the fleet that the graph was compiled for.
pub(super) fn outside(bucket: &Bucket, graph: &RolloutGraph, context: &Context) -> Result<Outside, CliError> {
    let world = OpenBucket::of(bucket.clone(), (*graph.fleet).clone(), context)?;
    let catalog = engine::of(&world, context)?;
    Ok(Outside { remote: world.remote, catalog })
}
