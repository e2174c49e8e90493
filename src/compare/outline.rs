//! What one plan would do, as data that can be compared.

use std::collections::BTreeMap;

use super::fields::fields_of_notify;
use super::settings::{Setting, millis, settings, variables};
use super::steps::{StepOutline, outline_of};
use super::workers::{JobOutline, WorkerOutline, jobs_of, workers_of};
use crate::graph::RolloutGraph;
use crate::plan::Plan;
use crate::policy::{Exposure, Forecast, Limits, Stake};

/// What a plan would do.
#[derive(Clone, Debug)]
pub struct Outline {
    /// The plan's name.
    pub plan: String,
    /// Free text of the plan.
    pub description: Option<String>,
    /// Who is told of what happens, option by option.
    pub notify: BTreeMap<String, String>,
    /// Variables, `--set` applied.
    pub vars: BTreeMap<String, String>,
    /// Limits and the like as the plan has them, without the numbers of a fleet.
    pub written: Vec<Setting>,
    /// `before`, `prepare`, `steps` and `after`.
    pub lists: [Vec<StepOutline>; 4],
    /// What its deploys carry out besides, by job or host; `None`: that is not known.
    pub pending: Option<BTreeMap<String, String>>,
    /// What it comes to on a fleet; `None`: it could not be compiled for one.
    pub on_fleet: Option<OnFleet>,
}

/// What a plan comes to on a fleet.
#[derive(Clone, Debug)]
pub struct OnFleet {
    /// Workers of the fleet.
    pub fleet: u32,
    /// The fingerprint of all that decides what a run does.
    pub graph_hash: String,
    /// Limits and the like, percentages as numbers.
    pub settings: Vec<Setting>,
    /// The selected workers in the order in which they are taken.
    pub workers: Vec<WorkerOutline>,
    /// Sizes of the waves.
    pub waves: Vec<u32>,
    /// Jobs on workers that go down.
    pub jobs: Vec<JobOutline>,
    /// The most that may be down at once, whatever the order in which workers finish and fail.
    pub stakes: Vec<StakeOutline>,
    /// How long it takes.
    pub times: Times,
}

/// How many of something may be down at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StakeOutline {
    /// `workers`, `job NAME` or `zone NAME`.
    pub what: String,
    /// At most so many.
    pub down: u32,
    /// Out of so many in the whole bucket.
    pub of: u32,
}

/// How long a rollout takes, and what is down at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// As `plan simulate` has it, in milliseconds; `None`: it never ends.
    pub expected_ms: Option<u64>,
    /// If every attempt takes its whole timeout, in milliseconds; `None`: no limit.
    pub longest_ms: Option<u64>,
    /// Workers that start together and end together.
    pub rounds: u32,
    /// The most workers active at one moment.
    pub most_active: u32,
    /// The most workers down at one moment.
    pub most_down: u32,
}

impl Outline {
    /// Of a plan alone. `scripts` are the texts of its scripts by their paths in the plan; one that is not there is
    /// compared by its path only.
    pub fn of_plan(plan: &Plan, scripts: &BTreeMap<String, String>) -> Self {
        Self {
            plan: plan.name.clone(),
            description: plan.description.clone(),
            notify: fields_of_notify(&plan.notify),
            vars: variables(&plan.vars),
            written: settings(plan, None),
            lists: plan.lists().map(|(_, steps)| outline_of(&steps, scripts)),
            pending: None,
            on_fleet: None,
        }
    }

    /// Of a plan on its fleet. `expected_ms` is what the estimator of the program says.
    pub fn of_graph(
        graph: &RolloutGraph,
        scripts: &BTreeMap<String, String>,
        forecast: &Forecast,
        expected_ms: Option<u64>,
    ) -> Self {
        let limits = Limits::resolve(graph);
        let mut outline = Self::of_plan(&graph.plan, scripts);
        let [_, ahead, main, _] = &mut outline.lists;
        for (at, step) in ahead.iter_mut().chain(main).enumerate() {
            let on = graph.targets.iter().filter(|target| target.applies[at]).count();
            step.applies_to = Some(on as u32);
        }
        outline.on_fleet = Some(OnFleet {
            fleet: graph.fleet.workers.len() as u32,
            graph_hash: graph.hash(),
            settings: settings(&graph.plan, Some(graph)),
            workers: workers_of(graph),
            waves: graph.waves.iter().map(|wave| wave.end - wave.start).collect(),
            jobs: jobs_of(graph, &limits),
            stakes: stakes(graph),
            times: Times {
                expected_ms,
                longest_ms: forecast.longest.map(millis),
                rounds: forecast.rounds,
                most_active: forecast.most_active,
                most_down: forecast.most_down,
            },
        });
        outline
    }
}

fn stakes(graph: &RolloutGraph) -> Vec<StakeOutline> {
    let exposure = Exposure::of(graph);
    let one = |what: String, stake: &Stake| StakeOutline { what, down: stake.down, of: stake.of };
    let jobs = exposure.jobs.iter().map(|job| (format!("job {}", graph.fleet.job(job.job).name), &job.stake));
    let zones = exposure.zones.iter().map(|zone| (format!("zone {}", zone.zone), &zone.stake));
    let run = std::iter::once(("workers".to_owned(), &exposure.run));
    run.chain(jobs).chain(zones).map(|(what, stake)| one(what, stake)).collect()
}
