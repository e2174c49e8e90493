//! [`External`]: the catalog of a bucket that belongs to an installed upstream program.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::database::Snapshot;
use super::identity::{self, Program};
use super::judge;
use super::session::{LastSeen, UpstreamSession};
use super::sync::{self, WorkerSync};
use super::watch::Beside;
use super::{deploy, health, job, verify};
use crate::bucket::lock::Guard;
use crate::bucket::{Bucket, Host, JobName};
use crate::catalog::{
    AllocationReport, Call, Capabilities, Catalog, CatalogAllocation, CatalogError, DeployRequest,
    HealthReport, HealthRequest, JobRequest, Report, same_machine,
};
use crate::plan::{Problem, Problems, Severity};
use crate::ssh::{Completion, Remote};

/// Who does not answer by then is not looked at before a deploy.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

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
    /// Entries that are another one's machine, once they were looked for.
    doubles: OnceLock<BTreeMap<Host, Host>>,
}

/// Takes a line for the operator.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

impl External {
    /// That of this bucket, driven by `program`, with workers reached by `remote`.
    pub fn new(bucket: Arc<Bucket>, remote: Arc<dyn Remote>, program: Program, workers: Vec<Host>) -> Self {
        let (left, doubles) = (Mutex::default(), OnceLock::new());
        Self { bucket, remote, program, workers, left, lent: None, say: None, doubles }
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
    pub(super) fn down(&self, snapshot: &Snapshot, call: &Call) -> (BTreeMap<Host, String>, bool) {
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

    /// Refuses to work on two entries that are one machine, which that program does not notice. They are looked for
    /// once by a process; who does not answer soon is not waited for.
    pub(super) fn refuse_same_machine(&self, snapshot: &Snapshot, call: &Call) -> Result<(), Problem> {
        let doubles = self.doubles.get_or_init(|| {
            let hosts: Vec<Host> = snapshot.workers.keys().cloned().collect();
            same_machine::find(&hosts, &snapshot.bucket_id, &snapshot.workers, |host| {
                let until = call.until.min(Instant::now() + ANSWERS_WITHIN);
                let mut connection = self.remote.connect(host, until, &call.cancel).ok()?;
                let script = same_machine::script(&self.remote.profile(host));
                match connection.run(&script, None) {
                    Completion::Exited { stdout, .. } => same_machine::read(&stdout.text()),
                    _ => None,
                }
            })
        });
        same_machine::problem(doubles).map_or(Ok(()), Err)
    }

    /// Refuses a deploy that an operator has typed where it would meet one machine twice.
    ///
    /// # Errors
    /// Which two entries are one machine. What keeps it from being seen is no error.
    pub fn before_deploy(&self, call: &Call) -> Result<(), Problem> {
        match self.snapshot() {
            Ok(Some(snapshot)) => self.refuse_same_machine(&snapshot, call),
            _ => Ok(()),
        }
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
        deploy::deploy(self, request, call)
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
