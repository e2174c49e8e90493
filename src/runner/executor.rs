//! What stands behind the effects of a run: the workers, the catalog, the bucket's files, this machine.
//!
//! [`StepExecutor::execute`] carries out one attempt and answers with what came of it. It must not decide
//! what follows, and it never touches anything that its order does not name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::bucket::{Bucket, DisabledEntry, Host, JobIx, JobName, WorkerIx};
use crate::catalog::{Call, Catalog, Cuts, Fence, HealthRequest};
use crate::engine::{AttemptId, AttemptSpec, ErrorKind, Intent, Millis, Outcome, StepError};
use crate::graph::{Lane, RolloutGraph, TargetIx};
use crate::journal::{Mark, Marks, RunLock};
use crate::plan::{Located, Step};
use crate::report::WaitPhase;
use crate::ssh::{Cancel, Remote};

use super::access::Access;
use super::boot_guard::BootIds;
use super::command::{ThisMachine, mark_of};
use super::deployer::Deployer;
use super::environment::Place;
use super::gate::{DownWorkers, Returns};
use super::witness::Witnesses;
use super::workspace::WorkspaceState;

/// A step without a time-out of its own (only `pause` and `approve` can be without one) never gets here;
/// the bound keeps a mistake from waiting for ever.
const NO_TIMEOUT: Duration = Duration::from_secs(3600);

/// Takes output of an attempt as it comes: the attempt's host where there is one, and the bytes.
pub type OutputSink = Arc<dyn Fn(Option<&Host>, &[u8]) + Send + Sync>;

/// What a world is made of.
pub struct StepExecutorParts {
    /// The bucket.
    pub bucket: Arc<Bucket>,
    /// The compiled plan.
    pub graph: Arc<RolloutGraph>,
    /// The transport.
    pub remote: Arc<dyn Remote>,
    /// The engine of the bucket.
    pub catalog: Arc<dyn Catalog>,
    /// The run's name.
    pub run: String,
    /// This controller's epoch.
    pub epoch: u64,
    /// Where the run's facts end when it begins, as the journal writes a mark.
    pub mark: String,
    /// The run's facts from before this process, for a process that resumes it.
    pub marks: Option<Marks>,
    /// The workspace when the run began, or as last accepted.
    pub workspace: WorkspaceState,
    /// Contents of the plan's script files when the run began.
    pub scripts: BTreeMap<String, String>,
    /// The run lock: who does not hold it any more changes nothing.
    pub lock: Arc<RunLock>,
    /// For each target the folder on the worker for claims and receipts, as preflight fixed it.
    pub state_dirs: HashMap<TargetIx, String>,
    /// The boot ids that the run has seen last.
    pub boot_ids: HashMap<TargetIx, String>,
    /// Entries of `disabled.json` that are the run's own already.
    pub own: BTreeSet<DisabledEntry>,
    /// The program that becomes the guard of commands on this machine, so that they end with this process; `None`:
    /// they may outlive it when it is killed, until the run is resumed.
    pub command_guard: Option<PathBuf>,
}

/// What stands behind the effects of a run.
pub struct StepExecutor {
    pub(super) bucket: Arc<Bucket>,
    pub(super) graph: Arc<RolloutGraph>,
    pub(super) remote: Arc<dyn Remote>,
    pub(super) catalog: Arc<dyn Catalog>,
    fence: Mutex<Fence>,
    pub(super) run: String,
    pub(super) witnesses: Witnesses,
    pub(super) boot_ids: BootIds,
    pub(super) scripts: BTreeMap<String, String>,
    pub(super) lock: Arc<RunLock>,
    state_dirs: Mutex<HashMap<TargetIx, String>>,
    pub(super) own: Arc<Mutex<BTreeSet<DisabledEntry>>>,
    pub(super) deployer: Deployer,
    pub(super) command_guard: Option<PathBuf>,
    /// As gates ask for it.
    pub(super) down: Mutex<DownWorkers>,
    /// Told how far attempts under way have come.
    told: OnceLock<Tell>,
}

/// Takes how far an attempt has come.
type Tell = Box<dyn Fn(AttemptId, WaitPhase) + Send + Sync>;

impl StepExecutor {
    /// Puts the parts together.
    pub fn new(parts: StepExecutorParts) -> Self {
        let own = Arc::new(Mutex::new(parts.own));
        let before = super::disabled_edits::before_deploy(
            Arc::clone(&parts.bucket),
            Arc::clone(&parts.lock),
            Arc::clone(&own),
            parts.workspace,
            parts.run.clone(),
        );
        Self {
            deployer: Deployer::new(Arc::clone(&parts.catalog), before),
            fence: Mutex::new(Fence { run: parts.run.clone(), epoch: parts.epoch, mark: parts.mark }),
            witnesses: Witnesses::new(parts.marks),
            boot_ids: Mutex::new(parts.boot_ids),
            run: parts.run,
            state_dirs: Mutex::new(parts.state_dirs),
            bucket: parts.bucket,
            graph: parts.graph,
            remote: parts.remote,
            catalog: parts.catalog,
            scripts: parts.scripts,
            lock: parts.lock,
            own,
            command_guard: parts.command_guard,
            down: Mutex::default(),
            told: OnceLock::new(),
        }
    }

    /// From now on `tell` is told how far attempts under way have come. Only the first one is.
    pub(super) fn tell_to(&self, tell: Tell) {
        // A second loop of the same process would be a mistake; what is told is for eyes only.
        let _ = self.told.set(tell);
    }

    /// Tells how far an attempt has come.
    pub(super) fn tell(&self, attempt: AttemptId, phase: WaitPhase) {
        if let Some(tell) = self.told.get() {
            tell(attempt, phase);
        }
    }

    /// Tells where the run's facts end now. Whatever begins after this was announced by them.
    pub(super) fn set_mark(&self, mark: &Mark) {
        let mark = mark.to_string();
        self.witnesses.sends(&mark);
        self.fence.lock().unwrap_or_else(PoisonError::into_inner).mark = mark;
    }

    /// Tells which workers are down by the run.
    pub(super) fn set_down(&self, down: impl Iterator<Item = TargetIx>) {
        let hosts = down.map(|target| self.host(target).to_string());
        self.down.lock().unwrap_or_else(PoisonError::into_inner).are(hosts);
    }

    /// Tells who was down by the run before this process began, and when each came back; `now`: the clock's time.
    pub fn set_returns(&self, returns: &Returns, now: Millis) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        for (target, at) in returns.back() {
            let before = Duration::from_millis(u64::try_from(now - at).unwrap_or_default());
            down.was(self.host(target).to_string(), before);
        }
    }

    /// This controller's.
    pub(super) fn epoch(&self) -> u64 {
        self.fence().epoch
    }

    fn fence(&self) -> Fence {
        self.fence.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Carries out one attempt, the `number`th of its step. Blocks until it has ended, one way or the other.
    pub fn execute(&self, order: &AttemptSpec, number: u32, cancel: &Cancel, sink: &OutputSink) -> Outcome {
        let step = &self.graph.steps(order.lane)[order.step.index()];
        if !self.lock.wait_until_held(&|| cancel.is_cancelled()) {
            if cancel.is_cancelled() {
                return Outcome::NotDone { reason: "given up before it began".to_owned() };
            }
            let message = "another controller has taken this run over";
            return Outcome::Failed { error: StepError::new(ErrorKind::Fenced, message) };
        }
        let place = Place::of(&self.graph, (&self.run, self.epoch()), order, number);
        match order.lane {
            Lane::Worker(target) => {
                let outcome = self.with_looks(target, step, cancel, sink, |cancel, sink| {
                    self.on_worker(order, target, step, &place, cancel, sink)
                });
                self.unless_fenced(target, outcome)
            }
            Lane::Before | Lane::After => self.once(order, step, &place, cancel, sink),
        }
    }

    /// Whether an attempt changes nothing, is done again where it was given up, and ends nothing that the run has begun.
    pub(super) fn only_looks(&self, order: &AttemptSpec) -> bool {
        let step = &self.graph.steps(order.lane)[order.step.index()];
        matches!(order.intent, Intent::Do { .. }) && step.kind.only_looks()
    }

    /// Looks at all enabled allocations of these jobs, but for those on workers of `skip` (they are down
    /// by this run, and count as such). Answers with what is not well.
    pub fn observe(
        &self,
        jobs: &[JobIx],
        skip: &BTreeSet<WorkerIx>,
        cancel: &Cancel,
    ) -> Vec<(WorkerIx, JobIx)> {
        let fleet = &self.graph.fleet;
        let wanted: Vec<_> = self
            .graph
            .enabled_allocations()
            .iter()
            .filter(|allocation| jobs.contains(&allocation.job) && !skip.contains(&allocation.worker))
            .collect();
        let hosts: BTreeSet<Host> =
            wanted.iter().map(|allocation| fleet.worker(allocation.worker).host.clone()).collect();
        let request = HealthRequest {
            jobs: Some(jobs.iter().map(|job| fleet.job(*job).name.clone()).collect()),
            workers: Some(hosts.into_iter().collect()),
            wait: false,
        };
        let call = self.call(Duration::from_secs(60), cancel, None);
        let seen: HashMap<(Host, JobName), bool> = match self.catalog.health(&request, &call) {
            Ok(report) => report
                .allocations
                .iter()
                .map(|health| {
                    let worker_ok = report.workers.get(&health.host).is_none_or(|worker| worker.is_ok());
                    ((health.host.clone(), health.job.clone()), worker_ok && health.outcome.is_ok())
                })
                .collect(),
            // What was not seen is not well.
            Err(_) => HashMap::new(),
        };
        wanted
            .iter()
            .filter(|allocation| {
                let key =
                    (fleet.worker(allocation.worker).host.clone(), fleet.job(allocation.job).name.clone());
                seen.get(&key) != Some(&true)
            })
            .map(|allocation| (allocation.worker, allocation.job))
            .collect()
    }

    pub(super) fn host(&self, target: TargetIx) -> &Host {
        &self.graph.fleet.worker(self.graph.target(target).worker).host
    }

    pub(super) fn timeout(&self, step: &Step) -> Duration {
        self.bucket.settings().timeout(step.timeout.unwrap_or(NO_TIMEOUT))
    }

    pub(super) fn access(&self, target: TargetIx, cancel: &Cancel) -> Access {
        let host = self.host(target).clone();
        let profile = self.remote.profile(&host);
        let known = self.state_dirs.lock().unwrap_or_else(PoisonError::into_inner).get(&target).cloned();
        let state_dir = known.unwrap_or_else(|| super::preflight::state_dir(&profile));
        Access {
            remote: Arc::clone(&self.remote),
            host,
            profile,
            state_dir,
            fence: self.fence(),
            cancel: cancel.clone(),
        }
    }

    pub(super) fn call(&self, timeout: Duration, cancel: &Cancel, sink: Option<&OutputSink>) -> Call {
        let sink = sink.cloned();
        Call {
            stopping: Cancel::new(),
            cancel: cancel.clone(),
            until: Instant::now() + timeout,
            output: Arc::new(move |host, line| {
                if let Some(sink) = &sink {
                    sink(host, format!("{line}\n").as_bytes());
                }
            }),
            fence: Some(self.fence()),
            cuts: Cuts::default(),
        }
    }

    /// The jobs that a step names, less those that are not on the worker; `None`: it names none.
    pub(super) fn jobs_here(
        &self,
        target: TargetIx,
        jobs: Option<&Vec<Located<String>>>,
    ) -> Option<Vec<JobName>> {
        let fleet = &self.graph.fleet;
        let here = &self.graph.target(target).jobs;
        jobs.map(|jobs| {
            here.iter()
                .map(|job| &fleet.job(*job).name)
                .filter(|name| jobs.iter().any(|job| job.value == name.as_str()))
                .cloned()
                .collect()
        })
    }

    /// Where and how a command of this attempt runs on this machine.
    pub(super) fn this_machine(&self, attempt: AttemptId) -> ThisMachine<'_> {
        self.this_machine_for(&attempt.0.to_string())
    }

    /// The same for what is no attempt.
    pub(super) fn this_machine_for(&self, what: &str) -> ThisMachine<'_> {
        let paths = self.bucket.paths();
        ThisMachine {
            folder: &paths.root,
            guard: self.command_guard.as_deref(),
            mark: format!("{}{what}", mark_of(&self.run, &paths.data)),
        }
    }
}
