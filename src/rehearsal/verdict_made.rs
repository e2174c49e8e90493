//! A made-up run of three workers in which all went well, for a test to put something wrong into.

use super::super::super::history::Testimony;
use super::super::super::watcher::Look;
use super::super::*;
use crate::bucket::{Disabled, Host};
use crate::engine::{AttemptSpec, Evidence as Shown, Fact, Intent, Millis, Outcome, Stamped};
use crate::graph::testing::{compiled, fleet, job, located, plan, reboot, step, worker};
use crate::graph::{Lane, RolloutGraph};
use crate::journal::StepKinds;
use crate::plan::{Amount, CommandSource, CommandStep, Plan, Prepare, StepKind, Undo};
use crate::report::testing::{START, boot_id, play};
use crate::sandbox::{Boot, Event, FaultKind, LogEntry};
use std::collections::{BTreeMap, BTreeSet};

/// A run of three workers with the job `api`, one at a time, in which all went well.
pub(super) struct Made {
    pub(super) evidence: Evidence,
    pub(super) seen: Seen,
    pub(super) faults: Vec<Fault>,
    pub(super) graph: Arc<RolloutGraph>,
    pub(super) header: RunHeader,
    pub(super) exit: Option<i32>,
    pub(super) kills: u32,
    pub(super) execute: bool,
}

pub(super) fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

pub(super) fn time(at: Millis) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at).unwrap()
}

pub(super) fn entry(at: Millis, event: Event) -> LogEntry {
    LogEntry { at: time(at), event }
}

pub(super) fn started(at: Millis) -> LogEntry {
    entry(at, Event::JobStarted { job: "api".into() })
}

pub(super) fn stopped(at: Millis) -> LogEntry {
    entry(at, Event::JobStopped { job: "api".into() })
}

pub(super) fn asked(at: Millis, by: &str) -> LogEntry {
    entry(at, Event::RebootAsked { by: by.into(), obeyed: true })
}

pub(super) fn command(kind: fn(CommandStep) -> StepKind) -> StepKind {
    kind(CommandStep {
        action: CommandSource::Command("upgrade --now".into()),
        idempotent: true,
        disturbs: true,
        fenced: false,
        unless: None,
        env: BTreeMap::new(),
        undo: Undo::Nothing,
    })
}

/// Drains, runs a command, reboots, and puts back.
pub(super) fn rolling() -> Plan {
    let deploy = || StepKind::Deploy { jobs: None, force: false };
    let mut plan = plan();
    let wait = plan.steps[1].kind.clone();
    let kinds = [
        StepKind::Disable { jobs: None },
        deploy(),
        command(StepKind::Run),
        reboot(),
        wait,
        StepKind::Enable,
        deploy(),
    ];
    plan.steps = kinds
        .into_iter()
        .enumerate()
        .map(|(at, kind)| step(&format!("s{at}"), kind, &at.checked_sub(1).into_iter().collect::<Vec<_>>()))
        .collect();
    plan
}

/// The same, with a command that prepares each worker.
pub(super) fn prepared() -> Plan {
    let mut plan = rolling();
    for step in &mut plan.steps {
        step.needs.iter_mut().for_each(|need| *need += 1);
    }
    plan.steps[0].needs = vec![0];
    let StepKind::Run(fetch) = command(StepKind::Run) else { unreachable!() };
    let mut fetch = step("fetch", StepKind::Run(CommandStep { disturbs: false, ..fetch }), &[]);
    fetch.prepares = true;
    plan.steps.insert(0, fetch);
    let concurrency = located(Amount::Count(1));
    plan.prepare = Some(Prepare { concurrency, outside_window: false });
    plan
}

/// When a step of a worker was first noted.
pub(super) fn noted(facts: &[Stamped], worker: u32, wanted: u32) -> Option<Millis> {
    let this = |fact: &&Stamped| {
        matches!(&fact.fact, Fact::Issued { lane: Lane::Worker(target), step, intent, .. }
            if target.0 == worker && step.0 == wanted && !matches!(intent, Intent::ReadBootId))
    };
    facts.iter().find(this).map(|fact| fact.at)
}

pub(super) fn well() -> Made {
    made(rolling(), |_| None)
}

pub(super) fn made(plan: Plan, fails: impl Fn(&AttemptSpec) -> Option<Outcome>) -> Made {
    let zones = ["a", "b", "c"].iter().enumerate();
    let workers: Vec<_> =
        zones.map(|(n, zone)| worker(&format!("w{}", n + 1), &["api"], &[&format!("zone={zone}")])).collect();
    let mut fleet = fleet(workers, &[]);
    fleet.jobs = vec![job("api")];
    let graph = Arc::new(compiled(&plan, &fleet));
    let drain = plan.steps.iter().position(|step| matches!(step.kind, StepKind::Disable { .. }));
    let ahead = drain.unwrap_or_default() as u32;
    let drains = |order: &AttemptSpec| {
        let this = order.step.0 == ahead && matches!(order.lane, Lane::Worker(_));
        this.then(|| Outcome::Ok { evidence: Shown::Disabled { own: vec![None], others: Vec::new() } })
    };
    let facts = play(Arc::clone(&graph), |order| fails(order).or_else(|| drains(order)));
    let mut evidence = Evidence::new();
    let mut looks = vec![Look { at: START - 10, disabled: Disabled::default() }];
    let mut drained = Disabled::default();
    for n in 0..3 {
        let name = format!("w{}", n + 1);
        let boot = |number, at| Boot { at: time(at), boot_id: boot_id(n, number) };
        let booted = |at| entry(at, Event::Booted { boot_id: String::new() });
        let mut told = Testimony {
            boots: vec![boot(0, START - 5000)],
            log: vec![booted(START - 5000), started(START - 4000)],
        };
        let executed =
            |at| entry(at + 10, Event::NotExecuted { text: "sudo; upgrade --now\n".into(), code: 0 });
        told.log.extend((0..ahead).filter_map(|step| noted(&facts, n, step)).map(executed));
        let at = |step| noted(&facts, n, step + ahead);
        if let Some(disable) = at(0) {
            drained.workers.insert(name.clone());
            looks.push(Look { at: disable + 10, disabled: drained.clone() });
        }
        told.log.extend(at(1).map(|deploy| stopped(deploy + 10)));
        told.log.extend(at(2).map(executed));
        if let Some(reboot) = at(3) {
            told.log.extend([asked(reboot + 10, "sudo reboot"), entry(reboot + 20, Event::WentDown)]);
            if at(5).is_some() {
                told.log.push(booted(reboot + 900));
                told.boots.push(boot(1, reboot + 900));
            }
        }
        if let Some(enable) = at(5) {
            drained.workers.remove(&name);
            looks.push(Look { at: enable + 10, disabled: drained.clone() });
        }
        told.log.extend(at(6).map(|deploy| started(deploy + 10)));
        evidence.insert(host(&name), told);
    }
    let seen = Seen { looks, facts, ..Seen::default() };
    let header = RunHeader {
        plan: "test".into(),
        plan_file: "plan.yaml".into(),
        plan_text: String::new(),
        plan_sha256: String::new(),
        overrides: Vec::new(),
        only_workers: None,
        fleet,
        graph_hash: String::new(),
        workers_sha256: String::new(),
        workspace_hash: String::new(),
        workspace_files: None,
        program: String::new(),
        who: String::new(),
        seed: 1,
        scripts: BTreeMap::new(),
        hosts: Vec::new(),
        kinds: StepKinds { before: Vec::new(), steps: Vec::new(), after: Vec::new() },
        started_at: START,
        reviewed: None,
    };
    Made { evidence, seen, faults: Vec::new(), graph, header, exit: Some(0), kills: 0, execute: false }
}

impl Made {
    pub(super) fn verdict(&self) -> Verdict {
        Verdict::judge(&Case {
            evidence: &self.evidence,
            seen: &self.seen,
            faults: &self.faults,
            graph: &self.graph,
            header: &self.header,
            run_exit: self.exit,
            kills: self.kills,
            execute: self.execute,
        })
    }

    /// Exactly this promise is broken, and it says so.
    #[track_caller]
    pub(super) fn breaks(&self, name: &str, words: &str) {
        let verdict = self.verdict();
        let broken: Vec<_> = verdict.promises.iter().filter(|promise| !promise.held).collect();
        let this = broken.len() == 1 && broken[0].name == name && broken[0].what.contains(words);
        assert!(this, "{name}, {words}: {broken:#?}");
        assert!(!verdict.all_held && verdict.any_broken());
    }

    #[track_caller]
    pub(super) fn holds(&self) {
        let verdict = self.verdict();
        assert!(verdict.all_held, "{}", said(&verdict));
    }

    pub(super) fn told(&mut self, name: &str) -> &mut Testimony {
        self.evidence.get_mut(&host(name)).unwrap()
    }

    pub(super) fn fault(&mut self, name: &str, kind: FaultKind) {
        self.faults.push(Fault { host: host(name), kind, at_step: None });
    }

    pub(super) fn at(&self, worker: u32, step: u32) -> Millis {
        noted(&self.seen.facts, worker, step).unwrap()
    }

    pub(super) fn disabled(&mut self) -> &mut Disabled {
        &mut self.seen.looks.last_mut().unwrap().disabled
    }
}

/// Every promise, and how it was broken.
pub(super) fn said(verdict: &Verdict) -> String {
    let lines = verdict.promises.iter().map(|promise| format!("{} {}", promise.held, promise.what));
    lines.collect::<Vec<_>>().join("\n")
}

pub(super) fn only(host: &str) -> BTreeSet<String> {
    BTreeSet::from([host.to_owned()])
}
