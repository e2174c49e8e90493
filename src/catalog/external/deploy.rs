//! `deploy`: the upstream program's, looked into while it runs, judged by what it left, and tried again where it could
//! only wait.

use std::collections::BTreeMap;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::database::{Row, Snapshot};
use super::engine::External;
use super::judge::{self, Deploy};
use super::session::UpstreamSession;
use super::{start, verify};
use crate::bucket::{Host, JobName};
use crate::catalog::{Call, Catalog, CatalogError, DeployRequest, Report, WorkerOutcome};
use crate::plan::Problems;

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

/// The whole operation.
pub(super) fn deploy(
    engine: &External,
    request: &DeployRequest,
    call: &Call,
) -> Result<Report, CatalogError> {
    let mut waits = Waits::default();
    let mut started = false;
    loop {
        let mut session =
            waits.during("another command in this bucket", || engine.session("deploy", call))?;
        let began = Instant::now();
        let (mut report, again) = engine.deploy_once(&mut session, request, call)?;
        let took = began.elapsed();
        let mut notes = session.external_changes();
        // Others may use the program meanwhile.
        drop(session);
        match again {
            Again::No => {}
            Again::WhenUp if waits.during("workers that were down", || engine.wait_for_workers(call)) => {
                continue;
            }
            Again::WhenUp => engine.start_anyway(&mut report, call),
            Again::WhenEnabled => {
                // What runs meanwhile is better than nothing, and is started once.
                if !std::mem::replace(&mut started, true) {
                    engine.start_anyway(&mut report, call);
                }
                if waits.during("jobs that were disabled everywhere", || engine.wait_for_jobs(call)) {
                    engine.build(call)?;
                    continue;
                }
            }
        }
        notes.extend(waits.words());
        for outcome in report.workers.values_mut() {
            if let WorkerOutcome::Ok { evidence } = outcome {
                if evidence == judge::NOTHING && took >= LONG {
                    evidence.push_str(&format!("; the upstream program took {} to see that", seconds(took)));
                }
                notes.iter().for_each(|words| *evidence = format!("{evidence}; {words}"));
            }
        }
        return Ok(report);
    }
}

impl External {
    fn deploy_once(
        &self,
        session: &mut UpstreamSession<'_>,
        request: &DeployRequest,
        call: &Call,
    ) -> Result<(Report, Again), CatalogError> {
        let before = session.built()?;
        self.refuse_same_machine(&before, call)
            .map_err(|problem| CatalogError::Invalid(Problems::from(problem)))?;
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
