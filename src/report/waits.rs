//! What a run and each of its workers wait for, in one sentence: the live view, `plan status`, `plan explain` and
//! JSON say the same. A run that nobody carries out holds its workers: what would free a place, were it under way, is
//! not said then.

use crate::engine::{LaneWait, Millis, PublicRunState, PublicWorkerState, RunPhase};
use crate::graph::{Lane, StepIx, TargetIx};
use crate::plan::StepKind;
use crate::policy::Verdict;

use super::text;
use super::time::describe_due;
use super::view::RunView;

impl RunView {
    /// What a worker waits for at `at`; `None`: it is under way, or its part is over. The view has to be refreshed.
    pub fn wait_of(&self, target: TargetIx, at: Millis) -> Option<String> {
        let lane = Lane::Worker(target);
        match self.worker(target).state {
            PublicWorkerState::Queued => Some(self.wait_of_queued(target, at)),
            PublicWorkerState::Held => {
                Some(format!("held: {}", self.stands_still().unwrap_or("the run is being stopped")))
            }
            PublicWorkerState::InDoubt if self.orphaned && self.run_state.is_in_flight(lane) => {
                Some("not known whether it was carried out: a resume looks".to_owned())
            }
            PublicWorkerState::InDoubt
            | PublicWorkerState::Retrying
            | PublicWorkerState::Waiting
            | PublicWorkerState::Reverting
            | PublicWorkerState::Running => {
                Some(self.describe_lane_wait(lane, self.run_state.lane_wait(lane)?, at))
            }
            _ => None,
        }
    }

    /// What the run as a whole waits for at `at`, while somebody carries it out.
    pub(super) fn wait_of_run(&self, at: Millis) -> Option<String> {
        if self.stands_still().is_some() || self.state.is_final() {
            return None;
        }
        if let Some((place, says)) = self.run_state.gate_holding() {
            return Some(format!("{} {says}", text::gate_at(place)));
        }
        if let Some(soak) = self.soak(at) {
            let next = self.run_state.wave().map_or(0, |wave| wave + 2);
            return Some(format!("{soak}, then wave {next} begins"));
        }
        let lane = match self.run_state.phase() {
            RunPhase::Before => Lane::Before,
            RunPhase::After => Lane::After,
            RunPhase::Preparing | RunPhase::Rolling if self.counts.active == 0 => {
                let queued = |target: &TargetIx| self.worker(*target).state == PublicWorkerState::Queued;
                let first = self.graph().target_indices().find(queued)?;
                return Some(format!("{} {}", self.graph().host(first), self.wait_of_queued(first, at)));
            }
            _ => return None,
        };
        let wait = self.run_state.lane_wait(lane)?;
        let step = text::step_of(self.graph(), lane, step_of(wait));
        Some(format!("{step} {}", self.describe_lane_wait(lane, wait, at)))
    }

    /// Why no worker makes progress although the run has not ended; `None`: it is being carried out.
    pub(super) fn stands_still(&self) -> Option<&'static str> {
        match self.state {
            PublicRunState::Paused => Some("the run is paused"),
            PublicRunState::Halted => Some("the run has halted"),
            PublicRunState::Interrupted => Some("the run was stopped, and nobody carries it out"),
            PublicRunState::Waiting | PublicRunState::Running if self.orphaned => {
                Some("nobody carries the run out")
            }
            _ => None,
        }
    }

    fn wait_of_queued(&self, target: TargetIx, at: Millis) -> String {
        if self.state.is_final() {
            return "never started: the run has ended".to_owned();
        }
        if let Some(why) = self.stands_still() {
            return format!("held: {why}");
        }
        if self.run_state.is_aborted() {
            return "is not started any more: the run is being aborted".to_owned();
        }
        if self.run_state.is_interrupted() {
            return "held: the run is being stopped".to_owned();
        }
        let graph = self.graph();
        if let Some((place, says)) = self.run_state.gate_holding() {
            return format!("held: {} {says}", text::gate_at(place));
        }
        match self.run_state.phase() {
            RunPhase::Fresh | RunPhase::Preflight => "waits: every worker is looked at first".to_owned(),
            RunPhase::Before => "waits: the steps of `before` come first".to_owned(),
            _ => match self.soak(at) {
                Some(soak) => format!("waits for wave {}: {soak}", graph.target(target).wave + 1),
                None => match self.run_state.verdict(target, at) {
                    Some(Verdict::Admit) if self.run_state.guard_is_unknown() => {
                        "waits: the guard is measured first".to_owned()
                    }
                    verdict => verdict.map_or_else(String::new, |verdict| verdict.describe(graph)),
                },
            },
        }
    }

    /// The soak that is under way.
    fn soak(&self, at: Millis) -> Option<String> {
        let until = self.run_state.soaks_until()?;
        let wave = self.run_state.wave()? + 1;
        Some(format!("wave {wave} is done, soaking until {}", describe_due(until, at)))
    }

    fn describe_lane_wait(&self, lane: Lane, wait: LaneWait, at: Millis) -> String {
        match wait {
            LaneWait::Retry { due, .. } => format!("next attempt at {}", describe_due(due, at)),
            LaneWait::Gate { step, opens, expires } => self.describe_gate(lane, step, opens, expires, at),
            LaneWait::Decision { .. } => "an operator has to say whether it was carried out".to_owned(),
        }
    }

    fn describe_gate(
        &self,
        lane: Lane,
        step: StepIx,
        opens: Option<Millis>,
        expires: Option<Millis>,
        at: Millis,
    ) -> String {
        let expires = expires
            .map_or_else(String::new, |due| format!("; fails unless approved by {}", describe_due(due, at)));
        match (opens, &self.graph().steps(lane)[step.index()].kind) {
            (Some(due), _) => format!("waits until {}", describe_due(due, at)),
            (None, StepKind::Approve { message: Some(message) }) => {
                format!("waits for an approval: {}{expires}", text::one_line(message))
            }
            (None, _) => format!("waits for an approval{expires}"),
        }
    }
}

fn step_of(wait: LaneWait) -> StepIx {
    match wait {
        LaneWait::Retry { step, .. } | LaneWait::Gate { step, .. } | LaneWait::Decision { step } => step,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::engine::{Fact, Intent, Stamped};
    use crate::graph::testing::{compiled, fleet, located, plan, step, worker};
    use crate::plan::{Amount, HealthScope, Plan, WaveSize};
    use crate::report::testing::{START, play, rolled, some_fail};
    use crate::report::{RunInfo, closing};

    fn rolled_as(workers: usize, change: impl FnOnce(&mut Plan)) -> (Vec<Stamped>, RunView) {
        let mut plan = plan();
        change(&mut plan);
        let hosts = (1..=workers).map(|n| worker(&format!("w{n}"), &[], &[])).collect();
        let graph = Arc::new(compiled(&plan, &fleet(hosts, &[])));
        let info = RunInfo { run: "R".into(), started_at: START };
        (play(Arc::clone(&graph), |_| None), RunView::new(info, graph))
    }

    /// Folds up to and with the first fact that is `wanted`; the time of it.
    fn until(facts: &[Stamped], view: &mut RunView, wanted: impl Fn(&Fact) -> bool) -> Millis {
        for stamped in facts {
            view.fold(stamped).unwrap();
            if wanted(&stamped.fact) {
                view.refresh(stamped.at);
                return stamped.at;
            }
        }
        panic!("there is no such fact");
    }

    fn waits(view: &RunView, worker: usize) -> &str {
        view.workers[worker].waits_for.as_deref().unwrap_or_default()
    }

    #[test]
    fn a_soak_says_until_when_and_what_comes_then() {
        let (facts, mut view) = rolled_as(3, |plan| {
            plan.rollout.waves = vec![located(WaveSize::Of(Amount::Count(1))), located(WaveSize::Rest)];
            plan.rollout.soak = Duration::from_secs(600);
        });
        let at = until(&facts, &mut view, |fact| matches!(fact, Fact::WaveFinished { .. }));
        assert_eq!(view.soak_until.unwrap().0, at + 600_000);
        let run = view.waits_for.clone().unwrap();
        assert!(run.starts_with("wave 1 is done, soaking until "), "{run}");
        assert!(run.ends_with("(10m left), then wave 2 begins"), "{run}");
        assert!(waits(&view, 2).starts_with("waits for wave 2: wave 1 is done, soaking until "));
        assert!(closing(at, &view, None).contains("(10m left), then wave 2 begins"));
        view.refresh(at + 600_000 - 1);
        assert!(view.waits_for.as_ref().unwrap().contains("(1s left)"), "{:?}", view.waits_for);
    }

    #[test]
    fn a_worker_of_a_run_that_nobody_carries_out_is_held() {
        let (facts, mut view) = rolled(3, |_| None);
        let at = until(&facts, &mut view, |fact| {
            matches!(fact, Fact::Issued { intent: Intent::Reboot { .. }, .. })
        });
        assert_eq!(view.workers[0].state, PublicWorkerState::Running);
        assert!(waits(&view, 1).contains("unblocks when one of them finishes"), "{}", waits(&view, 1));
        view.set_orphaned(true);
        view.refresh(at);
        assert_eq!(view.workers[0].state, PublicWorkerState::InDoubt);
        assert!(waits(&view, 0).contains("a resume looks"), "{}", waits(&view, 0));
        assert_eq!(waits(&view, 1), "held: the run was stopped, and nobody carries it out");
        let text = closing(at, &view, None);
        assert!(!text.contains("unblocks") && !text.contains("places are taken"), "{text}");
        assert!(text.contains("3 workers: 1 under way, 2 queued"), "{text}");
        // Somebody resumes it.
        view.set_orphaned(false);
        view.refresh(at);
        assert_eq!(view.workers[0].state, PublicWorkerState::Running);
    }

    #[test]
    fn what_only_looked_is_never_in_doubt() {
        let (facts, mut view) = rolled_as(2, |plan| {
            let health = StepKind::Health { jobs: None, wait: true, scope: HealthScope::Worker };
            plan.steps = vec![step("health", health, &[])];
        });
        let at = until(&facts, &mut view, |fact| matches!(fact, Fact::Issued { .. }));
        view.set_orphaned(true);
        view.refresh(at);
        assert_eq!(view.workers[0].state, PublicWorkerState::Held);
    }

    #[test]
    fn a_halted_run_holds_who_is_queued() {
        let (facts, mut view) = rolled(3, some_fail);
        let at = until(&facts, &mut view, |fact| matches!(fact, Fact::Halted { .. }));
        assert_eq!(waits(&view, 2), "held: the run has halted");
        assert!(view.waits_for.is_none(), "the reason says it");
        assert!(!closing(at, &view, None).contains("Now:"));
    }

    #[test]
    fn gates_say_when_they_open_and_who_opens_them() {
        let pause = StepKind::Pause { duration: Duration::from_secs(90) };
        let (facts, mut view) = rolled_as(1, |plan| plan.steps.insert(0, step("rest", pause, &[])));
        until(&facts, &mut view, |fact| matches!(fact, Fact::GateClosed { .. }));
        assert!(waits(&view, 0).starts_with("waits until "), "{}", waits(&view, 0));
        assert!(waits(&view, 0).ends_with("Z (1m30s left)"), "{}", waits(&view, 0));
        let approve = StepKind::Approve { message: Some("is it well?".into()) };
        let (facts, mut view) = rolled_as(2, |plan| {
            let mut ask = step("ask", approve, &[]);
            ask.timeout = None;
            plan.before.push(ask);
        });
        until(&facts, &mut view, |fact| matches!(fact, Fact::GateClosed { .. }));
        assert_eq!(view.waits_for.as_deref(), Some("before: ask waits for an approval: is it well?"));
        assert_eq!(waits(&view, 1), "waits: the steps of `before` come first");
    }
}
