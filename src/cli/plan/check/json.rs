//! The result of a check as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::super::document::Document;
use super::{Made, Verdict};
use crate::check::{CutShort, Happening, Promise};
use crate::policy::Stake;

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct CheckDocument<'a> {
    /// The plan's name.
    plan: &'a str,
    /// The fleet was made up; none of its workers exists.
    #[serde(rename = "made_up")]
    synthetic: bool,
    /// How many workers are selected.
    workers: u32,
    /// `proven`, `broken` or `not_exhausted`.
    verdict: &'static str,
    /// So many workers could fail.
    failures: u32,
    /// They stand for any number of failures: nobody starts after that many.
    any_failures: bool,
    /// Different states that were looked at.
    states: usize,
    /// Moves from one to another.
    moves: usize,
    /// Everything that happens within so many starts and ends of workers was looked at.
    depth: usize,
    /// What ended the search early: `states`, `memory`, `time` or `interrupt`; `null`: nothing did.
    cut_short: Option<&'static str>,
    /// The promise that is broken soonest.
    broken: Option<BrokenJson<'a>>,
    /// All workers.
    run: StakeJson,
    /// Jobs with an allocation on a worker that goes down.
    jobs: Vec<NamedJson<'a>>,
    /// The tag whose values are the zones; `null`: there are none.
    zone_tag: Option<&'a str>,
    /// Zones with a worker that goes down.
    zones: Vec<NamedJson<'a>>,
}

/// A broken promise.
#[derive(Serialize, JsonSchema)]
struct BrokenJson<'a> {
    /// `exposure`, `budget`, `spread`, `concurrency`, `failures`, `waves` or `ends`.
    promise: &'static str,
    /// In words, with the numbers.
    what: &'a str,
    /// What happens up to there; no shorter story does it.
    story: Vec<EventJson<'a>>,
}

/// What happens to a worker.
#[derive(Serialize, JsonSchema)]
struct EventJson<'a> {
    /// The worker.
    worker: &'a str,
    /// `does_not_answer`, `starts`, `succeeds`, `fails`, `reverted` or `revert_stuck`.
    event: &'static str,
    /// The step at which it fails.
    step: Option<&'a str>,
}

/// A bound.
#[derive(Serialize, JsonSchema)]
struct StakeJson {
    /// At most so many are down at once.
    down: u32,
    /// Out of so many workers, or enabled allocations.
    of: u32,
    /// The most that was seen down at once.
    reached: u32,
}

/// The bound of a job or a zone.
#[derive(Serialize, JsonSchema)]
struct NamedJson<'a> {
    /// Of the job, or the tag's value.
    name: &'a str,
    #[serde(flatten)]
    stake: StakeJson,
}

impl Document for CheckDocument<'_> {
    const NAME: &'static str = "plan-check";
}

pub(super) fn document<'a>(made: &Made<'a>) -> CheckDocument<'a> {
    let Made { graph, checked, verdict, .. } = *made;
    let (exposure, reached) = (&checked.exposure, &checked.reached);
    let bound = |stake: &Stake, reached: u32| StakeJson { down: stake.down, of: stake.of, reached };
    let jobs = exposure.jobs.iter().zip(&reached.jobs).map(|(job, most)| NamedJson {
        name: graph.fleet.job(job.job).name.as_str(),
        stake: bound(&job.stake, *most),
    });
    let zones = exposure
        .zones
        .iter()
        .zip(&reached.zones)
        .map(|(zone, most)| NamedJson { name: &zone.zone, stake: bound(&zone.stake, *most) });
    CheckDocument {
        plan: &graph.plan.name,
        synthetic: graph.fleet.synthetic,
        workers: graph.targets.len() as u32,
        verdict: match verdict {
            Verdict::Proven => "proven",
            Verdict::Broken => "broken",
            Verdict::NotExhausted => "not_exhausted",
        },
        failures: checked.failures,
        any_failures: checked.any_failures,
        states: checked.states,
        moves: checked.moves,
        depth: checked.depth,
        cut_short: checked.cut_short.map(|why| match why {
            CutShort::States => "states",
            CutShort::Memory => "memory",
            CutShort::Stopped if made.interrupted => "interrupt",
            CutShort::Stopped => "time",
        }),
        broken: checked.broken.as_ref().map(|broken| BrokenJson {
            promise: name(broken.promise),
            what: &broken.what,
            story: broken.story.iter().map(|event| self::event(graph, event)).collect(),
        }),
        run: bound(&exposure.run, reached.run),
        jobs: jobs.collect(),
        zone_tag: exposure.zones_by.as_ref().map(|by| by.tag.as_str()),
        zones: zones.collect(),
    }
}

fn name(promise: Promise) -> &'static str {
    match promise {
        Promise::Exposure => "exposure",
        Promise::Budget => "budget",
        Promise::Spread => "spread",
        Promise::Concurrency => "concurrency",
        Promise::Failures => "failures",
        Promise::Waves => "waves",
        Promise::Prepared => "prepared",
        Promise::Ends => "ends",
    }
}

fn event<'a>(graph: &'a crate::graph::RolloutGraph, event: &crate::check::Event) -> EventJson<'a> {
    let (name, step) = match event.what {
        Happening::DoesNotAnswer => ("does_not_answer", None),
        Happening::Starts => ("starts", None),
        Happening::Succeeds => ("succeeds", None),
        Happening::Fails(step) => ("fails", step),
        Happening::IsReverted => ("reverted", None),
        Happening::IsStuck => ("revert_stuck", None),
    };
    EventJson {
        worker: graph.host(event.target),
        event: name,
        step: step.map(|step| graph.plan.steps[step.index()].id.as_str()),
    }
}
