//! Deploys of several workers, coalesced: one operation serves all that wait. Who is served by which is decided
//! by [`crate::controller::Batches`]; the threads of those that wait sleep here.
//!
//! What happened to one worker is read from the evidence about that worker, never from how the whole went.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bucket::{Host, JobName};
use crate::catalog::{Call, Catalog, CatalogError, DeployRequest, WorkerOutcome};
use crate::controller::{Batch, Batches, Ticket};
use crate::engine::{ErrorKind, Evidence, Outcome, StepError};
use crate::plan::Severity;
use crate::report::WaitPhase;

use super::access::not_done;

/// Between two tries to get the catalog's lock, after the catalog itself has waited for it.
const LOCK_AGAIN: Duration = Duration::from_secs(1);

/// A wait for another worker's deploy that is worth to be told of: the step's own time says nothing of it.
const LONG: Duration = Duration::from_secs(5);

/// What can be done in one operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DeployKind {
    pub(super) jobs: Option<Vec<JobName>>,
    pub(super) force: bool,
}

/// Something to be done, together with others, before each operation; an error keeps it from taking
/// place.
pub(super) type Before = Box<dyn Fn() -> Result<(), Outcome> + Send + Sync>;

/// Told what the caller waits for.
type Tell<'a> = &'a dyn Fn(WaitPhase);

/// The one place from which a run builds and deploys.
pub(super) struct Deployer {
    catalog: Arc<dyn Catalog>,
    before: Before,
    state: Mutex<State>,
    changed: Condvar,
}

/// The operation that is under way.
struct Running {
    hosts: BTreeSet<Host>,
    call: Call,
    /// When it was last heard of.
    heard: Arc<Mutex<Instant>>,
    /// The worker that has booted by itself, for which all of it was ended.
    ended_for: Option<Host>,
}

/// Workers to be deployed to.
struct Asked {
    hosts: BTreeSet<Host>,
    since: Instant,
}

#[derive(Default)]
struct State {
    batches: Batches<DeployKind, Asked>,
    results: BTreeMap<Ticket, BTreeMap<Host, Outcome>>,
    running: Option<Running>,
}

impl Deployer {
    pub(super) fn new(catalog: Arc<dyn Catalog>, before: Before) -> Self {
        Self { catalog, before, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panicking leader leaves nothing half done here: tickets stay or are gone.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Build only.
    pub(super) fn build(&self, call: &Call, tell: Tell<'_>) -> Outcome {
        if let Err(outcome) = (self.before)() {
            return outcome;
        }
        loop {
            match self.catalog.build(call) {
                Ok(()) => return Outcome::noted("built"),
                Err(error) => match again(error, call, tell) {
                    Some(outcome) => return outcome,
                    None => std::thread::sleep(LOCK_AGAIN),
                },
            }
        }
    }

    /// Builds and deploys `hosts`, in one operation with others that want the same.
    pub(super) fn deploy(
        &self,
        kind: DeployKind,
        hosts: BTreeSet<Host>,
        call: &Call,
        tell: Tell<'_>,
    ) -> BTreeMap<Host, Outcome> {
        let mut say_at = Instant::now() + LONG;
        let mut state = self.state();
        let ticket = state.batches.join(kind, Asked { hosts, since: Instant::now() });
        let batch = loop {
            if let Some(done) = state.results.remove(&ticket) {
                return done;
            }
            if call.cancel.is_cancelled()
                && let Some(Asked { hosts, .. }) = state.batches.withdraw(ticket)
            {
                let outcome = Outcome::unknown("given up before the deploy began");
                return hosts.into_iter().map(|host| (host, outcome.clone())).collect();
            }
            if let Some(batch) = state.batches.lead(ticket) {
                break batch;
            }
            if Instant::now() >= say_at {
                say_at += LONG;
                tell(WaitPhase::Waits { r#for: "the deploy of another worker".to_owned() });
            }
            // The time-out only lets a given-up caller go.
            state = self
                .changed
                .wait_timeout(state, Duration::from_millis(200))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        };
        drop(state);

        let Batch { kind, served } = batch;
        let began = Instant::now();
        let all: BTreeSet<Host> = served.iter().flat_map(|(_, asked)| &asked.hosts).cloned().collect();
        let call = &self.begins(&all, call);
        // A panic here must not leave the others waiting for a leader that is gone.
        let work = std::panic::AssertUnwindSafe(|| self.lead(&kind, &all, call, tell));
        let mut outcomes = std::panic::catch_unwind(work).unwrap_or_else(|_| {
            let why = "a bug in maand ended the deploy (see the message above)".to_owned();
            all.iter().map(|host| (host.clone(), Outcome::unknown(why.clone()))).collect()
        });

        let mut state = self.state();
        state.batches.ended();
        if let Some(booted) = state.running.take().and_then(|running| running.ended_for) {
            for outcome in outcomes.values_mut().filter(|outcome| matches!(outcome, Outcome::Unknown { .. }))
            {
                *outcome = Outcome::unknown(format!(
                    "{booted} has booted by itself in the middle of a deploy that was for all, which stood still and was \
                     ended"
                ));
            }
        }
        for (ticket, Asked { hosts, since }) in served {
            let waited = began.saturating_duration_since(since);
            let own = hosts
                .into_iter()
                .map(|host| {
                    let outcome =
                        outcomes.get(&host).cloned().unwrap_or_else(|| Outcome::noted("nothing to do"));
                    (host, after_waiting(outcome, waited))
                })
                .collect();
            state.results.insert(ticket, own);
        }
        self.changed.notify_all();
        state.results.remove(&ticket).unwrap_or_default()
    }

    /// Takes note of an operation for these workers; answers with its call.
    fn begins(&self, hosts: &BTreeSet<Host>, call: &Call) -> Call {
        let heard = Arc::new(Mutex::new(Instant::now()));
        let (noted, inner) = (Arc::clone(&heard), Arc::clone(&call.output));
        let call = Call {
            output: Arc::new(move |host, line| {
                *noted.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                inner(host, line);
            }),
            ..call.clone()
        };
        let running = Running { hosts: hosts.clone(), call: call.clone(), heard, ended_for: None };
        self.state().running = Some(running);
        call
    }

    /// A worker has booted by itself: what is under way there is ended. An operation that is for all workers at once
    /// ends by itself where the worker's connections broke, and is ended once it has stood still for `silence`.
    /// `false`: not yet.
    pub(super) fn cut(&self, host: &Host, silence: Duration) -> bool {
        let mut state = self.state();
        let Some(running) = state.running.as_mut().filter(|running| running.hosts.contains(host)) else {
            return true;
        };
        if !self.catalog.capabilities().contacts_every_worker {
            running.call.cuts.cut(host);
            return true;
        }
        let heard = *running.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let stands_still = heard.elapsed() >= silence;
        if stands_still {
            running.ended_for = Some(host.clone());
            running.call.cancel.cancel();
        }
        stands_still
    }

    fn lead(
        &self,
        kind: &DeployKind,
        hosts: &BTreeSet<Host>,
        call: &Call,
        tell: Tell<'_>,
    ) -> BTreeMap<Host, Outcome> {
        let same = |outcome: Outcome| hosts.iter().map(|host| (host.clone(), outcome.clone())).collect();
        if let Err(outcome) = (self.before)() {
            return same(outcome);
        }
        let request = DeployRequest {
            jobs: kind.jobs.clone(),
            workers: Some(hosts.iter().cloned().collect()),
            force: kind.force,
        };
        loop {
            let done = self.catalog.build(call).and_then(|()| self.catalog.deploy(&request, call));
            match done {
                Ok(report) => {
                    let mut outcomes = BTreeMap::new();
                    for (host, outcome) in &report.workers {
                        outcomes.insert(host.clone(), outcome_of(outcome));
                    }
                    for allocation in &report.allocations {
                        let Some(outcome) = &allocation.outcome else { continue };
                        if !outcome.is_ok() && outcomes.get(&allocation.host).is_none_or(is_ok) {
                            let named = with_job(&allocation.job, outcome_of(outcome));
                            outcomes.insert(allocation.host.clone(), named);
                        }
                    }
                    return outcomes;
                }
                Err(error) => match again(error, call, tell) {
                    Some(outcome) => return same(outcome),
                    None => std::thread::sleep(LOCK_AGAIN),
                },
            }
        }
    }
}

/// Says of a success how long it has waited for its turn.
fn after_waiting(outcome: Outcome, waited: Duration) -> Outcome {
    match outcome {
        Outcome::Ok { evidence: Evidence::Note { text } } if waited >= LONG => {
            Outcome::noted(format!("{text}; waited {}s for the deploy of another worker", waited.as_secs()))
        }
        outcome => outcome,
    }
}

/// `None`: try again; another process holds the lock and there is time left.
fn again(error: CatalogError, call: &Call, tell: Tell<'_>) -> Option<Outcome> {
    match error {
        CatalogError::Locked { what, holder }
            if Instant::now() < call.until && !call.cancel.is_cancelled() =>
        {
            tell(WaitPhase::Waits { r#for: format!("{what}, held by {holder}") });
            None
        }
        CatalogError::Locked { what, holder } => {
            Some(Outcome::NotDone { reason: format!("{what} is held by {holder}") })
        }
        error => Some(refused(error)),
    }
}

/// The outcome of an operation that did not take place.
pub(super) fn refused(error: CatalogError) -> Outcome {
    match error {
        CatalogError::Invalid(problems) => {
            let words: Vec<_> = problems
                .iter()
                .filter(|problem| problem.severity == Severity::Error)
                .map(|problem| match problem.place() {
                    Some((file, line, column)) => format!("{file}:{line}:{column}: {problem}"),
                    None => problem.to_string(),
                })
                .collect();
            Outcome::NotDone { reason: format!("the build was refused: {}", words.join("; ")) }
        }
        CatalogError::Locked { what, holder } => {
            Outcome::NotDone { reason: format!("{what} is held by {holder}") }
        }
        CatalogError::NotBuilt { .. } | CatalogError::UpstreamsBucket { .. } | CatalogError::BadTarget(_) => {
            not_done(&error)
        }
        CatalogError::Cancelled(why) => Outcome::unknown(why),
        CatalogError::Broken(why) => not_done(&why),
    }
}

fn is_ok(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ok { .. })
}

/// What the catalog says of one worker, as the outcome of an attempt.
pub(super) fn outcome_of(outcome: &WorkerOutcome) -> Outcome {
    match outcome {
        WorkerOutcome::Ok { evidence } => Outcome::noted(evidence.clone()),
        WorkerOutcome::Failed { error, output } => Outcome::Failed {
            error: StepError { kind: ErrorKind::Catalog, message: error.clone(), output: output.clone() },
        },
        WorkerOutcome::NotBegun { error } => {
            Outcome::Failed { error: StepError::new(ErrorKind::Catalog, error.clone()) }
        }
        WorkerOutcome::Unreachable { error } => {
            Outcome::Failed { error: StepError::new(ErrorKind::Unreachable, error.clone()) }
        }
        WorkerOutcome::Unknown { why } => Outcome::unknown(why.clone()),
    }
}

fn with_job(job: &JobName, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed { error } => Outcome::Failed {
            error: StepError { message: format!("job `{job}`: {}", error.message), ..error },
        },
        Outcome::Unknown { why, .. } => Outcome::unknown(format!("job `{job}`: {why}")),
        other => other,
    }
}

/// What the catalog says of one worker, in a line.
pub(super) fn describe(outcome: &WorkerOutcome) -> String {
    outcome.message().to_owned()
}

#[cfg(test)]
mod tests;
