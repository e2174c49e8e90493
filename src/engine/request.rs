//! What operators ask of a run, and the facts that it comes down to. It must not know how a request
//! reaches the controller.

use serde::{Deserialize, Serialize};

use crate::graph::Lane;

use super::{Fact, Millis, PublicWorkerState, RuleViolation, RunEnd, RunState, RunStatus};

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
    /// A failed worker continues at its failed step.
    Retry {
        /// The worker, as in `workers.json`.
        host: String,
    },
    /// A failed worker is taken out of the failure ledger.
    Skip {
        /// The worker, as in `workers.json`.
        host: String,
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
        return match end {
            RunEnd::Succeeded => "the run has ended: it succeeded".to_owned(),
            RunEnd::Failed => "the run has ended: it failed".to_owned(),
            RunEnd::Aborted => "the run was aborted, and has ended".to_owned(),
        };
    }
    let state = |host: &str| {
        let graph = rollout.graph();
        let target = graph.target_indices().find(|target| graph.host(*target) == host)?;
        Some(rollout.public_worker_state(target))
    };
    match &request.verb {
        Control::Retry { host } => match state(host) {
            Some(state) if state != PublicWorkerState::Failed => {
                format!("{host} has not failed: it {}", state.predicate())
            }
            _ => why.rule.to_owned(),
        },
        Control::Skip { host } => match state(host) {
            Some(state) if !matches!(state, PublicWorkerState::Failed | PublicWorkerState::Queued) => {
                format!(
                    "only a worker that has failed or is queued can be skipped; {host} {}",
                    state.predicate()
                )
            }
            _ => why.rule.to_owned(),
        },
        Control::Abort { .. } => "the run is being aborted already".to_owned(),
        _ => why.rule.to_owned(),
    }
}

/// The facts that an operator's request comes down to.
///
/// # Errors
/// Why it cannot be done.
pub fn facts_of(rollout: &RunState, request: &Request) -> Result<Vec<Fact>, String> {
    let by = request.by.clone();
    let graph = rollout.graph();
    let target = |host: &str| {
        graph
            .target_indices()
            .find(|target| graph.host(*target) == host)
            .ok_or_else(|| format!("{host} is no worker of this run"))
    };
    Ok(match &request.verb {
        Control::Pause { reason } => {
            let given = reason.clone().filter(|reason| !reason.trim().is_empty());
            vec![Fact::Paused { reason: given.unwrap_or_else(|| format!("paused by {by}")), by }]
        }
        Control::Resume => vec![Fact::Resumed { by, fresh_process: false }],
        Control::Stop => vec![Fact::Interrupted { by }],
        Control::Abort { revert } => vec![Fact::Aborted { by, revert: *revert }],
        Control::Retry { host } => vec![Fact::Retried { target: target(host)?, by }],
        Control::Skip { host } => vec![Fact::Skipped { target: target(host)?, by }],
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
