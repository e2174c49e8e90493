//! [`External`]: the catalog of a bucket that belongs to an installed upstream program.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::database::{Row, Snapshot};
use super::identity::{self, Program};
use super::judge::{self, Deploy};
use super::session::{LastSeen, UpstreamSession};
use super::sync::{self, WorkerSync};
use super::{health, job, start};
use crate::bucket::{Bucket, Host, JobName};
use crate::catalog::{
    AllocationReport, Call, Capabilities, Catalog, CatalogAllocation, CatalogError, DeployRequest,
    HealthReport, HealthRequest, JobRequest, Report, WorkerOutcome,
};
use crate::plan::{Problem, Problems, Severity};
use crate::ssh::Remote;

/// Between two looks at workers that a deploy waits for.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How long jobs may take to start that no deploy can start.
const START_ANYWAY: Duration = Duration::from_secs(60);

/// The catalog that the upstream program keeps.
pub struct External {
    pub(super) bucket: Arc<Bucket>,
    pub(super) remote: Arc<dyn Remote>,
    pub(super) program: Program,
    /// Those of `workers.json`, to know them in output.
    pub(super) workers: Vec<Host>,
    pub(super) left: Mutex<LastSeen>,
}

impl External {
    /// That of this bucket, driven by `program`, with workers reached by `remote`.
    pub fn new(bucket: Arc<Bucket>, remote: Arc<dyn Remote>, program: Program, workers: Vec<Host>) -> Self {
        Self { bucket, remote, program, workers, left: Mutex::default() }
    }

    /// What the database says; `None`: there is none yet. A database of another bucket is refused.
    pub(super) fn snapshot(&self) -> Result<Option<Snapshot>, CatalogError> {
        let Some(snapshot) = Snapshot::read(&self.bucket.paths().upstream_db)? else { return Ok(None) };
        match self.bucket.settings().bucket_id.as_deref() {
            Some(id) if !snapshot.bucket_id.is_empty() && id != snapshot.bucket_id => {
                let message =
                    format!("maand.conf says bucket_id {id}, and upstream's database {}", snapshot.bucket_id);
                Err(CatalogError::Invalid(Problems::from(
                    Problem::error("maand::external::bucket_id", message)
                        .help("take `bucket_id` out of maand.conf: the workers know the other one"),
                )))
            }
            _ => Ok(Some(snapshot)),
        }
    }

    /// Refuses what cannot go well before a command is started.
    fn check(&self) -> Result<(), CatalogError> {
        identity::refuse_nested().map_err(|problem| CatalogError::Invalid(problem.into()))?;
        let mut problems = Problems::new();
        let differences = self.bucket.upstream_differences();
        differences
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .for_each(|problem| problems.push(problem.clone()));
        if problems.is_empty() { Ok(()) } else { Err(CatalogError::Invalid(problems)) }
    }

    /// A session, after the checks.
    pub(super) fn session<'e>(
        &'e self,
        what: &str,
        call: &'e Call,
    ) -> Result<UpstreamSession<'e>, CatalogError> {
        self.check()?;
        UpstreamSession::take(self, what, call)
    }

    /// Workers of the bucket that do not answer.
    fn down(&self, snapshot: &Snapshot, call: &Call) -> (BTreeMap<Host, String>, bool) {
        let hosts = snapshot.workers.keys().cloned().collect();
        let mut hopeless = false;
        let mut down = BTreeMap::new();
        for (host, seen) in sync::check_workers(self.remote.as_ref(), snapshot, hosts, call) {
            if let WorkerSync::Down { why, is_final } = seen {
                hopeless |= is_final;
                down.insert(host, why);
            }
        }
        (down, hopeless)
    }

    /// Brings `worker.json` everywhere up to date without restarting anything. An error says why that
    /// could not be done; then nothing was broken.
    pub(super) fn repair(
        &self,
        session: &mut UpstreamSession<'_>,
        snapshot: &Snapshot,
    ) -> Result<Snapshot, String> {
        let candidates = sync::candidates(snapshot);
        let error = |error: CatalogError| error.describe();
        let nothing = || {
            "worker.json on the workers is out of date, and every job has something pending that a repair would take for done: deploy first".to_owned()
        };
        if candidates.is_empty() {
            return Err(nothing());
        }
        let names: Vec<&str> = candidates.iter().map(|job| job.as_str()).collect();
        let (dry, _) = session.run(&["deploy", "--dry-run", "--jobs", &names.join(",")]).map_err(error)?;
        if !dry.succeeded() {
            return Err(dry.describe("deploy --dry-run"));
        }
        let Some(job) = sync::settled(&dry.stdout, &candidates).first().copied() else {
            return Err(nothing());
        };
        let args = ["deploy", "--sync-only", "--force", "--jobs", job.as_str()];
        let (ended, after) = session.run(&args).map_err(error)?;
        match after {
            Some(after) if ended.succeeded() => Ok(after),
            _ => Err(ended.describe(&args.join(" "))),
        }
    }

    /// Looks at `worker.json` on `hosts`, and repairs it where it is out of date somewhere.
    pub(super) fn in_sync(
        &self,
        session: &mut UpstreamSession<'_>,
        snapshot: &Snapshot,
        hosts: Vec<Host>,
        call: &Call,
    ) -> Result<(), String> {
        let look = |snapshot: &Snapshot| {
            sync::check_workers(self.remote.as_ref(), snapshot, hosts.clone(), call).into_iter().find_map(
                |(host, seen)| match seen {
                    WorkerSync::Differs(why) => Some(format!("{host}: {why}")),
                    // A worker that is down is told of by the command itself.
                    WorkerSync::InSync | WorkerSync::Down { .. } => None,
                },
            )
        };
        let Some(why) = look(snapshot) else { return Ok(()) };
        (call.output)(None, &format!("note: {why}; bringing it up to date"));
        let repaired = self.repair(session, snapshot)?;
        look(&repaired).map_or(Ok(()), Err)
    }

    /// Makes an operator's `job` command work: brings `worker.json` up to date where a deploy has
    /// left it behind. Where that cannot be done it is said, and the command will say it, too.
    ///
    /// # Errors
    /// When another process holds the lock, or the database cannot be read.
    pub fn prepare_job(&self, call: &Call) -> Result<(), CatalogError> {
        let mut session = self.session("job", call)?;
        let snapshot = session.built()?;
        let all = snapshot.workers.keys().cloned().collect();
        if let Err(why) = self.in_sync(&mut session, &snapshot, all, call) {
            (call.output)(None, &format!("note: {why}"));
        }
        Ok(())
    }

    fn deploy_once(
        &self,
        session: &mut UpstreamSession<'_>,
        request: &DeployRequest,
        call: &Call,
    ) -> Result<(Report, bool), CatalogError> {
        let before = session.built()?;
        let jobs = request
            .jobs
            .as_ref()
            .map(|jobs| jobs.iter().map(|job| job.as_str()).collect::<Vec<_>>().join(","));
        let mut args = vec!["deploy"];
        if let Some(jobs) = &jobs {
            args.extend(["--jobs", jobs]);
        }
        if request.force {
            args.push("--force");
        }
        let started = start::before_deploy(&before);
        let started = start::make(self.remote.as_ref(), &before, "start", started, call);
        let (ended, after) = session.run(&args)?;
        let Some(after) = after else {
            let why = "upstream's database has vanished during the deploy".to_owned();
            let workers = judge::all(request, &before, &WorkerOutcome::Unknown { why });
            return Ok((Report { workers, allocations: Vec::new() }, false));
        };
        let (down, hopeless) = if ended.succeeded() || ended.was_cut() {
            (BTreeMap::new(), false)
        } else {
            self.down(&after, call)
        };
        let deploy = Deploy { request, before: &before, after: &after, ended: &ended, down: &down };
        let report = Report { workers: deploy.workers(), allocations: Vec::new() };
        if deploy.committed() {
            // These began with the files of then, and a start of what runs brings no new ones.
            let changed = |key: &(JobName, Host), row: &Row| {
                after
                    .rows
                    .get(key)
                    .is_some_and(|now| now.is_promoted() && now.current_hash != row.current_hash)
            };
            let changed = started.into_iter().filter(|(key, row)| changed(key, row)).collect();
            start::make(self.remote.as_ref(), &after, "restart", changed, call);
        }
        let again = judge::waits_for_workers(&deploy) && !hopeless;
        if deploy.committed() && !deploy.overlapped() && !ended.was_cut() {
            self.leave_in_sync(session, request, &after, call);
        }
        Ok((report, again))
    }

    /// After a deploy that rolled nothing out `job` commands would refuse to work. Where all that was
    /// asked for is disabled the next deploy puts that right, or the next `job`.
    fn leave_in_sync(
        &self,
        session: &mut UpstreamSession<'_>,
        request: &DeployRequest,
        after: &Snapshot,
        call: &Call,
    ) {
        if after.enabled_jobs(request.workers.as_deref()).is_empty() {
            return;
        }
        let hosts = request.workers.clone().unwrap_or_else(|| after.workers.keys().cloned().collect());
        if let Err(why) = self.in_sync(session, after, hosts, call) {
            (call.output)(None, &format!("note: `maand job` will not work until the next deploy: {why}"));
        }
    }

    /// Nothing can be deployed while a worker is dead: what was enabled again on the others is started all
    /// the same. It stays a failure, as the catalog knows nothing of it.
    fn start_anyway(&self, report: &mut Report, call: &Call) {
        let Ok(Some(snapshot)) = self.snapshot() else { return };
        let failed = |outcome: &WorkerOutcome| matches!(outcome, WorkerOutcome::Failed { .. });
        let hosts: Vec<Host> =
            report.workers.iter().filter(|(_, one)| failed(one)).map(|(host, _)| host.clone()).collect();
        // The step's time is up, and this is what there is to save.
        let call = Call { until: Instant::now() + START_ANYWAY, ..call.clone() };
        let pending = start::on_workers(&snapshot, &hosts);
        for ((job, host), _) in start::make(self.remote.as_ref(), &snapshot, "start", pending, &call) {
            if let Some(WorkerOutcome::Failed { error, .. }) = report.workers.get_mut(&host) {
                error.push_str(&format!("; {job} was started over SSH (catalog pending)"));
            }
        }
    }

    /// Waits until the workers that failed a deploy answer; `false`: there is no time left.
    fn wait_for_workers(&self, call: &Call) -> bool {
        let Ok(Some(snapshot)) = self.snapshot() else { return false };
        let mut said = String::new();
        loop {
            let (down, hopeless) = self.down(&snapshot, call);
            if down.is_empty() {
                return true;
            }
            if hopeless || call.cancel.is_cancelled() || Instant::now() + LOOK_AGAIN >= call.until {
                return false;
            }
            let names = down.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            if said != names {
                let line = format!(
                    "note: waiting for {names}: the upstream program deploys to no worker while a worker is down"
                );
                (call.output)(None, &line);
                said = names;
            }
            let until = Instant::now() + LOOK_AGAIN;
            while Instant::now() < until && !call.cancel.is_cancelled() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

impl Catalog for External {
    fn capabilities(&self) -> Capabilities {
        Capabilities { contacts_every_worker: true }
    }

    fn build(&self, call: &Call) -> Result<(), CatalogError> {
        let mut session = self.session("build", call)?;
        session.read()?;
        let (ended, _) = session.run(&["build"])?;
        if ended.was_cut() {
            return Err(CatalogError::Cancelled(ended.describe("build")));
        }
        if ended.succeeded() {
            return Ok(());
        }
        Err(CatalogError::Invalid(Problems::from(
            Problem::error("maand::external::build", ended.describe("build"))
                .help(ended.output().unwrap_or_else(|| "it printed nothing".to_owned())),
        )))
    }

    fn deploy(&self, request: &DeployRequest, call: &Call) -> Result<Report, CatalogError> {
        loop {
            let mut session = self.session("deploy", call)?;
            let (mut report, again) = self.deploy_once(&mut session, request, call)?;
            let external_changes = session.external_changes();
            // Others may use the program meanwhile.
            drop(session);
            if again && self.wait_for_workers(call) {
                continue;
            }
            if again {
                self.start_anyway(&mut report, call);
            }
            for outcome in report.workers.values_mut() {
                if let WorkerOutcome::Ok { evidence } = outcome {
                    external_changes.iter().for_each(|words| *evidence = format!("{evidence}; {words}"));
                }
            }
            return Ok(report);
        }
    }

    fn pending(&self, request: &DeployRequest) -> Result<Vec<AllocationReport>, CatalogError> {
        let snapshot = self.snapshot()?.unwrap_or_default();
        let in_scope = |(job, host): &(JobName, Host)| {
            request.jobs.as_ref().is_none_or(|jobs| jobs.contains(job))
                // Its deploys know no workers: what is pending anywhere would be carried out.
                && snapshot.workers.contains_key(host)
        };
        Ok(snapshot
            .rows
            .iter()
            .filter(|(key, _)| in_scope(key))
            .map(|((job, host), row)| judge::pending(job, host, row))
            .collect())
    }

    fn job(&self, request: &JobRequest, call: &Call) -> Result<Report, CatalogError> {
        job::job(self, request, call)
    }

    fn health(&self, request: &HealthRequest, call: &Call) -> Result<HealthReport, CatalogError> {
        health::health(self, request, call)
    }

    fn sync_check(&self, workers: &[Host], call: &Call) -> Result<Report, CatalogError> {
        // Not while a deploy is under way, which changes both sides.
        let mut session = self.session("job", call)?;
        let snapshot = session.built()?;
        let seen = sync::check_workers(self.remote.as_ref(), &snapshot, workers.to_vec(), call);
        let outcome = |seen: &WorkerSync| seen.outcome(snapshot.update_seq);
        let workers = seen.iter().map(|(host, seen)| (host.clone(), outcome(seen))).collect();
        Ok(Report { workers, allocations: Vec::new() })
    }

    fn allocations(&self) -> Result<Vec<CatalogAllocation>, CatalogError> {
        Ok(self.snapshot()?.unwrap_or_default().allocations())
    }
}
