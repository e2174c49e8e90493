//! A plan for programs: one JSON document, whole, whatever the size of the fleet. Fields are only
//! ever added.

mod rollout;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use self::rollout::{RolloutJson, SilenceJson, rollout};
use super::super::super::CliError;
use super::super::super::document::unwritable;
use super::Shown;
use super::at_stake::{self, AtStakeJson};
use super::commands::{CommandJson, EnvJson, commands, env};
use super::coverage::{self, CoverageJson};
use super::openings::Openings;
use super::probe::{MonitoringJson, Probed, RebootOfJson};
use crate::catalog::{FileDiff, PendingChanges};
use crate::compare::{plan_options, step_options, variables};
use crate::graph::{Lane, RolloutGraph, TargetIx};
use crate::plan::{OnStepFailure, Problem, ProblemJson, Step, StepKind};
use crate::policy;

/// The name of the vocabulary below; a change that breaks a reader changes the number.
pub(super) const SCHEMA: &str = "maand/plan-show/v1";

/// What `maand plan show --format json` prints. Times are in milliseconds.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document<'a> {
    /// Always `maand/plan-show/v1`.
    schema: &'static str,
    /// The plan's name.
    plan: &'a str,
    /// Free text for operators.
    description: Option<&'a str>,
    /// The file as it was named.
    file: &'a str,
    /// SHA-256 of the compiled graph: the same plan for the same fleet has the same.
    graph_hash: String,
    /// The reviewed plan file that is shown, or was written; `null`: none.
    reviewed: Option<ReviewedJson<'a>>,
    /// The fleet was made up; none of its workers exists.
    #[serde(rename = "made_up")]
    synthetic: bool,
    /// Variables, as commands get them.
    vars: BTreeMap<String, String>,
    /// Whom it selects, how it takes them and what decides besides, as it is written: by the names of `plan diff`.
    options: BTreeMap<String, String>,
    /// How the selection came about.
    selection: SelectionJson<'a>,
    /// Numbers of the rollout, percentages resolved.
    rollout: RolloutJson<'a>,
    /// Silences in an Alertmanager, where the plan has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    silence: Option<SilenceJson<'a>>,
    /// The waves, in order.
    waves: Vec<WaveJson<'a>>,
    /// What the waves of canaries cover, in order.
    coverage: Vec<CoverageJson<'a>>,
    /// Once, before the first worker.
    before: Vec<StepJson<'a>>,
    /// On every worker before the first one is touched; `null`: nothing.
    prepare: Option<PrepareJson<'a>>,
    /// On every worker.
    steps: Vec<StepJson<'a>>,
    /// Once, after the last worker.
    after: Vec<StepJson<'a>>,
    /// Whom the plan tells of what happens, by target, besides those whom the bucket names; absent: nobody.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    notify: BTreeMap<String, String>,
    /// Jobs with an allocation on a worker that goes down.
    jobs: Vec<JobJson<'a>>,
    /// How much may be down at once.
    at_stake: AtStakeJson,
    /// The rollout on paper.
    forecast: ForecastJson<'a>,
    /// What its deploys would carry out besides the plan's own changes, from the workspace as it is now; `null`: it
    /// deploys nothing, or the fleet is made up.
    pending: Option<&'a PendingChanges>,
    /// With `--diff`: what differs in each of the files that `pending` lists, as text; `null`: without.
    diffs: Option<&'a [FileDiff]>,
    /// With `--probe`: whether each selected worker needs a reboot, in their order; `null`: without.
    reboots: Option<Vec<RebootOfJson<'a>>>,
    /// With `--probe`: what the monitoring systems that the plan asks say now; `null`: without.
    monitoring: Option<Vec<MonitoringJson<'a>>>,
    /// Warnings, and errors of a plan that could never be carried out.
    problems: Vec<ProblemJson<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ReviewedJson<'a> {
    /// As it was named.
    file: &'a str,
    /// The hash that the file names: of all that follows in it.
    sha256: &'a str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SelectionJson<'a> {
    /// Workers of the bucket.
    fleet: u32,
    /// Workers that the run takes.
    selected: u32,
    /// Workers that the plan selects, before `--workers`.
    by_plan: u32,
    /// Left out by `exclude`.
    excluded: u32,
    /// Each part of `targets` as text, with the workers that match it alone.
    parts: Vec<PartJson<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PartJson<'a> {
    what: &'a str,
    matching: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WaveJson<'a> {
    /// Counted from 1.
    number: u32,
    size: u32,
    /// How the size came about.
    how: &'a str,
    workers: Vec<WorkerJson<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WorkerJson<'a> {
    host: &'a str,
    /// Its enabled jobs.
    jobs: Vec<&'a str>,
    /// Steps that are skipped here because of their `when`.
    skips: Vec<&'a str>,
    /// An operator had disabled it: the run skips it.
    already_disabled: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PrepareJson<'a> {
    /// Maximum number of workers that are prepared at a time.
    concurrency: u32,
    /// Also while the windows are closed.
    outside_window: bool,
    /// What is done on each.
    steps: Vec<StepJson<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct StepJson<'a> {
    id: &'a str,
    kind: &'static str,
    name: Option<&'a str>,
    /// Ids of what must come first.
    needs: Vec<&'a str>,
    /// Timeout of one attempt; `null`: no limit.
    timeout_ms: Option<u64>,
    attempts: u32,
    retry_delay_ms: u64,
    backoff: f64,
    /// A failure does not fail the worker.
    ignores_failure: bool,
    /// It takes its worker down.
    disturbs: bool,
    /// What it executes of the plan's own text, in full.
    commands: Vec<CommandJson<'a>>,
    /// Variables that its command gets besides the plan's.
    env: Vec<EnvJson<'a>>,
    /// Every option by its key, as `plan diff` names them, defaults filled in.
    options: BTreeMap<String, String>,
    /// Number of workers that the step applies to; for steps done once: 1.
    applies_to: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct JobJson<'a> {
    pub(super) job: &'a str,
    /// Enabled allocations in the bucket.
    pub(super) allocations: u32,
    /// Those on workers that go down.
    pub(super) on_targets: u32,
    /// Number of allocations that stay available; `null`: no budget.
    pub(super) stays_available: Option<u32>,
    /// How that number came about.
    how: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ForecastJson<'a> {
    rounds: u32,
    most_active: u32,
    most_down: u32,
    /// If every attempt takes its whole timeout; `null`: no limit, or it never ends.
    longest_ms: Option<u64>,
    /// As `plan simulate` has it; `null`: it never ends.
    expected_ms: Option<u64>,
    /// The next times in which workers may be started; `null`: at any time.
    openings: Option<&'a Openings>,
    /// The plan has approvals; waiting for them is not counted.
    approvals: bool,
    /// This worker is never admitted: the rollout never ends.
    never_admitted: Option<&'a str>,
}

/// The document and a line end.
pub(super) fn render(shown: &Shown<'_>) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(&document(shown)).map_err(|error| unwritable(SCHEMA, &error))?;
    Ok(text + "\n")
}

fn document<'a>(shown: &'a Shown<'a>) -> Document<'a> {
    let (graph, forecast) = (shown.graph, shown.forecast);
    let plan = &graph.plan;
    let selection = graph.selection();
    let parts = selection.parts.iter().map(|part| PartJson { what: &part.what, matching: part.matching });
    Document {
        schema: SCHEMA,
        plan: &plan.name,
        description: plan.description.as_deref(),
        file: plan.source.name(),
        graph_hash: graph.hash(),
        reviewed: shown
            .reviewed
            .as_ref()
            .map(|of| ReviewedJson { file: &of.file, sha256: of.reviewed.sha256() }),
        synthetic: graph.fleet.synthetic,
        vars: variables(&plan.vars),
        options: plan_options(plan),
        selection: SelectionJson {
            fleet: selection.fleet,
            selected: graph.targets.len() as u32,
            by_plan: selection.by_plan,
            excluded: selection.excluded,
            parts: parts.collect(),
        },
        rollout: rollout(graph),
        silence: graph.plan.silence.as_ref().map(SilenceJson::from),
        waves: (0..graph.waves.len()).map(|number| wave(graph, number)).collect(),
        coverage: graph.coverage().iter().map(coverage::json).collect(),
        before: steps(graph, Lane::Before),
        prepare: prepare(graph),
        steps: steps(graph, Lane::Worker(TargetIx(0))).split_off(graph.plan.prepares()),
        after: steps(graph, Lane::After),
        notify: plan.notify.describe(),
        jobs: jobs(graph),
        at_stake: at_stake::json(graph),
        forecast: ForecastJson {
            rounds: forecast.rounds,
            most_active: forecast.most_active,
            most_down: forecast.most_down,
            longest_ms: forecast.longest.map(millis),
            openings: shown.openings.as_ref(),
            expected_ms: shown.expected.as_ref().and_then(|expected| u64::try_from(expected.millis).ok()),
            approvals: forecast.approvals,
            never_admitted: forecast.stuck.map(|target| graph.host(target)),
        },
        pending: shown.pending,
        diffs: shown.diffs.as_deref(),
        reboots: shown.probed.as_ref().map(Probed::reboots_json),
        monitoring: shown.probed.as_ref().map(Probed::monitoring_json),
        problems: graph.warnings.iter().chain(shown.feasibility.iter()).map(Problem::to_json).collect(),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn wave(graph: &RolloutGraph, number: usize) -> WaveJson<'_> {
    let range = &graph.waves[number];
    let worker = |at: u32| {
        let target = graph.target(TargetIx(at));
        let skipped = graph.plan.steps.iter().zip(&target.applies).filter(|(_, applies)| !**applies);
        WorkerJson {
            host: graph.host(TargetIx(at)),
            jobs: target.jobs.iter().map(|job| graph.fleet.job(*job).name.as_str()).collect(),
            skips: skipped.map(|(step, _)| step.id.as_str()).collect(),
            already_disabled: target.already_disabled,
        }
    };
    WaveJson {
        number: number as u32 + 1,
        size: range.end - range.start,
        how: &graph.numbers().waves[number].how,
        workers: range.clone().map(worker).collect(),
    }
}

fn prepare(graph: &RolloutGraph) -> Option<PrepareJson<'_>> {
    let (of, concurrency) = graph.plan.prepare.as_ref().zip(graph.numbers().prepare.as_ref())?;
    let mut steps = steps(graph, Lane::Worker(TargetIx(0)));
    steps.truncate(graph.plan.prepares());
    Some(PrepareJson { concurrency: concurrency.value, outside_window: of.outside_window, steps })
}

/// Those of a worker with what prepares it.
fn steps(graph: &RolloutGraph, lane: Lane) -> Vec<StepJson<'_>> {
    let steps = graph.steps(lane);
    let one = |(at, step): (usize, &'_ Step)| {
        let on = match lane {
            Lane::Worker(_) => graph.targets.iter().filter(|target| target.applies[at]).count() as u32,
            Lane::Before | Lane::After => 1,
        };
        (at, on, matches!(lane, Lane::Worker(_)) && step.kind.traits().disturbs)
    };
    let about: Vec<_> = steps.iter().enumerate().map(one).collect();
    about
        .into_iter()
        .map(|(at, applies_to, disturbs)| {
            let step = &steps[at];
            // That all of `prepare` comes first goes without saying.
            let needs = step.needs.iter().filter(|need| steps[**need].prepares == step.prepares);
            let pause = if let StepKind::Pause { duration } = step.kind { Some(duration) } else { None };
            StepJson {
                id: &step.id,
                kind: step.kind.keyword(),
                name: step.name.as_deref(),
                needs: needs.map(|need| steps[*need].id.as_str()).collect(),
                timeout_ms: step.timeout.or(pause).map(millis),
                attempts: step.retries.attempts,
                retry_delay_ms: millis(step.retries.delay),
                backoff: step.retries.backoff,
                commands: commands(step),
                env: env(step),
                options: step_options(steps, at),
                ignores_failure: step.on_failure == OnStepFailure::Ignore,
                disturbs,
                applies_to,
            }
        })
        .collect()
}

pub(super) fn jobs(graph: &RolloutGraph) -> Vec<JobJson<'_>> {
    let limits = policy::Limits::resolve(graph);
    let mut counts: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
    for target in graph.target_indices().filter(|target| limits.disturbs(*target)) {
        for job in &graph.target(target).jobs {
            counts.entry(job.0).or_default().0 += 1;
        }
    }
    for allocation in graph.enabled_allocations() {
        if let Some((_, of)) = counts.get_mut(&allocation.job.0) {
            *of += 1;
        }
    }
    let one = |(job, (on_targets, allocations)): (u32, (u32, u32))| {
        let budget = limits.budgets.iter().find(|budget| budget.job.0 == job);
        JobJson {
            job: graph.fleet.jobs[job as usize].name.as_str(),
            allocations,
            on_targets,
            stays_available: budget.map(|budget| budget.wants),
            how: budget.map(|budget| budget.how.clone()),
        }
    };
    counts.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema as it is committed.
    const COMMITTED: &str = "schemas/plan-show.v1.schema.json";

    #[test]
    fn the_committed_schema_is_the_one_of_the_code() {
        let mut schema = schemars::schema_for!(Document<'_>);
        schema.insert("title".to_owned(), "Output of `maand plan show --format json`".into());
        let schema = format!("{:#}\n", schema.as_value());
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(COMMITTED);
        if std::env::var_os("MAAND_UPDATE_SCHEMAS").is_some() {
            std::fs::write(&path, &schema).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(committed, schema, "run the tests with MAAND_UPDATE_SCHEMAS=1 and look at what changed");
    }
}
