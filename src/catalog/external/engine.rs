//! [`External`]: the catalog of a bucket that belongs to an installed upstream program.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::database::{Row, Snapshot};
use super::identity::{self, Program};
use super::judge::{self, Deploy};
use super::session::{LastSeen, UpstreamSession};
use super::sync::{self, WorkerSync};
use super::watch::Beside;
use super::{health, job, start, verify};
use crate::bucket::lock::Guard;
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

/// A deploy that is not through by then is looked into: it may be waiting for a worker that is gone.
const QUIET: Duration = Duration::from_secs(3);

/// Between two looks into one deploy.
const LOOK_INTO: Duration = Duration::from_secs(15);

/// Who does not answer by then keeps a deploy waiting.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// A wait that is worth to be told of.
const LONG: Duration = Duration::from_secs(5);

/// What a deploy that has failed waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    /// Workers that do not answer.
    WhenUp,
    /// Jobs that are disabled everywhere: what needs their values cannot be deployed.
    WhenEnabled,
}

/// The catalog that the upstream program keeps.
pub struct External {
    pub(super) bucket: Arc<Bucket>,
    pub(super) remote: Arc<dyn Remote>,
    pub(super) program: Program,
    /// Those of `workers.json`, to know them in output.
    pub(super) workers: Vec<Host>,
    pub(super) left: Mutex<LastSeen>,
    /// The catalog's lock, where the caller holds it.
    pub(super) lent: Option<Arc<Guard>>,
    /// Told at once of what an operation waits for.
    say: Option<Say>,
}

/// Takes a line for the operator.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

impl External {
    /// That of this bucket, driven by `program`, with workers reached by `remote`.
    pub fn new(bucket: Arc<Bucket>, remote: Arc<dyn Remote>, program: Program, workers: Vec<Host>) -> Self {
        Self { bucket, remote, program, workers, left: Mutex::default(), lent: None, say: None }
    }

    /// Tells `say`, besides the output of each operation, at once of what that waits for.
    #[must_use]
    pub fn telling(self, say: Option<Say>) -> Self {
        Self { say, ..self }
    }

    /// A note in the output of an operation, and for who looks on.
    pub(super) fn note(&self, host: Option<&Host>, words: &str, call: &Call) {
        (call.output)(host, &format!("note: {words}"));
        if let Some(say) = &self.say {
            match host {
                Some(host) => say(&format!("{host}: {words}")),
                None => say(words),
            }
        }
    }

    /// Works under the catalog's lock that the caller holds already, instead of waiting for it.
    #[must_use]
    pub fn under(self, lock: Arc<Guard>) -> Self {
        Self { lent: Some(lock), ..self }
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

    /// Workers of the bucket that do not answer, and whether waiting for them is hopeless.
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
    fn repair(&self, session: &mut UpstreamSession<'_>, snapshot: &Snapshot) -> Result<Snapshot, String> {
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

    /// Whether a deploy that an operator has typed, and that says that it went well, has brought its files to the
    /// workers. What cannot be seen is not held against it.
    ///
    /// # Errors
    /// What is missing or may be, and the command that puts it right.
    pub fn check_deployed(
        &self,
        in_scope: &dyn Fn(&JobName) -> bool,
        beside: &Beside,
        call: &Call,
    ) -> Result<(), Problem> {
        let Ok(Some(snapshot)) = self.snapshot() else { return Ok(()) };
        let missing = verify::missing(self.remote.as_ref(), &snapshot, in_scope, call);
        let jobs: BTreeSet<JobName> = missing.values().flatten().cloned().collect();
        let hosts = missing.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        const CODE: &str = "maand::external::files_missing";
        match (jobs.is_empty(), &beside.harmful) {
            (true, None) => Ok(()),
            (true, Some(why)) => Err(Problem::error(CODE, why.clone()).help(judge::AFTER_OVERLAP)),
            (false, why) => {
                let message =
                    format!("the deploy says that it went well, and files of its jobs are gone on {hosts}");
                let why = why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
                Err(Problem::error(CODE, format!("{message}{why}")).help(verify::repair(&jobs)))
            }
        }
    }

    fn deploy_once(
        &self,
        session: &mut UpstreamSession<'_>,
        request: &DeployRequest,
        call: &Call,
    ) -> Result<(Report, Again), CatalogError> {
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
        let (ran, noticed) = self.looked_into(&before, call, || session.run(&args));
        let (ended, after) = ran?;
        let Some(after) = after else {
            let why = "upstream's database has vanished during the deploy".to_owned();
            let workers = judge::all(request, &before, &WorkerOutcome::Unknown { why });
            return Ok((Report { workers, allocations: Vec::new() }, Again::No));
        };
        let (down, hopeless) = if ended.succeeded() || call.cancel.is_cancelled() {
            (BTreeMap::new(), false)
        } else {
            // Also when its time is up: who it was waiting for is to blame, and not whose turn it was.
            self.down(&after, &Call { until: Instant::now() + ANSWERS_WITHIN, ..call.clone() })
        };
        let deploy = Deploy {
            request,
            before: &before,
            after: &after,
            ended: &ended,
            down: &down,
            missing: &BTreeMap::new(),
        };
        let committed = deploy.committed() && !ended.was_cut();
        let again = match () {
            () if judge::waits_for_workers(&deploy) && !hopeless => Again::WhenUp,
            () if judge::waits_for_jobs(&deploy) => Again::WhenEnabled,
            () => Again::No,
        };
        let missing = if committed {
            verify::missing(self.remote.as_ref(), &after, &|job| deploy.in_scope(job), call)
        } else {
            BTreeMap::new()
        };
        for (host, jobs) in &missing {
            let line = format!("note: files that were deployed are not there: {}", verify::repair(jobs));
            (call.output)(Some(host), &line);
        }
        // One that has come back since was in the way all the same.
        let mut named = down.clone();
        if !ended.succeeded() && !committed {
            for (host, why) in noticed {
                named.entry(host).or_insert(why);
            }
        }
        let deploy = Deploy { down: &named, missing: &missing, ..deploy };
        let report = Report { workers: deploy.workers(), allocations: Vec::new() };
        if committed {
            // These began with the files of then, and a start of what runs brings no new ones.
            let changed = |key: &(JobName, Host), row: &Row| {
                after
                    .rows
                    .get(key)
                    .is_some_and(|now| now.is_promoted() && now.current_hash != row.current_hash)
            };
            let changed = started.into_iter().filter(|(key, row)| changed(key, row)).collect();
            start::make(self.remote.as_ref(), &after, "restart", changed, call);
            if deploy.overlap().is_none() {
                self.leave_in_sync(session, request, &after, call);
            }
        }
        Ok((report, again))
    }

    /// Does `work`, and looks meanwhile whether a worker keeps it waiting, which that program does not say.
    /// Also answers with the workers that did not answer then.
    fn looked_into<T>(
        &self,
        snapshot: &Snapshot,
        call: &Call,
        work: impl FnOnce() -> T,
    ) -> (T, BTreeMap<Host, String>) {
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let looks = scope.spawn(move || {
                let mut seen = BTreeMap::new();
                let mut pause = QUIET;
                while is_done.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    pause = LOOK_INTO;
                    let call = Call { until: Instant::now() + ANSWERS_WITHIN, ..call.clone() };
                    let down = self.down(snapshot, &call).0;
                    if call.cancel.is_cancelled() {
                        break;
                    }
                    for (host, why) in down {
                        if seen.insert(host.clone(), why.clone()).is_none() {
                            let words = format!(
                                "it does not answer, and the upstream program deploys to no worker while a worker is down: {why}"
                            );
                            self.note(Some(&host), &words, &call);
                        }
                    }
                }
                seen
            });
            let made = work();
            drop(done);
            (made, looks.join().unwrap_or_default())
        })
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

    /// Waits until the workspace enables one of the jobs again that the database has disabled everywhere. `false`:
    /// there is no time left.
    fn wait_for_jobs(&self, call: &Call) -> bool {
        let Ok(Some(snapshot)) = self.snapshot() else { return false };
        let jobs = snapshot.disabled_everywhere();
        let names = jobs.iter().map(|job| job.as_str()).collect::<Vec<_>>().join(", ");
        let words = format!(
            "waiting for {names}: the upstream program has no values of a job that is disabled on all workers, and files that need them cannot be made"
        );
        self.note(None, &words, call);
        loop {
            // In the middle of an edit it may not be readable.
            let enabled = self.bucket.load().is_ok_and(|(fleet, _)| {
                let enabled = fleet.allocations().into_iter().filter(|allocation| !allocation.disabled);
                enabled.into_iter().any(|allocation| jobs.contains(&fleet.job(allocation.job).name))
            });
            if enabled {
                return true;
            }
            if call.cancel.is_cancelled() || Instant::now() + LOOK_AGAIN >= call.until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(200));
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
                let words = format!(
                    "waiting for {names}: the upstream program deploys to no worker while a worker is down"
                );
                self.note(None, &words, call);
                said = names;
            }
            let until = Instant::now() + LOOK_AGAIN;
            while Instant::now() < until && !call.cancel.is_cancelled() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// What an operation has waited for, and how long.
#[derive(Default)]
struct Waits(Vec<(&'static str, Duration)>);

impl Waits {
    fn during<T>(&mut self, what: &'static str, wait: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = wait();
        match self.0.iter_mut().find(|(known, _)| *known == what) {
            Some((_, so_far)) => *so_far += began.elapsed(),
            None => self.0.push((what, began.elapsed())),
        }
        done
    }

    /// Those that took long.
    fn words(&self) -> impl Iterator<Item = String> {
        let long = self.0.iter().filter(|(_, took)| *took >= LONG);
        long.map(|(what, took)| format!("waited {} for {what}", seconds(*took)))
    }
}

/// `1m 24s`.
fn seconds(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m {seconds}s"),
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
        let mut waits = Waits::default();
        let mut started = false;
        loop {
            let mut session =
                waits.during("another command in this bucket", || self.session("deploy", call))?;
            let began = Instant::now();
            let (mut report, again) = self.deploy_once(&mut session, request, call)?;
            let took = began.elapsed();
            let mut notes = session.external_changes();
            // Others may use the program meanwhile.
            drop(session);
            match again {
                Again::No => {}
                Again::WhenUp if waits.during("workers that were down", || self.wait_for_workers(call)) => {
                    continue;
                }
                Again::WhenUp => self.start_anyway(&mut report, call),
                Again::WhenEnabled => {
                    // What runs meanwhile is better than nothing, and is started once.
                    if !std::mem::replace(&mut started, true) {
                        self.start_anyway(&mut report, call);
                    }
                    if waits.during("jobs that were disabled everywhere", || self.wait_for_jobs(call)) {
                        self.build(call)?;
                        continue;
                    }
                }
            }
            notes.extend(waits.words());
            for outcome in report.workers.values_mut() {
                if let WorkerOutcome::Ok { evidence } = outcome {
                    if evidence == judge::NOTHING && took >= LONG {
                        evidence
                            .push_str(&format!("; the upstream program took {} to see that", seconds(took)));
                    }
                    notes.iter().for_each(|words| *evidence = format!("{evidence}; {words}"));
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
