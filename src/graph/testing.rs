//! Plans and fleets made by hand, for unit tests of this room and of `policy`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{CompileOptions, RolloutGraph, compile};
use crate::bucket::{Disabled, Fleet, Host, Job, JobName, Worker};
use crate::plan::{
    Amount, Budget, BudgetBound, CommandSource, CommandStep, Concurrency, Located, OnFailure, OnNoReturn,
    OnStepFailure, Order, Plan, Prepare, Problems, Retries, RolloutSettings, Source, Spread, Step, StepKind,
    Targets, Undo, When,
};

pub(crate) fn located<T>(value: T) -> Located<T> {
    Located { value, span: 0..0 }
}

pub(crate) fn names(names: &[&str]) -> Vec<Located<String>> {
    names.iter().map(|name| located((*name).to_owned())).collect()
}

/// A step that needs these.
pub(crate) fn step(id: &str, kind: StepKind, needs: &[usize]) -> Step {
    Step {
        id: id.to_owned(),
        name: None,
        kind,
        needs: needs.to_vec(),
        timeout: Some(Duration::from_secs(300)),
        retries: Retries {
            attempts: 1,
            delay: Duration::ZERO,
            backoff: 1.0,
            max_delay: Duration::from_secs(300),
        },
        when: When::default(),
        on_failure: OnStepFailure::Fail,
        prepares: false,
        span: 0..0,
    }
}

/// A command that takes its worker down and may not be repeated.
pub(crate) fn command(id: &str) -> Step {
    let command = CommandStep {
        action: CommandSource::Command("true".to_owned()),
        idempotent: false,
        disturbs: true,
        fenced: false,
        unless: None,
        env: BTreeMap::new(),
        undo: Undo::Unstated,
    };
    step(id, StepKind::Run(command), &[])
}

/// The plan with these steps before its own, for up to so many workers at a time: on all workers ahead.
pub(crate) fn prepared(plan: &mut Plan, concurrency: u64, steps: Vec<Step>) {
    let ahead = steps.len();
    let needed = |at: usize| steps.iter().any(|step| step.needs.contains(&at));
    let ends: Vec<usize> = (0..ahead).filter(|at| !needed(*at)).collect();
    for step in &mut plan.steps {
        step.needs.iter_mut().for_each(|need| *need += ahead);
        if step.needs.is_empty() {
            step.needs.clone_from(&ends);
        }
    }
    let ahead = steps.into_iter().map(|mut step| {
        step.prepares = true;
        if let StepKind::Run(command) = &mut step.kind {
            command.disturbs = false;
        }
        step
    });
    plan.steps.splice(0..0, ahead);
    let concurrency = located(Amount::Count(concurrency));
    plan.prepare = Some(Prepare { concurrency, outside_window: false });
}

pub(crate) fn reboot() -> StepKind {
    StepKind::Reboot {
        command: "reboot".to_owned(),
        down_within: Duration::from_secs(120),
        unless: None,
        expect: None,
    }
}

/// Reboots every worker, one at a time.
pub(crate) fn plan() -> Plan {
    let (settle, interval) = (Duration::from_secs(5), Duration::from_secs(1));
    let wait = StepKind::WaitForSsh { settle, interval, on_no_return: OnNoReturn::Fail };
    Plan {
        source: Source::new("plan.yaml", "name: test\n"),
        name: "test".to_owned(),
        description: None,
        vars: BTreeMap::new(),
        targets: Targets::default(),
        silence: None,
        notify: crate::plan::Notify::default(),
        rollout: RolloutSettings {
            concurrency: located(Concurrency::AtMost(Amount::Count(1))),
            waves: Vec::new(),
            order: Order::Position,
            spread: None,
            budgets: Vec::new(),
            max_failures: located(Amount::Count(0)),
            on_failure: OnFailure::Halt,
            soak: Duration::ZERO,
            windows: Vec::new(),
            freeze: None,
            gates: Default::default(),
        },
        before: Vec::new(),
        prepare: None,
        steps: vec![step("reboot", reboot(), &[]), step("wait_for_ssh", wait, &[0])],
        after: Vec::new(),
        warnings: Problems::new(),
    }
}

pub(crate) fn budget(job: &str, bound: BudgetBound) -> Located<Budget> {
    located(Budget { job: located(job.to_owned()), bound })
}

pub(crate) fn spread(tag: &str, at_most: u64) -> Option<Located<Spread>> {
    Some(located(Spread { tag: tag.to_owned(), at_most }))
}

/// A worker with the label `worker`, these labels, and tags as `key=value`.
pub(crate) fn worker(host: &str, labels: &[&str], tags: &[&str]) -> Worker {
    let labels: BTreeSet<String> =
        labels.iter().chain(&["worker"]).map(|label| (*label).to_owned()).collect();
    let tags = tags.iter().filter_map(|tag| tag.split_once('='));
    let tags = Arc::new(tags.map(|(key, value)| (key.to_owned(), value.to_owned())).collect());
    Worker { labels: Arc::new(labels), tags, ..Worker::new(Host::parse(host).unwrap()) }
}

/// A job on every worker with the label of its name.
pub(crate) fn job(name: &str) -> Job {
    Job::new(JobName::parse(name).unwrap(), name.to_owned())
}

pub(crate) fn fleet(workers: Vec<Worker>, jobs: &[&str]) -> Fleet {
    Fleet {
        bucket_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        workers,
        jobs: jobs.iter().map(|name| job(name)).collect(),
        disabled: Disabled::default(),
        synthetic: true,
    }
}

/// Compiles without options; panics with the problems.
pub(crate) fn compiled(plan: &Plan, fleet: &Fleet) -> RolloutGraph {
    compile(&Arc::new(plan.clone()), &Arc::new(fleet.clone()), &CompileOptions::default())
        .unwrap_or_else(|problems| panic!("{:#?}", problems.iter().collect::<Vec<_>>()))
}

/// The codes of what is wrong.
pub(crate) fn codes(plan: &Plan, fleet: &Fleet, options: &CompileOptions) -> Vec<&'static str> {
    let problems = match compile(&Arc::new(plan.clone()), &Arc::new(fleet.clone()), options) {
        Ok(graph) => graph.warnings,
        Err(problems) => problems,
    };
    problems.iter().map(|problem| problem.code.trim_start_matches("maand::plan::")).collect()
}

/// A gate of the rollout by a command, measured once every 10 s; it waits a minute for what says nothing.
pub(crate) fn gate() -> crate::plan::Gate {
    crate::plan::Gate {
        name: None,
        measure: crate::plan::Measure::Command("./check".to_owned()),
        interval: Duration::from_secs(10),
        count: 1,
        failures: 0,
        answer_within: Duration::from_secs(10),
        on_fail: crate::plan::GateAction::Stop,
        on_inconclusive: crate::plan::GateAction::Wait,
        patience: Some(Duration::from_secs(60)),
    }
}
