//! What operators ask of a run, and the facts that it comes down to. It must not know how a request
//! reaches the controller.

use serde::{Deserialize, Serialize};

use crate::graph::{Lane, TargetIx};

use super::{Fact, Millis, PublicWorkerState, RuleViolation, RunEnd, RunPhase, RunState, RunStatus};

/// What an operator asks of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Control {
    /// Admit nobody; active workers continue to their end.
    Pause {
        /// Why, where the operator said so.
        reason: Option<String>,
    },
    /// Admit workers again.
    Resume,
    /// As the first signal: finish the steps in flight, then stop.
    Stop,
    /// End the run for good.
    Abort {
        /// Revert the workers that were started.
        revert: bool,
    },
    /// Open gates that wait for an operator.
    Approve {
        /// Only this worker's.
        host: Option<String>,
        /// Only this step's.
        step: Option<String>,
    },
    /// Failed workers continue at their failed steps, also behind the end of the rollout.
    Retry {
        /// The workers, as in `workers.json`; none: all that have failed.
        hosts: Vec<String>,
    },
    /// Failed workers are taken out of the failure ledger, queued ones out of the queue.
    Skip {
        /// The workers, as in `workers.json`; none: all that have failed.
        hosts: Vec<String>,
    },
}

/// A request of an operator, from another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number in the journal.
    pub n: i64,
    /// What is asked for.
    pub verb: Control,
    /// Who asked, `user@host`.
    pub by: String,
    /// When it was asked.
    pub at: Millis,
}

/// Why a request was refused, in words for the operator who asked.
pub fn describe_refusal(rollout: &RunState, request: &Request, why: &RuleViolation) -> String {
    if let RunStatus::Finished(end) = rollout.status() {
        return describe_end(end).to_owned();
    }
    match &request.verb {
        Control::Retry { .. } if rollout.phase() == RunPhase::After => {
            "the last worker has ended and `after` is under way: wait for its end".to_owned()
        }
        Control::Abort { .. } => "the run is being aborted already".to_owned(),
        _ => why.rule.to_owned(),
    }
}

fn describe_end(end: RunEnd) -> &'static str {
    match end {
        RunEnd::Succeeded => "the run has ended: it succeeded",
        RunEnd::Failed => "the run has ended: some workers failed",
        RunEnd::Aborted => "the run was aborted, and has ended",
    }
}

/// The facts that an operator's request comes down to.
///
/// # Errors
/// Why it cannot be done.
pub fn facts_of(rollout: &RunState, request: &Request) -> Result<Vec<Fact>, String> {
    let by = request.by.clone();
    let graph = rollout.graph();
    Ok(match &request.verb {
        Control::Pause { reason } => {
            let given = reason.clone().filter(|reason| !reason.trim().is_empty());
            vec![Fact::Paused { reason: given.unwrap_or_else(|| format!("paused by {by}")), by }]
        }
        Control::Resume => vec![Fact::Resumed { by, fresh_process: false, bundle: None }],
        Control::Stop => vec![Fact::Interrupted { by }],
        Control::Abort { revert } => vec![Fact::Aborted { by, revert: *revert }],
        Control::Retry { hosts } => retry(rollout, hosts, &by)?,
        Control::Skip { hosts } => skip(rollout, hosts, &by)?,
        Control::Approve { host, step } => {
            let gates: Vec<_> = rollout
                .closed_gates()
                .into_iter()
                .filter(|(lane, at)| {
                    let host_fits = match (host, lane) {
                        (None, _) => true,
                        (Some(host), Lane::Worker(target)) => graph.host(*target) == host,
                        (Some(_), _) => false,
                    };
                    let id = &graph.steps(*lane)[at.index()].id;
                    host_fits && step.as_ref().is_none_or(|step| step == id)
                })
                .map(|(lane, step)| Fact::Approved { lane, step, by: by.clone() })
                .collect();
            if gates.is_empty() {
                return Err("nothing there waits for an approval".into());
            }
            gates
        }
    })
}

fn retry(rollout: &RunState, hosts: &[String], by: &str) -> Result<Vec<Fact>, String> {
    if let RunStatus::Finished(end @ (RunEnd::Succeeded | RunEnd::Aborted)) = rollout.status() {
        return Err(describe_end(end).to_owned());
    }
    let targets = pick(rollout, hosts, |target| rollout.objection_to_retry(target))?;
    let by = by.to_owned();
    Ok(if rollout.rollout_is_over() {
        vec![Fact::Reopened { targets, enabled: Vec::new(), by }]
    } else {
        targets.into_iter().map(|target| Fact::Retried { target, by: by.clone() }).collect()
    })
}

fn skip(rollout: &RunState, hosts: &[String], by: &str) -> Result<Vec<Fact>, String> {
    let over = matches!(rollout.status(), RunStatus::Finished(_));
    let mut targets = pick(rollout, hosts, |target| match rollout.public_worker_state(target) {
        PublicWorkerState::Failed => None,
        PublicWorkerState::Queued if !over => None,
        PublicWorkerState::Queued => Some("the run has ended without it"),
        _ => Some("only a worker that has failed or is queued can be skipped"),
    })?;
    // Those that are queued first: a place that another one leaves must not start them.
    targets.sort_by_key(|target| rollout.public_worker_state(*target) != PublicWorkerState::Queued);
    Ok(targets.into_iter().map(|target| Fact::Skipped { target, by: by.to_owned() }).collect())
}

/// The workers of these names, each once; without a name all that have failed and to which there is no objection.
/// All that is wrong with those that are named is said together.
fn pick(
    rollout: &RunState,
    hosts: &[String],
    objection: impl Fn(TargetIx) -> Option<&'static str>,
) -> Result<Vec<TargetIx>, String> {
    let graph = rollout.graph();
    let objection = |target: TargetIx| {
        let why = objection(target)?;
        let state = rollout.public_worker_state(target).predicate();
        Some(format!("{} {state}: {why}", graph.host(target)))
    };
    let (mut targets, mut objections) = (Vec::new(), Vec::new());
    let mut take = |target: TargetIx| match objection(target) {
        Some(why) => objections.push(why),
        None if targets.contains(&target) => {}
        None => targets.push(target),
    };
    if hosts.is_empty() {
        let has_failed =
            |target: &TargetIx| rollout.public_worker_state(*target) == PublicWorkerState::Failed;
        graph.target_indices().filter(has_failed).for_each(take);
        return match (targets.is_empty(), objections.is_empty()) {
            (false, _) => Ok(targets),
            (true, false) => Err(objections.join("; ")),
            (true, true) => Err("no worker of this run has failed".to_owned()),
        };
    }
    let mut unknown = Vec::new();
    for host in hosts {
        match graph.target_indices().find(|target| graph.host(*target) == host) {
            Some(target) => take(target),
            None => unknown.push(format!("{host} is no worker of this run")),
        }
    }
    objections.append(&mut unknown);
    if objections.is_empty() { Ok(targets) } else { Err(objections.join("; ")) }
}
