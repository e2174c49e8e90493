//! Plan x fleet -> graph, or every problem that is in the way. It must not know what is done with
//! the graph.

use std::ops::Range;
use std::sync::Arc;

use super::matcher::{Candidate, Matcher};
use super::names::Names;
use super::numbers::wave_sizes;
use super::select::{select, workers};
use super::{Numbers, RolloutGraph, Target, dag};
use crate::bucket::{Allocation, Fleet, JobIx, WorkerIx};
use crate::plan::{Plan, Problem, Problems, Step, StepKind};

/// What is not in the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompileOptions {
    /// `--workers`: only these of the plan's workers. A host that the plan does not select is a
    /// problem.
    pub workers: Option<Vec<String>>,
}

/// Compiles a plan for a fleet.
///
/// Linear in workers x steps; the same input gives the same graph.
///
/// # Errors
/// Every problem that can be found: names that the fleet does not have, an empty or unexpected
/// selection, cycles. Warnings of a graph that compiles are in [`RolloutGraph::warnings`], the
/// plan's own included. Whether budgets can be met is `policy`'s to say.
pub fn compile(
    plan: &Arc<Plan>,
    fleet: &Arc<Fleet>,
    options: &CompileOptions,
) -> Result<RolloutGraph, Problems> {
    let mut problems = plan.warnings.clone();
    dag::check(plan, &mut problems);
    let enabled: Vec<Allocation> =
        fleet.allocations().into_iter().filter(|allocation| !allocation.disabled).collect();
    let hosted = hosted(fleet, &enabled);
    let names = Names::new(fleet, &plan.source);

    let narrow = options.workers.as_deref();
    let (chosen, selection) = select(plan, fleet, &hosted, narrow, &names, &mut problems);
    let whens: Vec<_> =
        plan.steps.iter().map(|step| Matcher::when(&step.when, &names, &mut problems)).collect();
    check_jobs(plan, &names, &mut problems);
    if let Some(spread) = &plan.rollout.spread {
        names.tag_key(&spread.value.tag, spread.span.clone(), &mut problems);
    }
    if problems.has_errors() {
        problems.sort();
        return Err(problems);
    }

    let sizes: Vec<_> = plan.rollout.waves.iter().map(|size| size.value).collect();
    let wave_numbers = wave_sizes(&sizes, chosen.len() as u32);
    let waves = ranges(wave_numbers.iter().map(|wave| wave.value));
    let targets = targets(&chosen, &waves, fleet, &hosted, &whens);
    warn(plan, fleet, &targets, &mut problems);
    problems.sort();
    let numbers = Numbers::resolve(plan, fleet, &targets, &enabled, wave_numbers);
    let dag = dag::build(plan, targets.len() as u32, &waves);
    Ok(RolloutGraph {
        plan: Arc::clone(plan),
        fleet: Arc::clone(fleet),
        targets,
        waves,
        warnings: problems,
        selection,
        numbers,
        enabled,
        dag,
        first_target_node: plan.before.len() as u32,
    })
}

/// For each worker of the fleet its enabled allocations' jobs; `enabled` is by worker, then job.
fn hosted(fleet: &Fleet, enabled: &[Allocation]) -> Vec<Box<[JobIx]>> {
    let mut all: Vec<Box<[JobIx]>> = vec![Box::default(); fleet.workers.len()];
    for of_one in enabled.chunk_by(|a, b| a.worker == b.worker) {
        all[of_one[0].worker.0 as usize] = of_one.iter().map(|allocation| allocation.job).collect();
    }
    all
}

fn ranges(sizes: impl Iterator<Item = u32>) -> Vec<Range<u32>> {
    let mut begin = 0;
    sizes
        .map(|size| {
            let range = begin..begin + size;
            begin = range.end;
            range
        })
        .collect()
}

fn targets(
    chosen: &[WorkerIx],
    waves: &[Range<u32>],
    fleet: &Fleet,
    hosted: &[Box<[JobIx]>],
    whens: &[Matcher],
) -> Vec<Target> {
    let wave_of = waves.iter().zip(0_u32..).flat_map(|(range, wave)| range.clone().map(move |_| wave));
    let one = |(ix, wave): (&WorkerIx, u32)| {
        let worker = fleet.worker(*ix);
        let jobs = &hosted[ix.0 as usize];
        let candidate = Candidate { ix: *ix, worker, jobs };
        Target {
            worker: *ix,
            wave,
            applies: whens.iter().map(|when| when.all(candidate)).collect(),
            jobs: jobs.clone(),
            already_disabled: fleet.disabled.workers.contains(worker.host.as_str()),
        }
    };
    chosen.iter().zip(wave_of).map(one).collect()
}

/// Jobs that steps and budgets name.
fn check_jobs(plan: &Plan, names: &Names<'_>, problems: &mut Problems) {
    for step in plan.before.iter().chain(&plan.steps).chain(&plan.after) {
        for job in step_jobs(step) {
            names.job(job, problems);
        }
    }
    for budget in &plan.rollout.budgets {
        if budget.value.job.value != "*" {
            names.job(&budget.value.job, problems);
        }
    }
}

/// The jobs that a step names.
fn step_jobs(step: &Step) -> &[crate::plan::Located<String>] {
    match &step.kind {
        StepKind::Disable { jobs }
        | StepKind::Deploy { jobs, .. }
        | StepKind::Job { jobs, .. }
        | StepKind::Health { jobs, .. } => jobs.as_deref().unwrap_or_default(),
        _ => &[],
    }
}

fn warn(plan: &Plan, fleet: &Fleet, targets: &[Target], problems: &mut Problems) {
    for (at, step) in plan.steps.iter().enumerate() {
        if !targets.iter().any(|target| target.applies[at]) {
            let message = format!("step `{}` applies to none of the selected workers", step.id);
            let problem = Problem::warning("maand::plan::step_applies_nowhere", message);
            let problem = problem.at(&plan.source, step.span.clone(), "is skipped everywhere");
            problems.push(problem.help("look at its `when`, or take the step out"));
        }
    }
    let host = |target: &Target| fleet.worker(target.worker).host.as_str();
    let disabled: Vec<_> = targets.iter().filter(|target| target.already_disabled).map(host).collect();
    if !disabled.is_empty() {
        let message = format!("{} already disabled by a person: {}", are(&disabled), some_of(&disabled));
        let help = "a run skips such a worker and never enables it; leave it out by `exclude`, or take it out of disabled.json";
        problems.push(
            Problem::warning("maand::plan::already_disabled", message).in_file(&plan.source).help(help),
        );
    }
    let Some(spread) = &plan.rollout.spread else { return };
    let tag = spread.value.tag.to_lowercase();
    let without: Vec<_> = targets
        .iter()
        .filter(|target| !fleet.worker(target.worker).tags.contains_key(&tag))
        .map(host)
        .collect();
    if !without.is_empty() {
        let message = format!("{} without the tag `{tag}`: {}", are(&without), some_of(&without));
        let problem = Problem::warning("maand::plan::spread_without_tag", message);
        let problem = problem.at(&plan.source, spread.span.clone(), "spreads over this tag");
        problems.push(
            problem.help("together they count as one failure domain; give each its tag in workers.json"),
        );
    }
}

/// "1 selected worker is", "3 selected workers are".
fn are(hosts: &[&str]) -> String {
    let count = workers(hosts.len() as u64).replace(" worker", " selected worker");
    format!("{count} {}", if hosts.len() == 1 { "is" } else { "are" })
}

/// The first few, and how many more.
fn some_of(hosts: &[&str]) -> String {
    /// So many hosts fit on a line.
    const SHOWN: usize = 5;
    let first = hosts.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if hosts.len() > SHOWN { format!("{first} and {} more", hosts.len() - SHOWN) } else { first }
}
