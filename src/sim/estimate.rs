//! How long a plan takes on a fleet, what is down at once, where it waits, and what happens when hosts
//! fail: many runs of the real engine under virtual time. It must not know the terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::checker::takes_down;
use super::config::SimConfig;
use super::drive::Sim;
use super::lower_bound::over_lower_bound;
use crate::engine::{Fact, Intent, Millis, RunEnd, RunStatus, Stamped};
use crate::graph::{Lane, RolloutGraph, TargetIx};
use crate::report::{RunInfo, RunView};

/// What is asked.
#[derive(Clone, Debug)]
pub struct EstimateOptions {
    /// The same seed gives the same answer.
    pub seed: u64,
    /// How many runs, for each rate.
    pub runs: u32,
    /// How many of 100,000 attempts of steps fail, one answer each.
    pub rates: Vec<u32>,
    /// How long kinds of steps (and `boot`) took, in milliseconds: one of them is drawn each time, and one
    /// alone stands for itself, give or take a fifth. Others by rules of thumb.
    pub durations: BTreeMap<String, Vec<i64>>,
}

/// When a wave began and ended, from the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WaveTime {
    /// From 0.
    pub wave: u32,
    /// Milliseconds.
    pub began_ms: i64,
    /// Milliseconds.
    pub ended_ms: i64,
}

/// What happens at one rate of failures.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Rate {
    /// So many of 100,000 attempts fail.
    pub per_100_000: u32,
    /// The share of runs that end with all workers well, 0 to 1.
    pub succeed: f64,
    /// The share of runs that stop before their end and wait for an operator, 0 to 1.
    pub stop: f64,
    /// The mean number of workers that fail.
    pub failed_workers: f64,
    /// Milliseconds, in the middle of all runs.
    pub median_ms: i64,
}

/// Runs that took about the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finishes {
    /// Milliseconds: at least so long.
    pub from_ms: i64,
    /// Milliseconds: less than this.
    pub below_ms: i64,
    /// How many of them.
    pub runs: u32,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Estimate {
    /// How many workers.
    pub workers: u32,
    /// How many runs without failures.
    pub runs: u32,
    /// How many of them came to their end.
    pub finished: u32,
    /// The run in the middle, in milliseconds.
    pub expected_ms: i64,
    /// The slowest run, in milliseconds.
    pub worst_ms: i64,
    /// How many of the runs without failures took how long, the shortest first; none is left out.
    pub finishes: Vec<Finishes>,
    /// Of the run in the middle.
    pub waves: Vec<WaveTime>,
    /// The most workers down at once, in any run.
    pub most_down: u32,
    /// The same of each job.
    pub most_down_of_job: BTreeMap<String, u32>,
    /// The tag that the plan spreads over, else `zone`.
    pub zone_tag: String,
    /// The same of each value of that tag; `(none)`: workers without it.
    pub most_down_of_zone: BTreeMap<String, u32>,
    /// Milliseconds that the first in line waited, by the reason, in the run in the middle.
    pub waits_ms: BTreeMap<&'static str, i64>,
    /// Time of the rollout over the least that its limits allow, in the run in the middle.
    pub over_lower_bound: Option<f64>,
    /// What happens when steps fail.
    pub rates: Vec<Rate>,
}

/// One run.
struct Tried {
    took: Millis,
    end: Option<RunEnd>,
    journal: Vec<(Millis, Fact)>,
    waits: BTreeMap<&'static str, Millis>,
}

/// The answer, and a run to look at.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// The answer.
    pub answer: Estimate,
    /// All facts of the run in the middle of those in which nothing fails.
    pub middle: Vec<Stamped>,
}

/// Tries a plan.
pub fn estimate(graph: &Arc<RolloutGraph>, options: &EstimateOptions) -> Simulated {
    let calm = |n| tried(graph, options, options.seed.wrapping_add(u64::from(n)), 0);
    let mut runs: Vec<Tried> = (0..options.runs.max(1)).map(calm).collect();
    runs.sort_by_key(|run| run.took);
    let middle = &runs[runs.len() / 2];
    let mut answer = Estimate {
        workers: graph.targets.len() as u32,
        runs: runs.len() as u32,
        finished: runs.iter().filter(|run| run.end.is_some()).count() as u32,
        expected_ms: middle.took,
        worst_ms: runs.last().map_or(0, |run| run.took),
        finishes: finishes(&runs.iter().map(|run| run.took).collect::<Vec<_>>()),
        waves: waves(&middle.journal),
        most_down: 0,
        most_down_of_job: BTreeMap::new(),
        zone_tag: zone_tag(graph).to_owned(),
        most_down_of_zone: BTreeMap::new(),
        waits_ms: middle.waits.clone(),
        over_lower_bound: over_lower_bound(graph, &middle.journal),
        rates: Vec::new(),
    };
    for run in &runs {
        count_down(graph, &run.journal, &mut answer);
    }
    answer.rates = options.rates.iter().map(|rate| at_rate(graph, options, *rate)).collect();
    let middle = runs.swap_remove(runs.len() / 2);
    Simulated { answer, middle: stamped(middle.journal).collect() }
}

fn stamped(journal: Vec<(Millis, Fact)>) -> impl Iterator<Item = Stamped> {
    (1..).zip(journal).map(|(seq, (at, fact))| Stamped { seq, at, epoch: 1, fact })
}

/// At most so many parts of the times that runs take.
const PARTS: i64 = 8;

/// Times in ascending order, in parts of equal length that begin at round times.
fn finishes(took: &[Millis]) -> Vec<Finishes> {
    const ROUND: [Millis; 16] = [
        1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_200_000, 1_800_000,
        3_600_000, 7_200_000, 21_600_000, 86_400_000,
    ];
    let (Some(first), Some(last)) = (took.first(), took.last()) else { return Vec::new() };
    let parts = |step: Millis| last.div_euclid(step) - first.div_euclid(step) + 1;
    let widest = || last.saturating_sub(*first) / (PARTS - 1) + 1;
    let step = ROUND.iter().copied().find(|step| parts(*step) <= PARTS).unwrap_or_else(widest);
    let begin = first.div_euclid(step);
    let part = |n: i64| {
        let from_ms = (begin + n).saturating_mul(step);
        let below_ms = from_ms.saturating_add(step);
        let runs = took.iter().filter(|took| (from_ms..below_ms).contains(*took)).count() as u32;
        Finishes { from_ms, below_ms, runs }
    };
    (0..parts(step)).map(part).collect()
}

/// When steps end in a run in which nothing fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// When the first, the second and so on of all steps ends, in milliseconds since the start. The steps of a worker
    /// whose part is over count as ended.
    pub ends: Vec<Millis>,
    /// When the run ends.
    pub total_ms: Millis,
    /// When its waves begin and end.
    pub waves: Vec<WaveTime>,
}

/// The run in the middle of those that [`estimate`] tries, step by step; `None`: it does not come to its end by
/// itself, for example because an operator has to approve something.
pub fn timeline(graph: &Arc<RolloutGraph>, options: &EstimateOptions) -> Option<Timeline> {
    let calm = |n| tried(graph, options, options.seed.wrapping_add(u64::from(n)), 0);
    let mut runs: Vec<Tried> = (0..options.runs.max(1)).map(calm).collect();
    runs.sort_by_key(|run| run.took);
    let middle = runs.swap_remove(runs.len() / 2);
    (middle.end == Some(RunEnd::Succeeded)).then_some(())?;
    let started_at = middle.journal.first()?.0;
    let mut view = RunView::new(RunInfo { run: String::new(), started_at }, Arc::clone(graph));
    let mut ends: Vec<Millis> = Vec::new();
    let waves = waves(&middle.journal);
    for stamped in stamped(middle.journal) {
        // Of the engine's own making: none is refused.
        view.fold(&stamped).ok()?;
        let (done, _) = view.progress();
        ends.resize(usize::try_from(done).ok()?.max(ends.len()), stamped.at - started_at);
    }
    Some(Timeline { ends, total_ms: middle.took, waves })
}

fn tried(graph: &Arc<RolloutGraph>, options: &EstimateOptions, seed: u64, trouble: u32) -> Tried {
    // All runs begin at the same moment: a window must not make them differ.
    let config =
        SimConfig { seed: seed.wrapping_mul(2016), trouble, check: false, ..SimConfig::pattern_a(1) };
    let mut sim = Sim::new(config, Arc::clone(graph));
    sim.measured.clone_from(&options.durations);
    sim.waits = Some(BTreeMap::new());
    sim.stops_at_rest = true;
    let began = sim.now;
    sim.run();
    let end = match sim.state().map(|run| run.status()) {
        Some(RunStatus::Finished(end)) => Some(end),
        _ => None,
    };
    let waits = sim.waits.take().unwrap_or_default();
    Tried { took: sim.now - began, end, waits, journal: sim.into_facts() }
}

fn at_rate(graph: &Arc<RolloutGraph>, options: &EstimateOptions, rate: u32) -> Rate {
    let runs: Vec<Tried> = (0..options.runs.max(1))
        .map(|n| tried(graph, options, options.seed.wrapping_add(u64::from(n)), rate))
        .collect();
    let share = |wanted: &dyn Fn(&Tried) -> bool| {
        runs.iter().filter(|run| wanted(run)).count() as f64 / runs.len() as f64
    };
    let failed = |run: &Tried| {
        let fails = |fact: &Fact| {
            matches!(fact, Fact::WorkerFailed { .. } | Fact::WorkerReverted { .. } | Fact::RevertStuck { .. })
        };
        run.journal.iter().filter(|(_, fact)| fails(fact)).count()
    };
    let mut times: Vec<Millis> = runs.iter().map(|run| run.took).collect();
    times.sort_unstable();
    Rate {
        per_100_000: rate,
        succeed: share(&|run| run.end == Some(RunEnd::Succeeded)),
        stop: share(&|run| run.end.is_none()),
        failed_workers: runs.iter().map(failed).sum::<usize>() as f64 / runs.len() as f64,
        median_ms: times[times.len() / 2],
    }
}

pub(super) fn waves(journal: &[(Millis, Fact)]) -> Vec<WaveTime> {
    let began = journal.first().map_or(0, |(at, _)| *at);
    let mut waves: Vec<WaveTime> = Vec::new();
    for (at, fact) in journal {
        match fact {
            Fact::WaveStarted { wave } => {
                waves.push(WaveTime { wave: *wave, began_ms: at - began, ended_ms: at - began });
            }
            Fact::WaveFinished { .. } => {
                if let Some(last) = waves.last_mut() {
                    last.ended_ms = at - began;
                }
            }
            _ => {}
        }
    }
    waves
}

fn zone_tag(graph: &RolloutGraph) -> &str {
    graph.plan.rollout.spread.as_ref().map_or("zone", |spread| spread.value.tag.as_str())
}

/// The most that was down at once, raised where this run had more.
fn count_down(graph: &RolloutGraph, journal: &[(Millis, Fact)], answer: &mut Estimate) {
    let tag = zone_tag(graph);
    let mut down: BTreeSet<TargetIx> = BTreeSet::new();
    let mut of_job: BTreeMap<u32, u32> = BTreeMap::new();
    let mut of_zone: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, fact) in journal {
        let (target, goes) = match fact {
            Fact::Issued { lane: Lane::Worker(target), step, intent, .. } => {
                let disturbs = takes_down(&graph.plan.steps[step.index()].kind);
                (*target, disturbs && *intent != Intent::ReadBootId && !intent.is_undo())
            }
            Fact::WorkerSucceeded { target } | Fact::WorkerReverted { target } => (*target, false),
            _ => continue,
        };
        let comes = matches!(fact, Fact::WorkerSucceeded { .. } | Fact::WorkerReverted { .. });
        let changed = if goes { down.insert(target) } else { comes && down.remove(&target) };
        if !changed {
            continue;
        }
        let worker = graph.fleet.worker(graph.target(target).worker);
        let zone = worker.tags.get(tag).map_or("(none)", String::as_str);
        let zones = of_zone.entry(zone).or_default();
        *zones = if goes { *zones + 1 } else { zones.saturating_sub(1) };
        raise(&mut answer.most_down_of_zone, zone, *zones);
        for job in &graph.target(target).jobs {
            let jobs = of_job.entry(job.0).or_default();
            *jobs = if goes { *jobs + 1 } else { jobs.saturating_sub(1) };
            raise(&mut answer.most_down_of_job, graph.fleet.job(*job).name.as_str(), *jobs);
        }
        answer.most_down = answer.most_down.max(down.len() as u32);
    }
}

fn raise(most: &mut BTreeMap<String, u32>, name: &str, now: u32) {
    match most.get_mut(name) {
        Some(known) => *known = now.max(*known),
        None => {
            most.insert(name.to_owned(), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing::{compiled, fleet, plan, worker};

    #[test]
    fn the_timeline_is_that_of_the_estimate() {
        let hosts = (1..=4).map(|n| worker(&format!("w{n}"), &[], &[])).collect();
        let graph = Arc::new(compiled(&plan(), &fleet(hosts, &[])));
        let durations = BTreeMap::from([("boot".to_owned(), vec![30_000])]);
        let options = EstimateOptions { seed: 1, runs: 5, rates: Vec::new(), durations };
        let timeline = timeline(&graph, &options).unwrap();
        assert_eq!(timeline.total_ms, estimate(&graph, &options).answer.expected_ms);
        assert_eq!(timeline.ends.len(), 4 * 2, "each step of each worker");
        assert!(timeline.ends.is_sorted(), "{timeline:?}");
        assert!(timeline.total_ms >= timeline.ends[7] && timeline.ends[7] > 4 * 24_000, "{timeline:?}");
    }

    #[test]
    fn every_run_is_in_one_part_and_there_are_few_parts() {
        let count = |took: &[Millis]| finishes(took).iter().map(|part| part.runs).sum::<u32>() as usize;
        let seconds = |of: &[Millis]| of.iter().map(|s| s * 1000).collect::<Vec<_>>();
        for took in [
            vec![0],
            vec![0, 0, 0],
            seconds(&[61, 62, 69, 75]),
            seconds(&[1, 86_400 * 400]),
            vec![-5, 7],
            vec![0, i64::MAX / 2],
        ] {
            let parts = finishes(&took);
            assert_eq!(count(&took), took.len(), "{parts:?}");
            assert!(parts.len() <= PARTS as usize, "{parts:?}");
            assert!(parts.windows(2).all(|pair| pair[0].below_ms == pair[1].from_ms), "{parts:?}");
        }
        assert_eq!(finishes(&[]), []);
        let parts = finishes(&seconds(&[61, 62, 69, 75]));
        let told: Vec<_> = parts.iter().map(|part| (part.from_ms, part.runs)).collect();
        assert_eq!(
            told,
            [
                (60_000, 1),
                (62_000, 1),
                (64_000, 0),
                (66_000, 0),
                (68_000, 1),
                (70_000, 0),
                (72_000, 0),
                (74_000, 1)
            ]
        );
    }
}
