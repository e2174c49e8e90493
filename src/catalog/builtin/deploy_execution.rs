//! Rolling one deploy out: worker.json, stops, and each job in its batches.
//!
//! The catalog is written before something is sent (the attempt) and after its outcome is known. One
//! thread owns catalog and results; workers are talked to on threads of their own, which only return
//! what they saw.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::deploy::past;
use super::engine::Builtin;
use super::health;
use super::planning::{DeployPlan, Planned, ReceiptCheck};
use super::rows::action_name;
use super::scripts::{Task, code, job_env};
use super::state::{AllocationKey, Attempt, State};
use super::store::Store;
use super::tree::{Spool, Tree};
use super::wire::{PARALLEL, Wire};
use crate::bucket::{Host, JobName};
use crate::catalog::{Action, CatalogError, WorkerOutcome, same_machine};
use crate::os::parallel_map;

/// One deploy while it runs.
pub(super) struct DeployExecution<'a> {
    engine: &'a Builtin,
    wire: &'a Wire<'a>,
    /// Behind a lock only so that threads may look at the rest of this meanwhile.
    store: Mutex<Store>,
    pub(super) state: State,
    trees: BTreeMap<JobName, Tree>,
    id: String,
    /// How each allocation ended.
    pub(super) results: BTreeMap<AllocationKey, WorkerOutcome>,
    /// Each worker that was greeted; `Some` says why nothing more is sent to it.
    pub(super) dead: BTreeMap<Host, Option<WorkerOutcome>>,
    /// Attempts as they were before this deploy, for those that never began.
    before: BTreeMap<AllocationKey, Option<Attempt>>,
    /// Jobs whose health check failed: what demands them is not begun.
    halted: BTreeSet<JobName>,
    force: bool,
}

/// A job's stream, made when the first worker needs it.
type Lazy = OnceLock<Result<Spool, String>>;

impl<'a> DeployExecution<'a> {
    pub(super) fn new(
        engine: &'a Builtin,
        wire: &'a Wire<'a>,
        store: Store,
        state: State,
        trees: BTreeMap<JobName, Tree>,
        force: bool,
    ) -> Self {
        Self {
            engine,
            wire,
            store: Mutex::new(store),
            state,
            trees,
            id: uuid::Uuid::new_v4().to_string(),
            results: BTreeMap::new(),
            dead: BTreeMap::new(),
            before: BTreeMap::new(),
            halted: BTreeSet::new(),
            force,
        }
    }

    /// Looks for tools on every worker with something to do and writes its worker.json and jobs.json.
    pub(super) fn sync(&mut self, plan: &DeployPlan) -> Result<(), CatalogError> {
        self.state.update_seq += 1;
        let seq = self.state.update_seq;
        let hosts: BTreeSet<&Host> = plan.work().map(|p| &p.host).chain(&plan.resync).collect();
        // What leaves the bucket gets no worker.json any more.
        let in_bucket = |host: &&Host| self.state.workers.get(*host).is_some_and(|row| !row.removed);
        let mut hosts: Vec<Host> = hosts.into_iter().filter(in_bucket).cloned().collect();
        for (double, first) in self.same_machines(&hosts) {
            hosts.retain(|host| *host != double);
            let error = same_machine::words(&double, &first);
            self.dead.insert(double, Some(WorkerOutcome::Failed { error, output: None }));
        }
        for host in &hosts {
            if let Some(row) = self.state.workers.get_mut(host) {
                row.sent_seq = seq;
            }
        }
        self.touch(&[], &hosts)?;
        let (state, wire) = (&self.state, self.wire);
        let greeted = parallel_map(&hosts, PARALLEL, |host| {
            if let Some(why) = wire.stopped() {
                return Some(WorkerOutcome::not_begun(why));
            }
            let mut script = wire.script(Task::Sync, host);
            let text = |value: Result<String, serde_json::Error>| value.unwrap_or_default();
            let worker_json = text(serde_json::to_string(&state.worker_json(host, seq)));
            let jobs_json = text(serde_json::to_string(&state.jobs_json(host)));
            script.env.push(("MAAND_WORKER_JSON".to_owned(), worker_json));
            script.env.push(("MAAND_JOBS_JSON".to_owned(), jobs_json));
            match wire.run(host, script, false) {
                Ok(ran) if ran.code == 0 => None,
                Ok(ran) => Some(ran.failure("writing worker.json")),
                Err(outcome) => Some(outcome),
            }
        });
        for (host, outcome) in hosts.iter().zip(greeted) {
            if outcome.is_none()
                && let Some(row) = self.state.workers.get_mut(host)
            {
                row.confirmed_seq = seq;
            }
            self.dead.insert(host.clone(), outcome);
        }
        self.touch(&[], &hosts)
    }

    /// Entries that are another one's machine, and whose. One that does not answer says so when it is greeted.
    fn same_machines(&self, hosts: &[Host]) -> BTreeMap<Host, Host> {
        let live = self.state.workers.iter().filter(|(_, row)| !row.removed);
        let ids = live.map(|(host, row)| (host.clone(), row.worker_id.clone())).collect();
        same_machine::find(hosts, &self.state.bucket_id, &ids, |host| {
            if self.wire.stopped().is_some() {
                return None;
            }
            let ran = self.wire.run(host, same_machine::script(&self.wire.profile(host)), false).ok()?;
            same_machine::read(&ran.stdout())
        })
    }

    /// Stops what is disabled or removed, on all workers at once; on one worker what was deployed last
    /// is stopped first.
    pub(super) fn stop(&mut self, planned: &[&Planned]) -> Result<(), CatalogError> {
        let planned = self.alive(planned);
        if planned.is_empty() {
            return Ok(());
        }
        self.issue(&planned)?;
        let mut by_host: BTreeMap<&Host, Vec<&Planned>> = BTreeMap::new();
        planned.iter().rev().for_each(|p| by_host.entry(&p.host).or_default().push(p));
        let by_host: Vec<Vec<&Planned>> = by_host.into_values().collect();
        let this = &*self;
        let outcomes = parallel_map(&by_host, PARALLEL, |list| {
            list.iter().map(|p| (*p, this.stop_one(p))).collect::<Vec<_>>()
        });
        let outcomes = outcomes.into_iter().flatten().map(|(planned, outcome)| {
            let gone = self.state.workers.get(&planned.host).is_none_or(|row| row.removed);
            let outcome = match outcome {
                WorkerOutcome::Unreachable { .. } if gone && self.force => {
                    WorkerOutcome::Ok { evidence: "forgotten: the worker cannot be reached".to_owned() }
                }
                WorkerOutcome::Unreachable { error } if gone => WorkerOutcome::Unreachable {
                    error: format!(
                        "{error}; where this worker is gone for good, `maand deploy --force --workers {}` forgets it",
                        planned.host
                    ),
                },
                other => other,
            };
            (planned, outcome)
        });
        let outcomes: Vec<_> = outcomes.collect();
        self.settle(outcomes)
    }

    fn stop_one(&self, planned: &Planned) -> WorkerOutcome {
        if let Some(why) = self.wire.stopped() {
            return WorkerOutcome::not_begun(why);
        }
        let row = self.state.allocations.get(&key(planned));
        let stopped = row.is_some_and(|row| {
            row.stopped && self.before.get(&key(planned)).is_none_or(|before| before.is_none())
        });
        let mut evidence = past(planned.action).to_owned();
        // What is known to be stopped needs no second stop before its files go.
        if !(planned.action == Action::Remove && stopped) {
            match self.make(planned, "stop") {
                Ok(code::ALREADY_DONE) => evidence.push_str(", by an earlier deploy"),
                Ok(_) => {}
                Err(outcome) if planned.action == Action::Remove => return not_removed(planned, outcome),
                Err(outcome) => return outcome,
            }
        }
        if planned.action == Action::Remove {
            let mut script = self.wire.script(Task::Remove, &planned.host);
            script.env.push(("MAAND_JOB".to_owned(), planned.job.to_string()));
            match self.wire.run(&planned.host, script, false) {
                Ok(ran) if ran.code == 0 => {}
                Ok(ran) => return ran.failure("removing files"),
                Err(outcome) => return outcome,
            }
        }
        WorkerOutcome::Ok { evidence }
    }

    /// One job: new and re-enabled allocations first, then the changed ones, each in its batches.
    pub(super) fn job(&mut self, job: &JobName, planned: &[&Planned]) -> Result<(), CatalogError> {
        let planned = self.alive(planned);
        let planned = self.demanded(job, &planned);
        let Some(row) = self.state.jobs.get(job) else { return Ok(()) };
        let (starts_at_once, upgrades_at_once) =
            (row.job.max_concurrent_starts, row.job.max_concurrent_upgrades);
        let of = |wanted: &[Action]| -> Vec<&Planned> {
            planned.iter().copied().filter(|p| wanted.contains(&p.action)).collect()
        };
        let (starts, upgrades, files) =
            (of(&[Action::Start]), of(&[Action::Restart, Action::Reload]), of(&[Action::Sync]));
        let spool = Lazy::new();
        let size = if starts_at_once == 0 { starts.len() } else { starts_at_once as usize };
        let mut started = Vec::new();
        for batch in starts.chunks(size.max(1)) {
            started.extend(self.batch(batch, &spool)?);
        }
        // One check after all of them, as starts take nothing away that was there.
        self.check(job, started)?;
        for batch in files.chunks(PARALLEL) {
            let done = self.batch(batch, &spool)?;
            self.settle(done)?;
        }
        let mut rest = upgrades.chunks((upgrades_at_once as usize).max(1));
        while !self.halted.contains(job) {
            let Some(batch) = rest.next() else { break };
            let done = self.batch(batch, &spool)?;
            self.check(job, done)?;
        }
        for planned in rest.flatten() {
            let why = format!("{job} failed its health check on another worker");
            self.results.insert(key(planned), WorkerOutcome::not_begun(&why));
        }
        Ok(())
    }

    /// Files and make for each of a batch at the same time. Not yet settled.
    fn batch<'p>(
        &mut self,
        batch: &[&'p Planned],
        spool: &Lazy,
    ) -> Result<Vec<(&'p Planned, WorkerOutcome)>, CatalogError> {
        if let Some(why) = self.wire.stopped() {
            return Ok(batch.iter().map(|p| (*p, WorkerOutcome::not_begun(why))).collect());
        }
        self.issue(batch)?;
        let this = &*self;
        Ok(parallel_map(batch, PARALLEL, |planned| (*planned, this.roll_one(planned, spool))))
    }

    fn roll_one(&self, planned: &Planned, spool: &Lazy) -> WorkerOutcome {
        let ok = |how: &str| {
            let evidence = format!("{}{how}", past(planned.action));
            (self.wire.call.output)(Some(&planned.host), &format!("{}: {evidence}", planned.job));
            WorkerOutcome::Ok { evidence }
        };
        let mut sent = false;
        if planned.action == Action::Sync || !planned.has_files {
            if let Err(outcome) = self.put(planned, spool) {
                return outcome;
            }
            sent = true;
        }
        if planned.action == Action::Sync {
            return ok("");
        }
        loop {
            match self.make(planned, action_name(planned.action)) {
                Ok(code::ALREADY_DONE) => return ok(" already, by a deploy that was interrupted"),
                Ok(code::NO_FILES) if !sent => {
                    if let Err(outcome) = self.put(planned, spool) {
                        return outcome;
                    }
                    sent = true;
                }
                Ok(code::NO_FILES) => {
                    let error = "the files that were just put there are gone again".to_owned();
                    return WorkerOutcome::Failed { error, output: None };
                }
                Ok(_) => return ok(""),
                Err(outcome) => return outcome,
            }
        }
    }

    /// Sends the job's files and swaps them in.
    fn put(&self, planned: &Planned, spool: &Lazy) -> Result<(), WorkerOutcome> {
        let failed = |error: String| WorkerOutcome::Failed { error, output: None };
        let (Some(tree), Some(row)) = (self.trees.get(&planned.job), self.state.jobs.get(&planned.job))
        else {
            return Err(failed("the job is not in the workspace any more".to_owned()));
        };
        let paths = self.engine.bucket.paths();
        let spool = spool.get_or_init(|| {
            let folder = paths.jobs.join(planned.job.as_str());
            Spool::new(tree, &folder, &row.hash, &paths.tmp).map_err(|error| error.to_string())
        });
        let spool = spool.as_ref().map_err(|error| failed(error.clone()))?;
        let mut script = self.wire.script(Task::Put, &planned.host);
        script.env.push(("MAAND_JOB".to_owned(), planned.job.to_string()));
        script.env.push(("MAAND_HASH".to_owned(), row.hash.clone()));
        let ran = self.wire.send(&planned.host, script, &mut spool.reader(), spool.length)?;
        if ran.code == 0 { Ok(()) } else { Err(ran.failure("putting files")) }
    }

    /// Runs make with a receipt: 0, [`code::ALREADY_DONE`], [`code::NO_FILES`], or what went wrong.
    fn make(&self, planned: &Planned, action: &str) -> Result<i32, WorkerOutcome> {
        let row = self.state.allocations.get(&key(planned));
        let attempt = row.and_then(|row| row.attempt.as_ref());
        let (deploy, hash) = attempt.map(|a| (a.deploy_id.clone(), a.hash.clone())).unwrap_or_default();
        let receipt_check = match planned.receipt_check {
            ReceiptCheck::SameTree => "tree",
            ReceiptCheck::SameAttempt => "attempt",
            ReceiptCheck::Never => "never",
        };
        let mut script = self.wire.script(Task::Make, &planned.host);
        script.what = format!("make {action} of {}", planned.job);
        script.deadline = self.engine.make_timeout;
        script.env.extend(job_env(
            &self.state,
            &planned.job,
            row.and_then(|row| row.current_version.as_deref()),
        ));
        script.env.extend([
            ("MAAND_ACTION".to_owned(), action.to_owned()),
            ("MAAND_HASH".to_owned(), hash),
            ("MAAND_DEPLOY".to_owned(), deploy),
            ("MAAND_LOOK".to_owned(), receipt_check.to_owned()),
        ]);
        let ran = self.wire.run(&planned.host, script, true)?;
        match ran.code {
            0 | code::ALREADY_DONE | code::NO_FILES => Ok(ran.code),
            _ => Err(ran.failure(&format!("make {action}"))),
        }
    }

    /// The health check after a batch; what passes is promoted. A job that fails it is halted.
    fn check(&mut self, job: &JobName, done: Vec<(&Planned, WorkerOutcome)>) -> Result<(), CatalogError> {
        let has_probes = self.state.jobs.get(job).is_some_and(|row| row.job.health_check.is_some());
        if !has_probes {
            return self.settle(done);
        }
        let (state, wire) = (&self.state, self.wire);
        let checked = parallel_map(&done, PARALLEL, |(planned, outcome)| {
            if !outcome.is_ok() {
                return (outcome.clone(), false);
            }
            match health::probe(wire, state, &planned.job, &planned.host, true) {
                WorkerOutcome::Ok { .. } => (outcome.clone(), false),
                WorkerOutcome::Failed { error, output } => {
                    (WorkerOutcome::Failed { error: format!("health check: {error}"), output }, true)
                }
                // The job itself was begun.
                WorkerOutcome::NotBegun { error } => {
                    (WorkerOutcome::Failed { error: format!("health check: {error}"), output: None }, true)
                }
                other => (other, true),
            }
        });
        if checked.iter().any(|(_, sick)| *sick) {
            self.halted.insert(job.clone());
        }
        let done =
            done.into_iter().zip(checked).map(|((planned, _), (outcome, _))| (planned, outcome)).collect();
        self.settle(done)
    }

    /// Notes attempts in the catalog, before anything is sent.
    fn issue(&mut self, batch: &[&Planned]) -> Result<(), CatalogError> {
        for planned in batch {
            let key = key(planned);
            let wanted = self.state.jobs.get(&planned.job).map(|row| row.hash.clone());
            let Some(row) = self.state.allocations.get_mut(&key) else { continue };
            let before = row.attempt.take();
            let stops = matches!(planned.action, Action::Stop | Action::Remove);
            let hash = match (&before, &planned.takes_up) {
                (Some(before), Some(_)) => before.hash.clone(),
                _ if stops => row.current_hash.clone().unwrap_or_default(),
                _ => wanted.unwrap_or_default(),
            };
            row.attempt = Some(Attempt {
                deploy_id: planned.takes_up.clone().unwrap_or_else(|| self.id.clone()),
                action: planned.action,
                hash,
                failed: false,
            });
            self.before.insert(key, before);
        }
        let keys: Vec<AllocationKey> = batch.iter().map(|p| key(p)).collect();
        self.touch(&keys, &[])
    }

    /// Writes down what is known now: promoted, failed, or still in doubt.
    fn settle(&mut self, done: Vec<(&Planned, WorkerOutcome)>) -> Result<(), CatalogError> {
        let mut keys = Vec::new();
        for (planned, outcome) in done {
            let key = key(planned);
            let wanted =
                self.state.jobs.get(&planned.job).map(|row| (row.hash.clone(), row.job.version.clone()));
            match (&outcome, planned.action, self.state.allocations.get_mut(&key)) {
                (WorkerOutcome::Ok { .. }, Action::Remove, _) => {
                    self.state.allocations.remove(&key);
                }
                (WorkerOutcome::Ok { .. }, action, Some(row)) => {
                    row.attempt = None;
                    row.stopped = action == Action::Stop;
                    if let Some((hash, version)) = wanted.filter(|_| action != Action::Stop) {
                        if row.current_hash.as_ref() != Some(&hash) {
                            row.previous_hash = row.current_hash.replace(hash);
                        }
                        row.current_version = Some(version);
                    }
                }
                (WorkerOutcome::Failed { .. } | WorkerOutcome::NotBegun { .. }, _, Some(row)) => {
                    // Without an attempt of this deploy it was not begun.
                    if let Some(attempt) = row.attempt.as_mut().filter(|_| self.before.contains_key(&key)) {
                        attempt.failed = true;
                    }
                }
                // Nothing was sent: as if it had never been tried.
                (WorkerOutcome::Unreachable { .. }, _, Some(row)) => {
                    if let Some(before) = self.before.get(&key) {
                        row.attempt = before.clone();
                    }
                }
                _ => {}
            }
            keys.push(key.clone());
            self.results.insert(key, outcome);
        }
        self.touch(&keys, &[])
    }

    fn touch(&mut self, keys: &[AllocationKey], hosts: &[Host]) -> Result<(), CatalogError> {
        let store = self.store.get_mut().unwrap_or_else(PoisonError::into_inner);
        store.touch(&self.state, keys, hosts)
    }

    /// Writes all that differs from `old`.
    pub(super) fn save(&mut self, old: &State) -> Result<(), CatalogError> {
        self.store.get_mut().unwrap_or_else(PoisonError::into_inner).save(old, &self.state, &[])
    }

    /// Those whose worker can be talked to; the others get its outcome.
    fn alive<'p>(&mut self, planned: &[&'p Planned]) -> Vec<&'p Planned> {
        let mut alive = Vec::new();
        for planned in planned {
            match self.dead.get(&planned.host) {
                Some(Some(outcome)) => {
                    self.results.insert(key(planned), outcome.clone());
                }
                _ => alive.push(*planned),
            }
        }
        alive
    }

    /// Those whose demands got through on the same worker; the others say which did not.
    fn demanded<'p>(&mut self, job: &JobName, planned: &[&'p Planned]) -> Vec<&'p Planned> {
        let demands = self.state.jobs.get(job).map(|row| row.job.demands.clone()).unwrap_or_default();
        let mut go = Vec::new();
        for planned in planned {
            let missing = demands.iter().find(|demanded| {
                let there = AllocationKey { host: planned.host.clone(), job: (*demanded).clone() };
                let stopped =
                    self.state.allocations.get(&there).is_some_and(|row| row.disabled || row.removed);
                self.halted.contains(*demanded)
                    || (!stopped && self.results.get(&there).is_some_and(|outcome| !outcome.is_ok()))
            });
            match missing {
                Some(demanded) => {
                    let why = format!("{demanded}, which it demands, did not get through");
                    self.results.insert(key(planned), WorkerOutcome::not_begun(&why));
                }
                None => go.push(*planned),
            }
        }
        go
    }
}

/// A job whose stop fails stays where it is, and every deploy tries again: what to do about it.
fn not_removed(planned: &Planned, outcome: WorkerOutcome) -> WorkerOutcome {
    match outcome {
        WorkerOutcome::Failed { error, output } => WorkerOutcome::Failed {
            error: format!(
                "{error}; it stays there until its stop works: fix jobs/{}/Makefile on the worker, or put the \
                 job back, deploy it and remove it again",
                planned.job
            ),
            output,
        },
        outcome => outcome,
    }
}

fn key(planned: &Planned) -> AllocationKey {
    AllocationKey { host: planned.host.clone(), job: planned.job.clone() }
}
