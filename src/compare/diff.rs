//! The comparison of two outlines.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::headline::{Headline, headline};
use super::outline::{OnFleet, Outline, StakeOutline, Times};
use super::settings::Setting;
use super::steps::{self, LISTS, StepChange};
use super::workers::{JobOutline, Workers, waves_between};

/// What a change means for safety.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// More may happen at once, or go wrong, or go unseen, than before.
    Looser,
    /// Less than before.
    Stricter,
    /// Neither, or it cannot be told.
    Neutral,
}

impl Effect {
    /// By how much leeway there is.
    pub(super) fn by_leeway(old: u64, new: u64) -> Self {
        match old.cmp(&new) {
            std::cmp::Ordering::Less => Self::Looser,
            std::cmp::Ordering::Greater => Self::Stricter,
            std::cmp::Ordering::Equal => Self::Neutral,
        }
    }

    /// The one that matters most.
    pub(super) fn of_all(effects: impl Iterator<Item = Self>) -> Self {
        effects.min().unwrap_or(Self::Neutral)
    }
}

/// One thing that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Change {
    /// What.
    pub name: String,
    /// In the old plan; `null`: it has none.
    pub old: Option<String>,
    /// In the new plan; `null`: it has none.
    pub new: Option<String>,
    /// The old one as a number, where it is one; times are in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_number: Option<u64>,
    /// The new one as a number, where it is one; times are in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_number: Option<u64>,
    /// What it means for safety.
    pub effect: Effect,
}

impl Change {
    pub(super) fn new(name: &str, old: Option<String>, new: Option<String>, effect: Effect) -> Self {
        Self { name: name.to_owned(), old, new, old_number: None, new_number: None, effect }
    }

    fn of_numbers(name: &str, old: Option<u64>, new: Option<u64>, effect: Effect) -> Option<Self> {
        let text = |number: Option<u64>| number.map(|number| number.to_string());
        let change = Self::new(name, text(old), text(new), effect);
        (old != new).then_some(Self { old_number: old, new_number: new, ..change })
    }
}

/// What is not the same between two plans; all lists are empty where all is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Diff {
    /// Something is not the same.
    pub different: bool,
    /// What matters most, in this order.
    pub headline: Vec<Headline>,
    /// Name, description, and who is told of what happens.
    pub plan: Vec<Change>,
    /// Selection, rollout, budgets and spread; with numbers where both were compiled for a fleet.
    pub limits: Vec<Change>,
    /// Variables.
    pub vars: Vec<Change>,
    /// Workers, order and waves; `null`: at least one plan could not be compiled for a fleet.
    pub workers: Option<Workers>,
    /// Steps of all lists.
    pub steps: Vec<StepChange>,
    /// Allocations on workers that go down, by job.
    pub jobs: Vec<Change>,
    /// The most that may be down at once, of all workers, of each job and of each zone.
    pub exposure: Vec<Change>,
    /// What deploys carry out besides, by job or host; empty also where it is known of one side only.
    pub pending: Vec<Change>,
    /// Of two reviewed files: all that a run is compiled from and that is not the same, in words.
    pub reviewed: Vec<String>,
    /// How long it takes, and how many are active and down.
    pub time: Vec<Change>,
}

impl Diff {
    /// Compares what two plans would do.
    pub fn between(old: &Outline, new: &Outline) -> Self {
        let on_fleet = old.on_fleet.as_ref().zip(new.on_fleet.as_ref());
        let (old_settings, new_settings) =
            on_fleet.map_or((&old.written, &new.written), |(old, new)| (&old.settings, &new.settings));
        let mut plan = Vec::new();
        if old.plan != new.plan {
            plan.push(Change::new("name", Some(old.plan.clone()), Some(new.plan.clone()), Effect::Neutral));
        }
        if old.description != new.description {
            let (old, new) = (old.description.clone(), new.description.clone());
            plan.push(Change::new("description", old, new, Effect::Neutral));
        }
        plan.extend(maps(&old.notify, &new.notify));
        let steps = (0..LISTS.len()).flat_map(|at| steps::compare(LISTS[at], &old.lists[at], &new.lists[at]));
        let mut diff = Self {
            different: false,
            headline: Vec::new(),
            plan,
            limits: settings(old_settings, new_settings),
            vars: maps(&old.vars, &new.vars),
            workers: on_fleet.map(|(old, new)| workers(old, new)),
            steps: steps.collect(),
            jobs: on_fleet.map(|(old, new)| jobs(&old.jobs, &new.jobs)).unwrap_or_default(),
            exposure: on_fleet.map(|(old, new)| exposure(&old.stakes, &new.stakes)).unwrap_or_default(),
            pending: old
                .pending
                .as_ref()
                .zip(new.pending.as_ref())
                .map(|(old, new)| maps(old, new))
                .unwrap_or_default(),
            reviewed: Vec::new(),
            time: on_fleet.map(|(old, new)| times(&old.times, &new.times)).unwrap_or_default(),
        };
        diff.different = diff.has_any();
        diff.headline = headline(&diff);
        diff
    }

    /// With what two reviewed files say besides.
    #[must_use]
    pub fn with_reviewed(mut self, reviewed: Vec<String>) -> Self {
        self.different |= !reviewed.is_empty();
        self.reviewed = reviewed;
        self
    }

    fn has_any(&self) -> bool {
        let Self {
            different: _,
            headline: _,
            plan,
            limits,
            vars,
            workers,
            steps,
            jobs,
            exposure,
            pending,
            reviewed,
            time,
        } = self;
        let lists = [plan, limits, vars, jobs, exposure, pending, time];
        lists.iter().any(|list| !list.is_empty())
            || !steps.is_empty()
            || !reviewed.is_empty()
            || workers.as_ref().is_some_and(|workers| !workers.are_the_same())
    }
}

fn workers(old: &OnFleet, new: &OnFleet) -> Workers {
    Workers { waves: waves_between(&old.waves, &new.waves), ..Workers::between(&old.workers, &new.workers) }
}

/// By name, in the order of the new plan; those that are gone come last.
fn settings(old: &[Setting], new: &[Setting]) -> Vec<Change> {
    let find = |settings: &[Setting], name: &str| settings.iter().find(|one| one.name == name).cloned();
    let gone = old.iter().filter(|one| find(new, &one.name).is_none());
    let names = new.iter().chain(gone).map(|one| &one.name);
    names.filter_map(|name| setting(name, find(old, name), find(new, name))).collect()
}

fn setting(name: &str, old: Option<Setting>, new: Option<Setting>) -> Option<Change> {
    if old == new {
        return None;
    }
    let unit = |side: &Option<Setting>| side.as_ref().map(|one| one.unit.clone());
    let comparable = old.is_none() || new.is_none() || unit(&old) == unit(&new);
    let absent = old.as_ref().or(new.as_ref()).and_then(|one| one.absent);
    let leeway = |side: &Option<Setting>| side.as_ref().map_or(absent, |one| one.leeway);
    let effect = match leeway(&old).zip(leeway(&new)).filter(|_| comparable) {
        Some((old, new)) => Effect::by_leeway(old, new),
        None => Effect::Neutral,
    };
    let number = |side: &Option<Setting>| side.as_ref().and_then(|one| one.number);
    let (old_number, new_number) = (number(&old), number(&new));
    let shown = |side: Option<Setting>| side.map(|one| one.shown);
    Some(Change { old_number, new_number, ..Change::new(name, shown(old), shown(new), effect) })
}

fn maps(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Change> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    changed
        .map(|name| Change::new(name, old.get(name).cloned(), new.get(name).cloned(), Effect::Neutral))
        .collect()
}

fn jobs(old: &[JobOutline], new: &[JobOutline]) -> Vec<Change> {
    let find = |jobs: &[JobOutline], name: &str| jobs.iter().find(|one| one.job == name).cloned();
    let names: BTreeSet<&String> = old.iter().chain(new).map(|one| &one.job).collect();
    let change = |name: &String| {
        let (old, new) = (find(old, name), find(new, name));
        let on_targets = |side: &Option<JobOutline>| side.as_ref().map(|one| u64::from(one.on_targets));
        let shown = |side: &Option<JobOutline>| {
            side.as_ref().map(|one| format!("{} of {} allocations", one.on_targets, one.allocations))
        };
        let effect = match (&old, &new) {
            (None, _) => Effect::Looser,
            (_, None) => Effect::Stricter,
            _ => Effect::Neutral,
        };
        let change = Change::new(name, shown(&old), shown(&new), effect);
        (old != new).then(|| Change { old_number: on_targets(&old), new_number: on_targets(&new), ..change })
    };
    names.into_iter().filter_map(change).collect()
}

fn exposure(old: &[StakeOutline], new: &[StakeOutline]) -> Vec<Change> {
    let find = |stakes: &[StakeOutline], what: &str| stakes.iter().find(|one| one.what == what).cloned();
    let gone = old.iter().filter(|one| find(new, &one.what).is_none());
    let change = |what: &String| {
        let (old, new) = (find(old, what), find(new, what));
        let down = |side: &Option<StakeOutline>| side.as_ref().map_or(0, |one| u64::from(one.down));
        let shown = |side: Option<StakeOutline>| side.map(|one| format!("{} of {}", one.down, one.of));
        let (before, after) = (down(&old), down(&new));
        (old != new).then(|| Change {
            old_number: Some(before),
            new_number: Some(after),
            ..Change::new(what, shown(old), shown(new), Effect::by_leeway(before, after))
        })
    };
    new.iter().chain(gone).map(|one| &one.what).filter_map(change).collect()
}

fn times(old: &Times, new: &Times) -> Vec<Change> {
    let count = |number: u32| Some(u64::from(number));
    let most_down = Effect::by_leeway(old.most_down.into(), new.most_down.into());
    let rows = [
        Change::of_numbers("expected", old.expected_ms, new.expected_ms, Effect::Neutral),
        Change::of_numbers("longest", old.longest_ms, new.longest_ms, Effect::Neutral),
        Change::of_numbers("rounds", count(old.rounds), count(new.rounds), Effect::Neutral),
        Change::of_numbers("most active", count(old.most_active), count(new.most_active), Effect::Neutral),
        Change::of_numbers("most down", count(old.most_down), count(new.most_down), most_down),
    ];
    rows.into_iter().flatten().collect()
}
