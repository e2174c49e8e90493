//! How long steps take, and how often they fail: over the attempts of the runs that are asked about.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::engine::Millis;
use crate::graph::Lane;
use crate::journal::{Ended, RunOutline, Spread, TimedAttempt};
use crate::plan::{self, Plan, Source};

use super::RunError;
use super::history::History;
use super::list::ListedRun;

/// So many of the slowest workers are named for each step.
const SLOWEST: usize = 5;

/// One step of one plan, over all runs of it.
#[derive(Clone, Debug, PartialEq)]
pub struct StepStatistics {
    /// The plan's name.
    pub plan: String,
    /// `before`, `prepare`, `steps` or `after`.
    pub list: &'static str,
    /// The step's id.
    pub step: String,
    /// Its kind.
    pub kind: String,
    /// In how many runs it was tried.
    pub runs: usize,
    /// Attempts that have ended, those that had nothing to do among them.
    pub attempts: usize,
    /// Attempts that failed.
    pub failed: usize,
    /// Durations of those that went well and had something to do.
    pub took: Spread,
    /// The workers on which such an attempt takes longest, by their medians, longest first.
    pub slowest: Vec<(String, Spread)>,
}

/// Which attempts are counted; an empty part means all.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// Of these workers; what is done once is of none.
    pub hosts: Option<BTreeSet<String>>,
    /// Of steps with this id.
    pub step: Option<String>,
}

/// What is summed up of a step.
#[derive(Default)]
struct Sums {
    kind: String,
    /// Where it stands in the plan of the newest run.
    place: usize,
    runs: usize,
    attempts: usize,
    failed: usize,
    took: Vec<Millis>,
    by_host: HashMap<String, Vec<Millis>>,
}

/// Statistics of the steps, and runs that could not be read.
#[derive(Default)]
pub struct Statistics {
    /// By plan, in the order of its newest run.
    pub steps: Vec<StepStatistics>,
    /// Runs that are left out, and why.
    pub unreadable: Vec<(String, RunError)>,
    /// Ids of all steps of these runs.
    pub ids: BTreeSet<String>,
}

type Key = (String, usize, String);

const LISTS: [&str; 4] = ["before", "prepare", "steps", "after"];

impl History {
    /// Sums up the attempts of these runs, newest first.
    pub fn statistics(&self, runs: &[&ListedRun], counted: &Counted) -> Statistics {
        let Some(journal) = &self.journal else { return Statistics::default() };
        let mut sums: BTreeMap<Key, Sums> = BTreeMap::new();
        let (mut unreadable, mut ids) = (Vec::new(), BTreeSet::new());
        for run in runs {
            let read = journal.outline(&run.run.id);
            let read = read.and_then(|outline| Ok((outline, journal.attempts(&run.run.id)?)));
            match read {
                Ok((outline, facts)) => {
                    let plan = parsed(&outline);
                    let mut tried = BTreeSet::new();
                    for attempt in TimedAttempt::all(&facts) {
                        let key = key_of(&run.run.plan, plan.as_ref(), &attempt);
                        ids.insert(key.2.clone());
                        let host = match attempt.lane {
                            Lane::Worker(target) => outline.hosts.get(target.0 as usize).map(String::as_str),
                            Lane::Before | Lane::After => None,
                        };
                        if !counted.means(&key.2, host) {
                            continue;
                        }
                        let sum = sums.entry(key.clone()).or_insert_with(|| Sums {
                            kind: outline.kinds.of(attempt.lane, attempt.step).unwrap_or_default().to_owned(),
                            place: attempt.step.index(),
                            ..Sums::default()
                        });
                        sum.add(&attempt, host);
                        if tried.insert(key) {
                            sum.runs += 1;
                        }
                    }
                }
                Err(error) => unreadable.push((run.run.id.to_string(), error.into())),
            }
        }
        let mut steps: Vec<_> = sums.into_iter().collect();
        steps.sort_by(|(a, x), (b, y)| (&a.0, a.1, x.place, &a.2).cmp(&(&b.0, b.1, y.place, &b.2)));
        let steps = steps.into_iter().map(|(key, sums)| sums.summed_up(key)).collect();
        Statistics { steps, unreadable, ids }
    }

    /// What `plan show`, `plan simulate` and the live view expect of each kind of step.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn expected(&self) -> Result<BTreeMap<String, Spread>, RunError> {
        let Some(journal) = &self.journal else { return Ok(BTreeMap::new()) };
        let durations = journal.durations()?;
        Ok(durations.into_iter().map(|(kind, samples)| (kind, Spread::of(&samples))).collect())
    }
}

impl Counted {
    fn means(&self, step: &str, host: Option<&str>) -> bool {
        self.step.as_ref().is_none_or(|wanted| wanted == step)
            && self.hosts.as_ref().is_none_or(|hosts| host.is_some_and(|host| hosts.contains(host)))
    }
}

impl Sums {
    fn add(&mut self, attempt: &TimedAttempt, host: Option<&str>) {
        match attempt.how {
            // Nobody's failure, and no attempt at the step.
            Ended::NotDone => return,
            Ended::NotNeeded => {}
            Ended::Failed => self.failed += 1,
            Ended::Done => {
                self.took.push(attempt.took);
                if let Some(host) = host {
                    match self.by_host.get_mut(host) {
                        Some(samples) => samples.push(attempt.took),
                        None => drop(self.by_host.insert(host.to_owned(), vec![attempt.took])),
                    }
                }
            }
        }
        self.attempts += 1;
    }

    fn summed_up(self, (plan, list, step): Key) -> StepStatistics {
        let mut slowest: Vec<(String, Spread)> =
            self.by_host.into_iter().map(|(host, samples)| (host, Spread::of(&samples))).collect();
        slowest.sort_by(|(a, x), (b, y)| (y.median, y.max, a).cmp(&(x.median, x.max, b)));
        slowest.truncate(SLOWEST);
        StepStatistics {
            plan,
            list: LISTS[list],
            step,
            kind: self.kind,
            runs: self.runs,
            attempts: self.attempts,
            failed: self.failed,
            took: Spread::of(&self.took),
            slowest,
        }
    }
}

fn parsed(outline: &RunOutline) -> Option<Plan> {
    let source = Source::new(outline.plan_file.clone(), outline.plan_text.clone());
    plan::parse(&source, &outline.overrides).ok()
}

fn key_of(name: &str, plan: Option<&Plan>, attempt: &TimedAttempt) -> Key {
    let steps = plan.map(|plan| match attempt.lane {
        Lane::Before => &plan.before,
        Lane::Worker(_) => &plan.steps,
        Lane::After => &plan.after,
    });
    let step = steps.and_then(|steps| steps.get(attempt.step.index()));
    let list = match attempt.lane {
        Lane::Before => 0,
        Lane::Worker(_) if step.is_some_and(|step| step.prepares) => 1,
        Lane::Worker(_) => 2,
        Lane::After => 3,
    };
    let number = || format!("step {}", u64::from(attempt.step.0) + 1);
    (name.to_owned(), list, step.map_or_else(number, |step| step.id.clone()))
}
