//! What is promised, and whether a worker that was just admitted keeps it. Counted anew from the books each time: no
//! number of the policy is trusted but the plan's own, resolved over the fleet.

use std::collections::BTreeSet;

use serde::Serialize;

use super::books::{Books, Life};
use super::story::Event;
use crate::graph::{RolloutGraph, TargetIx};
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
    /// For each worker: a step takes it down.
    goes: Vec<bool>,
    /// For each worker its index in the exposure's zones.
    zone: Vec<Option<usize>>,
}

impl<'a> Promises<'a> {
    pub(super) fn new(graph: &'a RolloutGraph) -> Self {
        let exposure = Exposure::of(graph);
        let disturbs: Vec<bool> = graph.plan.steps.iter().map(|step| step.kind.traits().disturbs).collect();
        let goes = |target: &crate::graph::Target| {
            target.applies.iter().zip(&disturbs).any(|(applies, disturbs)| *applies && *disturbs)
        };
        let zone = |target: &crate::graph::Target| {
            let tag = graph.fleet.worker(target.worker).tags.get(&exposure.zones_by.as_ref()?.tag)?;
            exposure.zones.iter().position(|zone| zone.zone == *tag)
        };
        let zone = graph.targets.iter().map(zone).collect();
        Self { goes: graph.targets.iter().map(goes).collect(), zone, graph, exposure }
    }

    pub(super) fn goes_down(&self, target: TargetIx) -> bool {
        self.goes[target.0 as usize]
    }

    pub(super) fn is_down(&self, books: &Books, target: TargetIx) -> bool {
        match books.life(target) {
            Life::Active => self.goes_down(target),
            Life::Failed(down) => down,
            Life::Away => true,
            Life::Queued | Life::Succeeded | Life::LeftAlone => false,
        }
    }

    pub(super) fn nothing(&self) -> Most {
        Most { run: 0, jobs: vec![0; self.exposure.jobs.len()], zones: vec![0; self.exposure.zones.len()] }
    }

    /// `target` was just admitted: whether it may have been, and how much is down now.
    pub(super) fn look(&self, books: &Books, target: TargetIx, most: &mut Most) -> Option<(Promise, String)> {
        let graph = self.graph;
        if let Some(broken) = self.start(books, target) {
            return Some(broken);
        }
        if !self.goes_down(target) {
            return None;
        }
        let down: Vec<TargetIx> = graph.target_indices().filter(|one| self.is_down(books, *one)).collect();
        if let Some(broken) = self.limits(target, &down) {
            return Some(broken);
        }
        let beyond = |name: String, now: u32, stake: &Stake| {
            (now > stake.down).then(|| {
                let what = format!(
                    "{name}: {now} of {} are down at once, and at most {} are promised",
                    stake.of, stake.down
                );
                (Promise::Exposure, what)
            })
        };
        let run = &self.exposure.run;
        most.run = most.run.max(down.len() as u32);
        let mut broken = beyond("workers".to_owned(), down.len() as u32, run);
        for (job, most) in self.exposure.jobs.iter().zip(&mut most.jobs) {
            if graph.target(target).jobs.contains(&job.job) {
                let now =
                    down.iter().filter(|one| graph.target(**one).jobs.contains(&job.job)).count() as u32;
                *most = now.max(*most);
                let name = || format!("job {}", graph.fleet.job(job.job).name);
                broken = broken.or_else(|| beyond(name(), now, &job.stake));
            }
        }
        if let Some(zone) = self.zone[target.0 as usize] {
            let now = down.iter().filter(|one| self.zone[one.0 as usize] == Some(zone)).count() as u32;
            most.zones[zone] = now.max(most.zones[zone]);
            let stake = &self.exposure.zones[zone];
            broken = broken.or_else(|| beyond(format!("zone {}", stake.zone), now, &stake.stake));
        }
        broken
    }

    /// What holds for every worker that starts.
    fn start(&self, books: &Books, target: TargetIx) -> Option<(Promise, String)> {
        let (graph, host) = (self.graph, self.graph.host(target));
        let active = books.lives.iter().filter(|life| **life == Life::Active).count();
        if let Some(allowed) = graph.numbers().concurrency.as_ref().map(|number| number.value)
            && active > allowed as usize
        {
            return Some((
                Promise::Concurrency,
                format!("{host} starts: {active} are active, and {allowed} may be"),
            ));
        }
        let (failed, allowed) = (books.failures(), graph.numbers().max_failures.value);
        if failed > allowed {
            let what = format!("{host} starts after {failed} failures, and max_failures is {allowed}");
            return Some((Promise::Failures, what));
        }
        let wave = graph.target(target).wave;
        let open = |one: &TargetIx| {
            graph.target(*one).wave < wave && matches!(books.life(*one), Life::Queued | Life::Active)
        };
        graph.target_indices().find(open).map(|earlier| {
            let earlier = graph.host(earlier);
            (Promise::Waves, format!("{host} of wave {} starts before {earlier} has ended", wave + 1))
        })
    }

    /// What holds for every worker that goes down.
    fn limits(&self, target: TargetIx, down: &[TargetIx]) -> Option<(Promise, String)> {
        let graph = self.graph;
        let host = graph.host(target);
        for budget in &graph.numbers().budgets {
            if !graph.target(target).jobs.contains(&budget.job) {
                continue;
            }
            let now = down.iter().filter(|one| graph.target(**one).jobs.contains(&budget.job)).count() as u32;
            if now + budget.wants > budget.of {
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
        let tag = spread.tag.to_lowercase();
        let value = |one: TargetIx| graph.fleet.worker(graph.target(one).worker).tags.get(&tag);
        let others: BTreeSet<_> = down.iter().filter(|one| **one != target).map(|one| value(*one)).collect();
        let is_new = !others.contains(&value(target));
        let now = others.len() as u64 + u64::from(is_new);
        (is_new && now > spread.at_most).then(|| {
            let what = format!(
                "{host} goes down: {now} values of tag `{tag}` are disturbed, and at most {} may be",
                spread.at_most
            );
            (Promise::Spread, what)
        })
    }
}
