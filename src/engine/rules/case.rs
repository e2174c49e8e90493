//! A run that is told fact by fact.

use std::sync::Arc;
use std::time::Duration;

use super::super::{
    ApplyError, AttemptId, AttemptSpec, Check, Effect, ErrorKind, Evidence, Fact, Intent, Millis, Options,
    Outcome, PublicWorkerState, RunState, StepError, Timer,
};
use crate::bucket::{JobIx, WorkerIx};
pub(super) use crate::graph::testing::command;
use crate::graph::testing::{self, compiled, fleet};
use crate::graph::{Lane, TargetIx};
use crate::plan::{Concurrency, Plan, StepKind};

/// A run of workers `w1`, `w2`, ..., numbered from 1.
pub(super) struct Case {
    run: RunState,
    options: Options,
    facts: Vec<(Millis, Fact)>,
    now: Millis,
    timers: Vec<(Millis, Timer)>,
    awaited: Vec<AttemptSpec>,
    observing: Option<Vec<JobIx>>,
}

/// The step's command may be repeated.
pub(super) fn idempotent(plan: &mut Plan) {
    let StepKind::Run(command) = &mut plan.steps[0].kind else { panic!("a command") };
    command.idempotent = true;
}

/// One command on every worker, all at once.
fn plan() -> Plan {
    let mut plan = testing::plan();
    plan.rollout.concurrency.value = Concurrency::AtMost(crate::plan::Amount::Percent(100));
    plan.steps = vec![command("upgrade")];
    plan
}

impl Case {
    /// A run in which preflight has found all workers ready.
    pub(super) fn new(workers: u32, edit: impl FnOnce(&mut Plan)) -> Self {
        Self::with_tags(workers, |_| "zone=a", edit)
    }

    /// The same with a tag for each worker, by number; every worker has an allocation of the job `api`.
    pub(super) fn with_tags(
        workers: u32,
        tag: impl Fn(u32) -> &'static str,
        edit: impl FnOnce(&mut Plan),
    ) -> Self {
        let mut case = Self::not_started(workers, tag, edit);
        let ready = |at| Check::Ready { boot_id: format!("boot-{at}"), state_dir: "/state".to_owned() };
        case.says(Fact::Preflight { checks: (1..=workers).map(ready).collect() });
        case
    }

    /// The same before preflight.
    pub(super) fn not_started(
        workers: u32,
        tag: impl Fn(u32) -> &'static str,
        edit: impl FnOnce(&mut Plan),
    ) -> Self {
        let mut plan = plan();
        edit(&mut plan);
        let hosts = (1..=workers).map(|at| testing::worker(&format!("w{at}"), &["api"], &[tag(at)]));
        let graph = Arc::new(compiled(&plan, &fleet(hosts.collect(), &["api"])));
        let options = Options { exclusive_catalog: true, time_scale: 1 };
        let mut case = Self {
            run: RunState::new(graph, options.clone()),
            options,
            facts: Vec::new(),
            now: 0,
            timers: Vec::new(),
            awaited: Vec::new(),
            observing: None,
        };
        case.says(Fact::RunStarted { workers, graph_hash: String::new(), seed: 1 });
        case
    }

    /// A fact that may follow, with all that follows from it.
    #[track_caller]
    pub(super) fn says(&mut self, fact: Fact) {
        let decision = self.run.apply(self.now, fact).unwrap();
        self.facts.extend(decision.facts.into_iter().map(|fact| (self.now, fact)));
        for effect in decision.effects {
            match effect {
                Effect::Execute(attempt) => self.awaited.push(attempt),
                Effect::Wake { at, timer } => self.timers.push((at, timer)),
                Effect::Observe { jobs } => self.observing = Some(jobs),
            }
        }
        assert_eq!(self.run, self.replayed(), "the state is what the facts say");
    }

    fn replayed(&self) -> RunState {
        let mut run = RunState::new(Arc::clone(self.run.graph()), self.options.clone());
        for (at, fact) in &self.facts {
            run.replay(*at, fact).unwrap();
        }
        run
    }

    /// A fact that may not follow, with the rule that it breaks. It changes nothing.
    #[track_caller]
    pub(super) fn refuses(&mut self, fact: Fact) -> &'static str {
        let before = self.run.clone();
        let Err(ApplyError::Refused(violation)) = self.run.apply(self.now, fact) else {
            panic!("it was not refused");
        };
        assert_eq!(self.run, before, "a refused fact changes nothing");
        violation.rule
    }

    /// Time passes, and timers fire.
    #[track_caller]
    pub(super) fn wait(&mut self, time: Duration) {
        let until = self.now + time.as_millis() as Millis;
        while let Some(next) = (0..self.timers.len())
            .filter(|at| self.timers[*at].0 <= until)
            .min_by_key(|at| self.timers[*at].0)
        {
            let (at, timer) = self.timers.remove(next);
            self.now = self.now.max(at);
            self.says(Fact::Due { timer });
        }
        self.now = until;
    }

    fn awaited(&self, lane: Lane) -> &AttemptSpec {
        let attempt = self.awaited.iter().find(|attempt| attempt.lane == lane);
        attempt.unwrap_or_else(|| panic!("nothing is in flight in {lane:?}"))
    }

    pub(super) fn attempt(&self, worker: u32) -> AttemptId {
        self.awaited(lane(worker)).attempt
    }

    pub(super) fn intent(&self, worker: u32) -> Intent {
        self.awaited(lane(worker)).intent.clone()
    }

    /// Steps in flight, by their ids.
    pub(super) fn in_flight(&self, worker: u32) -> Vec<&str> {
        let of = self.awaited.iter().filter(|attempt| attempt.lane == lane(worker));
        of.map(|attempt| self.run.graph().plan.steps[attempt.step.index()].id.as_str()).collect()
    }

    #[track_caller]
    pub(super) fn answers(&mut self, worker: u32, outcome: Outcome) {
        self.answers_in(lane(worker), outcome);
    }

    #[track_caller]
    pub(super) fn answers_in(&mut self, lane: Lane, outcome: Outcome) {
        let attempt = self.awaited(lane).attempt;
        self.awaited.retain(|awaited| awaited.attempt != attempt);
        self.says(Fact::Finished { attempt, outcome });
    }

    /// What is in flight on these workers ends well.
    #[track_caller]
    pub(super) fn succeeds(&mut self, workers: impl IntoIterator<Item = u32>) {
        for worker in workers {
            self.answers(worker, done());
        }
    }

    #[track_caller]
    pub(super) fn fails(&mut self, worker: u32) {
        self.answers(worker, failed(ErrorKind::Command));
    }

    /// The answer of an observation: these workers' allocations of `api` are not well.
    #[track_caller]
    pub(super) fn observes(&mut self, sick: impl IntoIterator<Item = u32>) {
        let jobs = self.observing.take().expect("nobody asked");
        let unavailable = sick.into_iter().map(|worker| (WorkerIx(worker - 1), JobIx(0))).collect();
        self.says(self.run.observation(jobs, unavailable, 0));
    }

    /// Another process takes the run over: it knows the facts and nothing else.
    #[track_caller]
    pub(super) fn taken_over(&mut self) {
        self.run = self.replayed();
        self.timers.clear();
        self.awaited.clear();
        self.observing = None;
        self.says(Fact::Resumed { by: by(), fresh_process: true, bundle: None });
    }

    pub(super) fn run(&self) -> &RunState {
        &self.run
    }

    pub(super) fn now(&self) -> Millis {
        self.now
    }

    pub(super) fn timers(&self) -> &[(Millis, Timer)] {
        &self.timers
    }

    /// All facts so far.
    pub(super) fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.facts.iter().map(|(_, fact)| fact)
    }

    pub(super) fn state(&self, worker: u32) -> PublicWorkerState {
        self.run.public_worker_state(target(worker))
    }

    /// The numbers of the workers that are started and have not ended.
    pub(super) fn active(&self) -> Vec<u32> {
        self.run.active().iter().map(|target| target.0 + 1).collect()
    }
}

pub(super) fn target(worker: u32) -> TargetIx {
    TargetIx(worker - 1)
}

pub(super) fn lane(worker: u32) -> Lane {
    Lane::Worker(target(worker))
}

pub(super) fn by() -> String {
    "operator@desk".to_owned()
}

pub(super) fn done() -> Outcome {
    ok(Evidence::note("done"))
}

pub(super) fn ok(evidence: Evidence) -> Outcome {
    Outcome::Ok { evidence }
}

pub(super) fn failed(kind: ErrorKind) -> Outcome {
    Outcome::Failed { error: StepError::new(kind, "it failed") }
}

pub(super) fn lost() -> Outcome {
    Outcome::unknown("the connection broke")
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
