//! How many workers are down at the same time: all, of each failure domain, of each job.

use crate::engine::Millis;
use crate::graph::{RolloutGraph, TargetIx, TargetSet};
use crate::policy::Exposure;

/// A number over time: from each moment on it is so many. Moments ascend, neighbours differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Moment and number.
    pub points: Vec<(Millis, u32)>,
}

impl Series {
    fn set(&mut self, at: Millis, value: u32) {
        match self.points.last_mut() {
            Some((_, last)) if *last == value => {}
            Some((moment, last)) if *moment == at => *last = value,
            _ => self.points.push((at, value)),
        }
        // Setting a moment anew may make it equal to the one before.
        if let [.., (_, before), (_, last)] = self.points.as_slice()
            && before == last
        {
            self.points.pop();
        }
    }

    /// The number now.
    pub fn last(&self) -> u32 {
        self.points.last().map_or(0, |(_, value)| *value)
    }

    /// The largest number, and when it was first reached.
    pub fn most(&self) -> Option<(Millis, u32)> {
        self.points.iter().copied().max_by_key(|(at, value)| (*value, std::cmp::Reverse(*at)))
    }
}

/// What of something may be down, and was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfWhat {
    /// The failure domain or the job.
    pub name: String,
    /// Maximum number that may be down, as in [`Down::allowed`]; `None`: none of it goes down.
    pub allowed: Option<u32>,
    /// How many were.
    pub series: Series,
}

/// Workers that were down at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Down {
    /// All of them.
    pub all: Series,
    /// Maximum number at work at the same time; failed ones may be down besides. `None`: `auto`.
    pub at_once: Option<u32>,
    /// Maximum number that may be down in any order of ends and failures, as `plan show` says it is at stake: failed
    /// workers count, up to `max_failures` of them.
    pub allowed: u32,
    /// The tag of `domains`: that of `spread`, else `zone`; `None`: no worker has one.
    pub tag: Option<String>,
    /// By value of the tag.
    pub domains: Vec<OfWhat>,
    /// Maximum number of domains with a worker that is down at the same time.
    pub domains_allowed: Option<u64>,
    /// Jobs that have a budget, by name: allocations on workers that are down.
    pub jobs: Vec<OfWhat>,
    /// For each target its index in `domains`.
    domain_of: Vec<Option<usize>>,
    /// For each target its indices in `jobs`.
    jobs_of: Vec<Vec<usize>>,
    was: TargetSet,
}

/// The tag that is looked at where a plan has no `spread`.
const USUAL_TAG: &str = "zone";

impl Down {
    pub(super) fn new(graph: &RolloutGraph) -> Self {
        let spread = graph.plan.rollout.spread.as_ref().map(|spread| &spread.value);
        let tag = spread.map_or(USUAL_TAG, |spread| spread.tag.as_str()).to_lowercase();
        let value_of = |target: TargetIx| graph.fleet.worker(graph.target(target).worker).tags.get(&tag);
        let mut values: Vec<&String> = graph.target_indices().filter_map(value_of).collect();
        values.sort_unstable();
        values.dedup();
        let domain_of = |target| value_of(target).and_then(|value| values.binary_search(&value).ok());
        let budgets = &graph.numbers().budgets;
        let exposure = Exposure::of(graph);
        let in_domain = |value: &str| {
            let same = exposure.zones_by.as_ref().is_some_and(|zones| zones.tag.eq_ignore_ascii_case(&tag));
            exposure.of_zone(value).filter(|_| same).map(|stake| stake.down)
        };
        let jobs = budgets.iter().map(|budget| OfWhat {
            name: graph.fleet.job(budget.job).name.to_string(),
            allowed: exposure.of_job(budget.job).map(|stake| stake.down),
            series: Series::default(),
        });
        let jobs_of = |target: TargetIx| {
            let of = &graph.target(target).jobs;
            (0..budgets.len()).filter(|at| of.contains(&budgets[*at].job)).collect()
        };
        Self {
            all: Series::default(),
            at_once: graph.numbers().concurrency.as_ref().map(|resolved| resolved.value),
            allowed: exposure.run.down,
            tag: (!values.is_empty()).then(|| tag.clone()),
            domains: values
                .iter()
                .map(|value| OfWhat {
                    name: (*value).clone(),
                    allowed: in_domain(value),
                    series: Series::default(),
                })
                .collect(),
            domains_allowed: spread.map(|spread| spread.at_most),
            jobs: jobs.collect(),
            domain_of: graph.target_indices().map(domain_of).collect(),
            jobs_of: graph.target_indices().map(jobs_of).collect(),
            was: TargetSet::default(),
        }
    }

    /// The workers that are down now.
    pub(super) fn note(&mut self, at: Millis, now: &TargetSet) {
        if *now == self.was {
            return;
        }
        let was = std::mem::replace(&mut self.was, now.clone());
        let gone: Vec<TargetIx> = now.iter().filter(|target| !was.contains(*target)).collect();
        let back: Vec<TargetIx> = was.iter().filter(|target| !now.contains(*target)).collect();
        for (targets, by) in [(gone, 1_i64), (back, -1)] {
            for target in targets {
                let of = target.0 as usize;
                if let Some(domain) = self.domain_of[of] {
                    change(&mut self.domains[domain].series, at, by);
                }
                for job in &self.jobs_of[of] {
                    change(&mut self.jobs[*job].series, at, by);
                }
            }
        }
        self.all.set(at, now.len() as u32);
    }
}

fn change(series: &mut Series, at: Millis, by: i64) {
    let value = i64::from(series.last()) + by;
    series.set(at, u32::try_from(value).unwrap_or(0));
}
