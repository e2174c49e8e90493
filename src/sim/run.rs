//! One simulated run from its config, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::config::{Shape, SimConfig};
use super::drive::Sim;
use super::invariant::{Invariant, Violation};
use super::plans::SECRET;
use super::rng::{Rng, Stream};
use super::world::{World, boot_number};
use super::{additions, ahead, fleets, plans, requests};
use crate::engine::{AttemptId, Check, Fact, Intent, Millis, RunEnd, RunStatus, Stamped, WorkerState};
use crate::graph::{CompileOptions, Lane, RolloutGraph, TargetIx, compile};
use crate::policy::feasibility;
use crate::report::{RunInfo, RunView};

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it was made from.
    pub config: SimConfig,
    /// How it ended; `None`: it did not.
    pub end: Option<RunEnd>,
    /// The first invariant that broke.
    pub broken: Option<Violation>,
    /// All facts with their times.
    pub journal: Vec<(Millis, Fact)>,
    /// Places that were passed at which a controller can die.
    pub points: u64,
    /// Events of the world.
    pub events: u64,
    /// Virtual milliseconds.
    pub took: Millis,
    /// The state of each worker at the end.
    pub lives: Vec<WorkerState>,
    /// Hosts, jobs and `disabled.json` at the end.
    pub world: String,
    /// The most workers that were down at once.
    pub most_down: u32,
    /// The plan in a few lines.
    pub plan: String,
}

impl Report {
    /// SHA-256 of all facts and of the world at the end.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for (at, fact) in &self.journal {
            // As stored: the names of fields in memory may change.
            let text = serde_json::to_string(fact).unwrap_or_default();
            hasher.update(format!("{at} {text}\n"));
        }
        hasher.update(&self.world);
        hex::encode(hasher.finalize())
    }

    /// What an undisturbed run and a resumed one must have in common.
    pub fn end_state(&self) -> (Option<RunEnd>, &[WorkerState], &str) {
        (self.end, &self.lives, &self.world)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.plan)?;
        let start = self.journal.first().map_or(0, |(at, _)| *at);
        for (at, fact) in &self.journal {
            writeln!(f, "{:>10.3} s  {fact:?}", (at - start) as f64 / 1000.0)?;
        }
        if let Some(broken) = &self.broken {
            writeln!(f, "{broken}")?;
        }
        write!(
            f,
            "replay: MAAND_SIM_REPLAY='{}' cargo test --test it sim::replay -- --nocapture",
            self.config
        )
    }
}

/// The compiled plan of a run; `None`: the draws make no feasible one.
pub fn graph(config: &SimConfig) -> Option<Arc<RolloutGraph>> {
    let mut fleet_rng = Rng::new(config.seed, Stream::Fleet);
    let mut plan_rng = Rng::new(config.seed, Stream::Plan);
    let (fleet, mut plan) = if config.shape == Shape::Random {
        let fleet = fleets::random(&mut fleet_rng, config.workers, config.jobs);
        let mut plan = plans::random(&mut plan_rng, &fleet);
        additions::expect_kernels(&mut Rng::new(config.seed, Stream::Kernels), &mut plan);
        ahead::prepare(&mut Rng::new(config.seed, Stream::Prepare), &mut plan, fleet.workers.len());
        requests::instead_of_commands(&mut Rng::new(config.seed, Stream::Requests), &mut plan);
        additions::gates(&mut Rng::new(config.seed, Stream::Gates), &mut plan);
        additions::reset_by_bmcs(&mut Rng::new(config.seed, Stream::Power), &mut plan);
        (fleet, plan)
    } else {
        (fleets::plain(config.workers, config.jobs, 3), plans::shaped(config.shape))
    };
    plans::leave_out(&mut plan, config.without);
    let graph = compile(&Arc::new(plan), &Arc::new(fleet), &CompileOptions::default()).ok()?;
    (!feasibility(&graph).has_errors() && !graph.plan.steps.is_empty()).then(|| Arc::new(graph))
}

/// Runs it; `None`: the draws make no feasible plan.
pub fn run(config: &SimConfig) -> Option<Report> {
    Some(run_on(config, &graph(config)?))
}

/// Runs it on a graph that is there already: [`graph`] of these config.
pub fn run_on(config: &SimConfig, graph: &Arc<RolloutGraph>) -> Report {
    let mut sim = Sim::new(config.clone(), Arc::clone(graph));
    let started = sim.now;
    sim.run();
    if config.check {
        match told(&sim.graph, &sim.ledger.facts()) {
            Ok(view) => {
                if let Some(what) = reported_boots(&view, &sim.ledger.facts(), &sim.world) {
                    sim.checker.breaks(Invariant::UnplannedBoots, what);
                }
            }
            Err(what) => sim.checker.breaks(Invariant::NoSecretStored, what),
        }
    }
    let end = match sim.state().map(|run| run.status()) {
        Some(RunStatus::Finished(end)) => Some(end),
        _ => None,
    };
    let lives = match sim.state() {
        Some(rollout) => sim.graph.target_indices().map(|target| rollout.worker_state(target)).collect(),
        None => Vec::new(),
    };
    Report {
        config: config.clone(),
        end,
        broken: sim.checker.broken.clone(),
        points: sim.points(),
        events: sim.events,
        took: sim.now - started,
        lives,
        world: sim.world.summary(),
        plan: sketch(&sim.graph),
        most_down: sim.checker.most_down,
        journal: sim.into_facts(),
    }
}

/// What reports make of the facts: they can be read, and say no secret.
fn told(graph: &Arc<RolloutGraph>, journal: &[(Millis, Fact)]) -> Result<RunView, String> {
    let info = RunInfo { run: "simulated".to_owned(), started_at: journal.first().map_or(0, |(at, _)| *at) };
    let mut view = RunView::new(info, Arc::clone(graph));
    for (seq, (at, fact)) in (1..).zip(journal) {
        let stamped = Stamped { seq, at: *at, epoch: 1, fact: fact.clone() };
        view.fold(&stamped).map_err(|illegal| format!("a report cannot read {fact:?}: {illegal}"))?;
    }
    view.refresh(journal.last().map_or(0, |(at, _)| *at));
    let text = serde_json::to_string(&view).map_err(|error| error.to_string())?;
    if text.contains(SECRET) { Err("a report says a secret".to_owned()) } else { Ok(view) }
}

/// Whether the report names the boots that machines have made by themselves, as far as any step or look has seen them, and
/// no other ones; `Some`: how it does not.
fn reported_boots(view: &RunView, journal: &[(Millis, Fact)], world: &World) -> Option<String> {
    let graph = &world.graph;
    let mut last: BTreeMap<TargetIx, u32> = BTreeMap::new();
    let mut wanted: BTreeSet<(TargetIx, u32)> = BTreeSet::new();
    let number = |target: TargetIx, id: &str| boot_number(graph.target(target).worker, id);
    // Which boots between two, the later one included, a reboot step has made.
    let by_run = |target: TargetIx, from: u32, to: u32| {
        let boots = &world.host(graph.target(target).worker).boots;
        (from..to).filter(|boot| boots.get(*boot as usize).is_some_and(|boot| boot.ended_by_run)).count()
    };
    let mut issued: BTreeMap<AttemptId, (Lane, &Intent)> = BTreeMap::new();
    let mut asked: BTreeSet<(TargetIx, u32)> = BTreeSet::new();
    for (_, fact) in journal {
        match fact {
            Fact::Preflight { checks } => {
                for (target, check) in graph.target_indices().zip(checks) {
                    if let Check::Ready { boot_id, .. } = check {
                        last.extend(number(target, boot_id).map(|boot| (target, boot)));
                    }
                }
            }
            Fact::Issued { attempt, lane, intent, .. } => {
                if let (Lane::Worker(target), Intent::Reboot { boot_id, .. }) = (lane, intent) {
                    asked.extend(number(*target, boot_id).map(|boot| (*target, boot)));
                }
                issued.insert(*attempt, (*lane, intent));
            }
            Fact::Finished { attempt, outcome } => {
                // An answer that comes twice has been told.
                let Some((Lane::Worker(target), intent)) = issued.remove(attempt) else { continue };
                let Some(seen) = outcome.boot_seen().and_then(|id| number(target, id)) else { continue };
                let before = last.insert(target, seen);
                // Another boot than B0 is what a reboot step and the wait behind it are for, whoever has made it.
                let is_for_boots =
                    matches!(intent, Intent::Reboot { .. } | Intent::AwaitBoot { not: Some(_), .. });
                // Whether a reboot that was asked for has come late cannot be told.
                if let Some(before) = before.filter(|before| *before < seen && !is_for_boots)
                    && !asked.contains(&(target, before))
                    && by_run(target, before, seen) == 0
                {
                    wanted.insert((target, seen));
                }
            }
            _ => {}
        }
    }
    for target in graph.target_indices() {
        let host = graph.host(target);
        for named in &view.worker(target).unplanned_boots {
            let (before, seen) = (number(target, &named.before)?, number(target, &named.boot_id)?);
            if seen <= before || by_run(target, before, seen) == (seen - before) as usize {
                return Some(format!(
                    "{host} is said to have booted by itself ({before} to {seen}): the run has made that boot"
                ));
            }
            wanted.remove(&(target, seen));
        }
    }
    let (target, boot) = wanted.first()?;
    Some(format!(
        "{} was seen in boot {boot}, which it has made itself, and nobody says so",
        graph.host(*target)
    ))
}

/// What you need to know of a plan to read a trace.
fn sketch(graph: &RolloutGraph) -> String {
    let plan = &graph.plan;
    let mut text = String::new();
    let lists = [("before", &plan.before), ("steps", &plan.steps), ("after", &plan.after)];
    for (list, steps) in lists {
        for (at, step) in steps.iter().enumerate() {
            let list = if step.prepares { "prepare" } else { list };
            let when = if step.when.tags.is_empty() { "" } else { " when.." };
            text += &format!(
                "{list} {at}: {:?} needs {:?} tries {} {:?}{when}\n",
                step.kind, step.needs, step.retries.attempts, step.on_failure
            );
        }
    }
    let rollout = &plan.rollout;
    let budgets: Vec<_> = graph.numbers().budgets.iter().map(|b| (b.job.0, b.wants, b.of)).collect();
    text + &format!(
        "prepare {:?}, at once {:?}, waves {:?}, gates {:?}, budgets (job, wants, of) {budgets:?}, failures {}, {:?}, spread {:?}, windows {:?}, frozen {:?}",
        plan.prepare.as_ref().map(|prepare| (prepare.concurrency.value, prepare.outside_window)),
        rollout.concurrency.value,
        graph.waves,
        rollout.gates,
        graph.numbers().max_failures.value,
        rollout.on_failure,
        rollout.spread.as_ref().map(|spread| spread.value.at_most),
        rollout.windows.iter().map(|window| (window.value.open, window.value.close)).collect::<Vec<_>>(),
        rollout.freeze.as_ref().map(|freeze| freeze.value.to_string()),
    )
}
