//! Health: an authenticated round trip to each worker, then the probes of its jobs.
//!
//! One attempt looks at all probes of an allocation; with waiting it is repeated until all pass, the
//! manifest's number of attempts is spent, or the call's end has come.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::engine::Builtin;
use super::probe;
use super::state::{AllocationKey, State};
use super::wire::{PARALLEL, Wire};
use crate::bucket::{Host, JobName, PortRef, Probe};
use crate::catalog::{AllocationHealth, Call, CatalogError, HealthReport, HealthRequest, WorkerOutcome};
use crate::os::parallel_map;
use crate::ssh::{Script, Shell};

/// Tries of the round trip with `--wait`, as many as of a probe without numbers of its own.
const ATTEMPTS: u32 = 30;
/// Seconds between them.
const INTERVAL: u32 = 1;
/// Bound of the round trip.
const ROUND_TRIP: Duration = Duration::from_secs(20);
/// How soon a wait notices that it is cancelled.
const TICK: Duration = Duration::from_millis(100);

/// The whole operation.
pub(crate) fn health(
    engine: &Builtin,
    request: &HealthRequest,
    call: &Call,
) -> Result<HealthReport, CatalogError> {
    let (_, state) = engine.read_state()?;
    engine.check_names(&state, request.jobs.as_deref(), request.workers.as_deref())?;
    let wire = Wire::new(engine.remote.as_ref(), call);
    let in_scope = |key: &AllocationKey| request.jobs.as_ref().is_none_or(|jobs| jobs.contains(&key.job));
    let hosts: Vec<&Host> = state
        .workers
        .iter()
        .filter(|(host, row)| {
            let named = request.workers.as_ref().is_none_or(|hosts| hosts.contains(host));
            // With jobs named, only who has one of them.
            let has = request.jobs.is_none()
                || state
                    .allocations_of(host)
                    .any(|(key, row)| in_scope(key) && !row.removed && !row.disabled);
            named && has && !row.removed
        })
        .map(|(host, _)| host)
        .collect();
    let looked = parallel_map(&hosts, PARALLEL, |host| {
        let outcome = round_trip(&wire, host, request.wait);
        let jobs: BTreeSet<&JobName> = state
            .allocations_of(host)
            .filter(|(key, row)| in_scope(key) && !row.removed && !row.disabled)
            .map(|(key, _)| &key.job)
            .collect();
        let allocations: Vec<AllocationHealth> = jobs
            .into_iter()
            .map(|job| AllocationHealth {
                job: job.clone(),
                host: (*host).clone(),
                without_probes: probes_of(&state, job).is_empty(),
                outcome: if outcome.is_ok() {
                    allocation(&wire, &state, job, host, request.wait)
                } else {
                    outcome.clone()
                },
            })
            .collect();
        (outcome, allocations)
    });
    let mut report = HealthReport::default();
    for (host, (outcome, allocations)) in hosts.into_iter().zip(looked) {
        report.workers.insert(host.clone(), outcome);
        report.allocations.extend(allocations);
    }
    report.allocations.sort_by(|a, b| (&a.job, &a.host).cmp(&(&b.job, &b.host)));
    Ok(report)
}

fn allocation(wire: &Wire<'_>, state: &State, job: &JobName, host: &Host, wait: bool) -> WorkerOutcome {
    let key = AllocationKey { host: host.clone(), job: job.clone() };
    let deployed =
        state.allocations.get(&key).is_some_and(|row| row.current_hash.is_some() || row.attempt.is_some());
    if !deployed {
        let error = "it was never deployed: run `maand deploy` first".to_owned();
        return WorkerOutcome::Failed { error, output: None };
    }
    probe(wire, state, job, host, wait)
}

fn probes_of<'s>(state: &'s State, job: &JobName) -> &'s [Probe] {
    let check = state.jobs.get(job).and_then(|row| row.job.health_check.as_ref());
    check.map_or(&[], |check| &check.checks)
}

/// A script that does nothing, over a connection of this operation's own.
fn round_trip(wire: &Wire<'_>, host: &Host, wait: bool) -> WorkerOutcome {
    let attempts = if wait { ATTEMPTS } else { 1 };
    repeat(wire, attempts, INTERVAL, || {
        wire.forgive(host);
        let script = Script {
            what: "round trip".to_owned(),
            shell: Shell::Sh,
            sudo: false,
            text: ":".to_owned(),
            env: Vec::new(),
            deadline: ROUND_TRIP,
            watchdog: false,
            silence: None,
            users_own: false,
            lock: false,
        };
        match wire.run(host, script, false) {
            Ok(ran) if ran.code == 0 => WorkerOutcome::Ok { evidence: "answers".to_owned() },
            Ok(ran) => ran.failure("a round trip"),
            Err(outcome) => outcome,
        }
    })
}

/// All probes of a job on one worker, once or with waiting.
pub(super) fn probe(wire: &Wire<'_>, state: &State, job: &JobName, host: &Host, wait: bool) -> WorkerOutcome {
    let Some(row) = state.jobs.get(job) else {
        return WorkerOutcome::Failed { error: "there is no such job".to_owned(), output: None };
    };
    let Some(check) = &row.job.health_check else {
        return WorkerOutcome::Ok { evidence: "no probes".to_owned() };
    };
    let timeout = Duration::from_secs(check.timeout_seconds.max(1).into());
    let (attempts, interval) =
        if wait { (check.wait_attempts.max(1), check.wait_interval_seconds) } else { (1, 0) };
    repeat(wire, attempts, interval, || {
        for probe in &check.checks {
            if let Err(outcome) = once(wire, state, job, host, probe, timeout) {
                return outcome;
            }
        }
        let many = if check.checks.len() == 1 { "probe passes" } else { "probes pass" };
        WorkerOutcome::Ok { evidence: format!("{} {many}", check.checks.len()) }
    })
}

fn once(
    wire: &Wire<'_>,
    state: &State,
    job: &JobName,
    host: &Host,
    probe: &Probe,
    timeout: Duration,
) -> Result<(), WorkerOutcome> {
    let failed = |error: String| WorkerOutcome::Failed { error, output: None };
    let number = |port: &PortRef| match port {
        PortRef::Number(number) => Ok(*number),
        PortRef::Name(name) => state
            .jobs
            .get(job)
            .and_then(|row| row.ports.get(name))
            .copied()
            .ok_or_else(|| failed(format!("the job has no port named {name}"))),
    };
    let until = (Instant::now() + timeout).min(wire.call.until);
    match probe {
        Probe::Tcp { port } => probe::tcp(host, number(port)?, until).map_err(failed),
        Probe::Http { port, path, expect_status, scheme } if scheme == "http" => {
            probe::http(host, number(port)?, path, expect_status, until).map_err(failed)
        }
        Probe::Http { .. } => Err(failed("https probes are not built in".to_owned())),
        Probe::Ssh { command } => {
            let mut script = Script {
                what: format!("the ssh probe of {job}"),
                shell: Shell::Bash,
                sudo: wire.profile(host).use_sudo,
                text: format!("cd -- \"$MAAND_JOB_DIR\" || exit\nunset MAAND_JOB_DIR\n{command}\n"),
                env: Vec::new(),
                deadline: timeout,
                watchdog: true,
                silence: None,
                users_own: true,
                lock: false,
            };
            let folder = wire.profile(host).worker_dir.join("jobs").join(job.as_str());
            script.env = vec![
                ("MAAND_JOB_DIR".to_owned(), folder.to_string_lossy().into_owned()),
                ("BUCKET_ID".to_owned(), state.bucket_id.clone()),
                ("WORKER_IP".to_owned(), host.to_string()),
            ];
            match wire.run(host, script, false) {
                Ok(ran) if ran.code == 0 => Ok(()),
                Ok(ran) => Err(ran.users_failure("the ssh probe")),
                // It only looks, so that not to know is to have failed.
                Err(WorkerOutcome::Unknown { why }) => Err(failed(why)),
                Err(outcome) => Err(outcome),
            }
        }
    }
}

/// Tries until it is well, the attempts are spent, or the call ends.
fn repeat(
    wire: &Wire<'_>,
    attempts: u32,
    interval: u32,
    mut try_once: impl FnMut() -> WorkerOutcome,
) -> WorkerOutcome {
    let mut attempt = 1;
    loop {
        let outcome = try_once();
        if outcome.is_ok() || attempt >= attempts || wire.stopped().is_some() {
            return outcome;
        }
        attempt += 1;
        let until = Instant::now() + Duration::from_secs(interval.into());
        while Instant::now() < until {
            if wire.stopped().is_some() {
                return outcome;
            }
            std::thread::sleep(TICK.min(until.saturating_duration_since(Instant::now())));
        }
    }
}
