//! What is promised, and whether a worker that was just admitted keeps it. Counted in books of their own: no
//! number of the policy is trusted but the plan's own, resolved over the fleet.

use std::sync::Arc;

use serde::Serialize;

use super::books::{Books, Shape};
use super::story::Event;
use crate::graph::{RolloutGraph, TargetIx};
use crate::plan::counted;
use crate::policy::{Exposure, Stake};

/// What a plan promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// No more are down at once than `plan show` says.
    Exposure,
    /// A worker goes down only where the budgets of its jobs have room beside all that are down.
    Budget,
    /// A worker goes down only in a failure domain that is disturbed already, or where one more may be.
    Spread,
    /// No more are active than allowed.
    Concurrency,
    /// Nobody starts after too many failures.
    Failures,
    /// Nobody starts before the waves before have ended.
    Waves,
    /// Nobody starts before all have been prepared, or have failed to.
    Prepared,
    /// The rollout comes to its end, or halts because more failed than the plan allows.
    Ends,
}

/// A promise that some order of ends and failures breaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// Which.
    pub promise: Promise,
    /// How, with the numbers.
    pub what: String,
    /// What happens up to there: no shorter story does it.
    pub story: Vec<Event>,
}

/// The most that was down at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Most {
    pub(super) run: u32,
    /// In the order of [`Exposure::jobs`].
    pub(super) jobs: Vec<u32>,
    /// In the order of [`Exposure::zones`].
    pub(super) zones: Vec<u32>,
}

/// The promises of a plan.
pub(super) struct Promises<'a> {
    graph: &'a RolloutGraph,
    pub(super) exposure: Exposure,
    pub(super) shape: Arc<Shape>,
    /// For each job of the fleet its place in the exposure.
    place: Vec<Option<usize>>,
}

impl<'a> Promises<'a> {
    pub(super) fn new(graph: &'a RolloutGraph) -> Self {
        let exposure = Exposure::of(graph);
        let mut place = vec![None; graph.fleet.jobs.len()];
        for (at, job) in exposure.jobs.iter().enumerate() {
            place[job.job.0 as usize] = Some(at);
        }
        Self { shape: Arc::new(Shape::new(graph, &exposure)), graph, exposure, place }
    }

    pub(super) fn books(&self) -> Books {
        Books::new(self.graph, &self.shape, self.exposure.zones.len())
    }

    /// What facts are noted with.
    pub(super) fn graph(&self) -> &'a RolloutGraph {
        self.graph
    }

    pub(super) fn nothing(&self) -> Most {
        Most { run: 0, jobs: vec![0; self.exposure.jobs.len()], zones: vec![0; self.exposure.zones.len()] }
    }

    /// `target` was just admitted: whether it may have been, and how much is down now.
    pub(super) fn look(&self, books: &Books, target: TargetIx, most: &mut Most) -> Option<(Promise, String)> {
        if let Some(broken) = self.start(books, target) {
            return Some(broken);
        }
        if !self.shape.goes_down(target) {
            return None;
        }
        most.run = most.run.max(books.down);
        let mut broken =
            self.limits(books, target).or_else(|| beyond("workers", books.down, &self.exposure.run));
        for job in &self.graph.target(target).jobs {
            let Some(at) = self.place[job.0 as usize] else { continue };
            let now = books.down_of_job[job.0 as usize];
            most.jobs[at] = now.max(most.jobs[at]);
            let name = self.graph.fleet.job(*job).name.as_str();
            broken = broken.or_else(|| beyond(&format!("job {name}"), now, &self.exposure.jobs[at].stake));
        }
        if let Some(zone) = self.shape.zone(target) {
            let now = books.down_of_zone[zone];
            most.zones[zone] = now.max(most.zones[zone]);
            let stake = &self.exposure.zones[zone];
            broken = broken.or_else(|| beyond(&format!("zone {}", stake.zone), now, &stake.stake));
        }
        broken
    }

    /// What holds for every worker that starts.
    fn start(&self, books: &Books, target: TargetIx) -> Option<(Promise, String)> {
        let (graph, host) = (self.graph, self.graph.host(target));
        let active = books.active;
        if let Some(allowed) = graph.numbers().concurrency.as_ref().map(|number| number.value)
            && active > allowed
        {
            let what = format!("{host} starts: {active} are active, and {allowed} may be");
            return Some((Promise::Concurrency, what));
        }
        let (failed, allowed) = (books.failures, graph.numbers().max_failures.value);
        if failed > allowed {
            let failed = counted(failed as usize, "failure");
            let what = format!("{host} starts after {failed}, and max_failures is {allowed}");
            return Some((Promise::Failures, what));
        }
        if let Some(other) = books.not_prepared() {
            let what = format!("{host} starts before {} is prepared", graph.host(other));
            return Some((Promise::Prepared, what));
        }
        let wave = graph.target(target).wave;
        books.open_before(wave).map(|open| {
            let what = format!("{host} of wave {} starts before wave {} has ended", wave + 1, open + 1);
            (Promise::Waves, what)
        })
    }

    /// What holds for every worker that goes down.
    fn limits(&self, books: &Books, target: TargetIx) -> Option<(Promise, String)> {
        let graph = self.graph;
        let host = graph.host(target);
        for budget in &graph.numbers().budgets {
            let now = books.down_of_job[budget.job.0 as usize];
            if graph.target(target).jobs.contains(&budget.job) && now + budget.wants > budget.of {
                let job = &graph.fleet.job(budget.job).name;
                let stays = budget.of.saturating_sub(now);
                let what = format!(
                    "{host} goes down: job {job} keeps {stays} of {}, and its budget wants {}",
                    budget.of, budget.wants
                );
                return Some((Promise::Budget, what));
            }
        }
        let spread = &graph.plan.rollout.spread.as_ref()?.value;
        let (now, is_new) = books.domains(target);
        (is_new && now > spread.at_most).then(|| {
            let (tag, at_most) = (&spread.tag, spread.at_most);
            let what = format!(
                "{host} goes down: {now} values of tag `{tag}` are disturbed, and at most {at_most} may be"
            );
            (Promise::Spread, what)
        })
    }
}

/// More are down than was said.
fn beyond(name: &str, now: u32, stake: &Stake) -> Option<(Promise, String)> {
    let Stake { down, of, .. } = stake;
    (now > *down).then(|| {
        (
            Promise::Exposure,
            format!("{name}: {now} of {of} are down at once, and at most {down} are promised"),
        )
    })
}
