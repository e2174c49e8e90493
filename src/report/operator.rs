//! What of a run an operator can decide now, as data that outlives the view.

use crate::engine::PublicWorkerState;
use crate::graph::{Lane, StepIx};
use crate::plan::StepKind;

use super::view::{RunView, WorkerView};

/// What an operator can decide about a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// The run's name.
    pub run: String,
    /// The plan's name.
    pub plan: String,
    /// A process carries it out.
    pub is_carried_out: bool,
    /// No worker is started until somebody lets the run continue.
    pub is_paused: bool,
    /// It has ended, or an operator is ending it.
    pub is_ending: bool,
    /// Its rollout has ended: a worker that is retried takes the whole run up again.
    pub is_over: bool,
    /// The steps that wait for an approval, in the order of the workers.
    pub approvals: Vec<Approval>,
    /// The workers that have failed, and then those that were skipped and may be taken up again.
    pub failed: Vec<FailedWorker>,
    /// How many workers are queued.
    pub queued: u32,
    /// What an abort would come to, as a question.
    pub abort: String,
    /// The same for one that reverts.
    pub abort_and_revert: String,
}

/// A step that waits for an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The worker, as in `workers.json`; `None`: the whole run, in `before` or `after`.
    pub host: Option<String>,
    /// The step's id.
    pub step: String,
    /// What the plan asks.
    pub message: Option<String>,
}

/// A worker that has failed or was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedWorker {
    /// As in `workers.json`.
    pub host: String,
    /// Where it stands.
    pub state: PublicWorkerState,
    /// It is left in `disabled.json`.
    pub is_disabled: bool,
    /// The id of the step that it failed at.
    pub step: Option<String>,
    /// Why.
    pub error: Option<String>,
}

impl RunView {
    /// What an operator can decide now; `is_carried_out`: a process carries the run out. The view has to be refreshed.
    pub fn decisions(&self, is_carried_out: bool) -> Decisions {
        Decisions {
            run: self.run.clone(),
            plan: self.plan.clone(),
            is_carried_out,
            is_paused: self.is_paused(),
            is_ending: self.state.is_final() || self.run_state.is_aborted(),
            is_over: self.run_state.rollout_is_over(),
            approvals: self.approvals(),
            failed: self.failed_workers(),
            queued: self.counts.queued,
            abort: self.question_of_abort(false),
            abort_and_revert: self.question_of_abort(true),
        }
    }

    /// What an abort would come to, as a question.
    pub fn question_of_abort(&self, revert: bool) -> String {
        let counts = &self.counts;
        let mut question = format!(
            "End run {} of plan {} for good ({} succeeded, {} under way, {} queued, {} failed)",
            self.run, self.plan, counts.succeeded, counts.active, counts.queued, counts.failed
        );
        if revert {
            question += ", and undo what was done to the workers that were started";
        } else if !self.left_disabled.is_empty() {
            question += &format!("; {} will stay disabled", self.left_disabled.join(", "));
        }
        question + "?"
    }

    fn approvals(&self) -> Vec<Approval> {
        let graph = self.graph();
        let approval = |(lane, at): (Lane, StepIx)| {
            let step = &graph.steps(lane)[at.index()];
            Approval {
                host: match lane {
                    Lane::Worker(target) => Some(graph.host(target).to_owned()),
                    Lane::Before | Lane::After => None,
                },
                step: step.id.clone(),
                message: match &step.kind {
                    StepKind::Approve { message } => message.clone(),
                    _ => None,
                },
            }
        };
        self.run_state.closed_gates().into_iter().map(approval).collect()
    }

    fn failed_workers(&self) -> Vec<FailedWorker> {
        let failed = |worker: &WorkerView| FailedWorker {
            host: worker.host.clone(),
            state: worker.state,
            is_disabled: self.left_disabled.contains(&worker.host),
            step: worker.step.clone(),
            error: worker.error.as_ref().map(|error| error.message.clone()),
        };
        let workers = self.graph().target_indices().map(|at| (self.worker(at), self.is_retryable(at)));
        let is_in = |worker: &WorkerView, retryable| retryable || worker.state == PublicWorkerState::Failed;
        let mut found: Vec<FailedWorker> = workers
            .filter(|(worker, retryable)| is_in(worker, *retryable))
            .map(|(worker, _)| failed(worker))
            .collect();
        found.sort_by_key(|worker| worker.state != PublicWorkerState::Failed);
        found
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::graph::testing::{compiled, fleet, plan, worker};
    use crate::report::RunInfo;
    use crate::report::testing::{START, play, some_fail};

    #[test]
    fn failed_workers_can_be_decided_about() {
        let hosts = (1..=3).map(|n| worker(&format!("w{n}"), &[], &[])).collect();
        let graph = Arc::new(compiled(&plan(), &fleet(hosts, &[])));
        let mut view = RunView::new(RunInfo { run: "R".into(), started_at: START }, Arc::clone(&graph));
        let facts = play(graph, some_fail);
        facts.iter().for_each(|stamped| view.fold(stamped).unwrap());
        view.refresh(facts.last().unwrap().at);
        let decisions = view.decisions(false);
        let failed: Vec<_> = decisions.failed.iter().map(|failed| failed.host.as_str()).collect();
        assert_eq!(failed, ["w2"]);
        let failed = &decisions.failed[0];
        assert!(failed.step.is_some() && failed.error.is_some(), "{failed:?}");
        assert!(!decisions.is_ending && !decisions.is_paused && decisions.approvals.is_empty());
        assert!(
            decisions.abort.ends_with('?') && decisions.abort.contains("1 failed"),
            "{}",
            decisions.abort
        );
        assert!(decisions.abort_and_revert.contains("undo what was done"));
    }
}
