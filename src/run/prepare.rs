//! Everything that is checked before anything is touched, and the start of the run that follows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bucket::Bucket;
use crate::catalog::{CatalogError, PendingChanges};
use crate::engine::{Check, DoubtAnswers, Fact};
use crate::graph::{self, CompileOptions, RolloutGraph};
use crate::journal::{Journal, JournalError, RunLock};
use crate::plan::{self, Plan, Problem, Problems, Source};
use crate::policy::{self, Limits};
use crate::review::Reviewed;
use crate::runner::{StepExecutor, WorkspaceState, now};

use super::carry_out::looker;
use super::checkout::{carry_on_here, catch_up};
use super::connector::Connected;
use super::header::{Inputs, workers_sha256, workspace};
use super::left_behind::left_behind;
use super::notices;
use super::pending::pending_changes;
use super::preflight::{Looked, look, refuse_bad_start, refuse_for_nobody};
use super::prune::prune_by_itself;
use super::review;
use super::site::{holder, this_operator};
use super::stored::Stored;
use super::take_up::unfinished;
use super::{Engine, Run, RunError, Site, Summary, read_files};

/// A plan that is to be carried out.
#[derive(Clone, Debug)]
pub struct RunRequest {
    plan: Arc<Plan>,
    overrides: Vec<(String, String)>,
    workers: Option<Vec<String>>,
    reviewed: Option<Arc<Reviewed>>,
    again: bool,
}

impl RunRequest {
    /// Parses a plan. The name of `source` is its file's, beside which its scripts are looked for; `overrides`
    /// set variables of the plan.
    ///
    /// # Errors
    /// What is wrong with the plan.
    pub fn new(source: &Source, overrides: Vec<(String, String)>) -> Result<Self, RunError> {
        let plan = Arc::new(plan::parse(source, &overrides)?);
        Ok(Self { plan, overrides, workers: None, reviewed: None, again: false })
    }

    /// A plan that was reviewed: exactly that is carried out, or nothing.
    /// `again`: also if a run has carried out this very file already.
    pub fn reviewed(reviewed: Reviewed, again: bool) -> Self {
        let part = &reviewed.document().inputs.plan;
        Self {
            plan: Arc::clone(reviewed.plan()),
            overrides: part.set.clone(),
            workers: part.only_workers.clone(),
            reviewed: Some(Arc::new(reviewed)),
            again,
        }
    }

    /// The plan that was parsed.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Narrows the plan's workers to these hosts; `None`: all of them.
    #[must_use]
    pub fn only(self, workers: Option<Vec<String>>) -> Self {
        Self { workers, ..self }
    }
}

/// The consent of an operator who has seen the summary of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Recorded with the run and shown to others who meet its claims: `user@host`, or what a server calls its
    /// user.
    pub by: String,
}

impl Consent {
    /// Of the user who runs this process.
    pub fn of_this_operator() -> Self {
        Self { by: this_operator() }
    }
}

/// A run that may be started: everything was checked and every worker was looked at, and nothing was touched.
/// It holds the run lock; dropping it gives the lock back, and nothing is left.
pub struct Prepared {
    /// What it will do.
    pub summary: Summary,
    /// What the look at each worker found, in the order of [`Summary::workers`].
    pub checks: Vec<Check>,
    /// What the plan's deploys would carry out besides the plan's own changes: it is pending in the workspace. `None`:
    /// it deploys nothing.
    pub pending: Option<PendingChanges>,
    site: Site,
    connected: Connected,
    journal: Journal,
    lock: Arc<RunLock>,
    graph: Arc<RolloutGraph>,
    inputs: Inputs,
}

impl Run {
    /// Checks everything that can be checked before a run: the plan against the bucket, the lock, the disk, every
    /// worker. `progress` is told which workers are looked at, and of each that was, from several threads and in no order.
    ///
    /// # Errors
    /// Whatever keeps the plan from being carried out; nothing was touched.
    pub fn prepare(
        site: &Site,
        request: &RunRequest,
        progress: &(dyn Fn(Looked<'_>) + Sync),
    ) -> Result<Prepared, RunError> {
        let bucket = &site.bucket;
        catch_up(bucket)?;
        if let Some(reviewed) = &request.reviewed {
            review::refuse_earlier_run(site, reviewed, request.again)?;
        }
        let scripts = match &request.reviewed {
            // They are compared with those of now below; these were looked at.
            Some(reviewed) => reviewed.scripts(),
            None => read_files(&request.plan, Some(&bucket.paths().root))?,
        };
        let graph = Arc::new(checked_graph(site, request, &scripts)?);
        let journal = site.journal()?;
        let lock = Arc::new(site.lock(None)?);
        if let Some(other) = journal.unfinished()? {
            return Err(unfinished(&journal, other)?);
        }
        let steps = request.plan.steps.len() as u64;
        journal.check_space(Journal::space_for(graph.targets.len() as u64, steps))?;
        let connected = site.connector.connect_under(&lock, bucket, &graph.fleet)?;
        let inputs = Inputs {
            overrides: request.overrides.clone(),
            workers: request.workers.clone(),
            scripts,
            workspace: workspace_of(bucket, request)?,
            reviewed: request.reviewed.as_ref().map(|reviewed| reviewed.sha256().to_owned()),
            workers_sha256: workers_sha256(bucket)?,
        };
        let executor = StepExecutor::new(looker(bucket, &graph, &connected, &lock));
        let hosts: Vec<&str> = graph.target_indices().map(|target| graph.host(target)).collect();
        let left_behind = left_behind(&journal, &graph.fleet.disabled, &hosts, None)?;
        let checks = look(&executor, &graph, &journal, None, &left_behind, progress)?;
        let limits = Limits::resolve(&graph);
        refuse_for_nobody(&checks)?;
        refuse_bad_start(&graph, &limits, &checks)?;
        let pending = pending_of(site, &graph)?;
        let contacts_every_worker = connected.catalog.capabilities().contacts_every_worker;
        let summary = Summary::new(&graph, &limits, &checks, left_behind, contacts_every_worker);
        let site = site.clone();
        Ok(Prepared { summary, checks, pending, site, connected, journal, lock, graph, inputs })
    }
}

impl Prepared {
    /// Gives the run its name and stores it; [`Run::carry_out`] claims its workers and begins. From here on it can
    /// be resumed.
    ///
    /// # Errors
    /// The journal or the lock file cannot be written.
    pub fn start(mut self, consent: &Consent) -> Result<Run, RunError> {
        let started_at = now();
        let workspace = self.inputs.workspace.clone();
        let header = self.inputs.header(&self.graph, &consent.by, started_at);
        let started = Fact::RunStarted {
            workers: self.graph.targets.len() as u32,
            graph_hash: header.graph_hash.clone(),
            seed: header.seed,
        };
        if self.lock.is_lease() {
            // While an operator thought about it, another may have had the lease.
            if !self.lock.is_held() {
                let why = "the lock of this bucket was lost while it was looked at: apply the plan again";
                return Err(RunError::Refused(why.to_owned()));
            }
            if let Some(other) = self.journal.unfinished()? {
                return Err(unfinished(&self.journal, other)?);
            }
        }
        let (id, facts) = self.journal.create_run(&header, &[started])?;
        match prune_by_itself(&mut self.journal, &self.graph.fleet.disabled, started_at) {
            // A user of a database who may forget nothing.
            Err(JournalError::NoRight { .. }) => {}
            pruned => pruned?,
        }
        self.lock.write(&holder(Some(&id)))?;
        let stored = Stored { id, epoch: 1, header, graph: self.graph, facts };
        carry_on_here(&self.site, &self.journal, &stored)?;
        Ok(Run {
            bucket: self.site.bucket,
            connected: self.connected,
            journal: self.journal,
            lock: self.lock,
            stored,
            workspace,
            first: Vec::new(),
            checks: Some(self.checks),
            in_doubt: DoubtAnswers::default(),
            changes: Vec::new(),
        })
    }
}

/// The workspace that deploys are held to: of a reviewed plan what was compared, so that the run itself refuses whatever has
/// changed since.
fn workspace_of(bucket: &Bucket, request: &RunRequest) -> Result<WorkspaceState, RunError> {
    let now = workspace(bucket)?;
    let Some(reviewed) = &request.reviewed else { return Ok(now) };
    let hash = reviewed.document().inputs.workspace.hash.clone();
    let files = now.files.filter(|_| now.hash == hash);
    Ok(WorkspaceState { hash, files })
}

/// The plan compiled for the bucket, with the warnings of all checks.
fn checked_graph(
    site: &Site,
    request: &RunRequest,
    files: &BTreeMap<String, String>,
) -> Result<RolloutGraph, RunError> {
    let (fleet, warnings) = site.bucket.load()?;
    let fleet = Arc::new(fleet);
    let options = CompileOptions { workers: request.workers.clone(), files: files.clone() };
    let compiled = graph::compile(&request.plan, &fleet, &options);
    let notes = match &request.reviewed {
        Some(reviewed) => review::check(site, reviewed, &fleet, compiled.as_ref())?,
        None => Problems::new(),
    };
    let mut graph = compiled?;
    graph.warnings.extend(notes);
    graph.warnings.extend(warnings);
    let feasibility = policy::feasibility(&graph).into_result()?;
    graph.warnings.extend(feasibility);
    graph.warnings.extend(notices::warnings(&site.bucket, &graph.plan)?);
    graph.warnings.extend(unset_variables(site, &graph));
    let problems = site.connector.problems(&graph, &site.bucket).into_result()?;
    graph.warnings.extend(problems);
    Ok(graph)
}

/// What the plan reads from the environment, and is not set here: better told before the first worker than in the middle.
fn unset_variables(site: &Site, graph: &RolloutGraph) -> Problems {
    let mut problems = Problems::new();
    let read = graph.plan.reads_from_environment().into_iter();
    // In a sandbox nothing of it is sent or executed.
    for name in
        read.filter(|name| site.bucket.settings().executes_local() && std::env::var_os(name).is_none())
    {
        let message = format!("the plan reads {name} from the environment, and it is not set here");
        let help = "set it in the environment of this process; what needs it fails, or says nothing, when its turn comes";
        problems.push(Problem::warning("maand::run::unset_variable", message).help(help));
    }
    problems
}

/// What deploys would bring besides the plan's own changes.
fn pending_of(site: &Site, graph: &RolloutGraph) -> Result<Option<PendingChanges>, RunError> {
    let engine = site.connector.engine_for(&site.bucket);
    let pending = pending_changes(&site.bucket, engine, graph).map_err(RunError::Catalog)?;
    // Other steps than deploys look at the catalog before there is one.
    if engine == Engine::Builtin && pending.as_ref().is_some_and(|pending| !pending.built) {
        return Err(RunError::Catalog(CatalogError::NotBuilt { upstream: false }));
    }
    Ok(pending)
}
