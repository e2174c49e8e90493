//! Plan x fleet -> graph, or every problem that is in the way.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::matcher::{Candidate, Matcher};
use super::names::Names;
use super::select::select;
use super::waves::{Waves, into_waves};
use super::{Numbers, RolloutGraph, Target, dag, freeze, silence};
use crate::bucket::{Allocation, Fleet, JobIx, WorkerIx};
use crate::plan::{Plan, Problem, Problems, Step, StepKind, WaveSize, counted};

/// What is not in the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompileOptions {
    /// `--workers`: only these of the plan's workers. A host that the plan does not select is a
    /// problem.
    pub workers: Option<Vec<String>>,
    /// Text of the files that the plan names, by the path written in it; of these only the calendars are looked at.
    pub files: BTreeMap<String, String>,
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
    let (mut chosen, selection) = select(plan, fleet, &hosted, narrow, &names, &mut problems);
    let whens: Vec<_> =
        plan.steps.iter().map(|step| Matcher::when(&step.when, &names, &mut problems)).collect();
    check_jobs(plan, &names, &mut problems);
    if let Some(spread) = &plan.rollout.spread {
        names.tag_key(&spread.value.tag, spread.span.clone(), &mut problems);
    }
    for size in &plan.rollout.waves {
        let WaveSize::Cover(cover) = &size.value else { continue };
        for tag in &cover.tags {
            names.tag_key(&tag.value, tag.span.clone(), &mut problems);
        }
    }
    silence::check(plan, fleet, &chosen, &mut problems);
    let frozen = freeze::frozen(plan, &options.files, &mut problems);
    if problems.has_errors() {
        problems.sort();
        return Err(problems);
    }

    let Waves { ranges: waves, numbers: wave_numbers, coverage } =
        into_waves(&plan.rollout.waves, fleet, &mut chosen);
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
        coverage,
        enabled,
        frozen,
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
        let message = format!("{} already disabled in disabled.json: {}", are(&disabled), some_of(&disabled));
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
    let count = counted(hosts.len(), "selected worker");
    format!("{count} {}", if hosts.len() == 1 { "is" } else { "are" })
}

/// The first few, and how many more.
fn some_of(hosts: &[&str]) -> String {
    /// Maximum number of hosts on a line of a message.
    const SHOWN: usize = 5;
    let first = hosts.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if hosts.len() > SHOWN { format!("{first} and {} more", hosts.len() - SHOWN) } else { first }
}

#[cfg(test)]
mod tests {
    use petgraph::algo::toposort;
    use petgraph::visit::EdgeRef;

    use super::*;
    use crate::graph::testing::{codes, compiled, fleet, located, names, plan, reboot, step, worker};
    use crate::graph::{Lane, Node, TargetIx, synthetic_fleet};
    use crate::plan::{Amount, Expect, Order, Spread, Targets};

    fn three() -> Fleet {
        let mut fleet = fleet(
            vec![
                worker("10.0.0.1", &["api", "web"], &["zone=a"]),
                worker("10.0.0.2", &["api"], &["zone=b"]),
                worker("10.0.0.10", &["db"], &["zone=b"]),
            ],
            &["api", "db"],
        );
        fleet.disabled.jobs.insert("db".to_owned(), ["10.0.0.10".to_owned()].into());
        fleet
    }

    fn hosts(graph: &RolloutGraph) -> Vec<&str> {
        graph.target_indices().map(|target| graph.host(target)).collect()
    }

    fn select(change: impl FnOnce(&mut Plan)) -> Vec<String> {
        let mut plan = plan();
        change(&mut plan);
        hosts(&compiled(&plan, &three())).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn every_part_of_targets_must_match_and_any_part_of_exclude_leaves_out() {
        assert_eq!(select(|_| ()), ["10.0.0.1", "10.0.0.2", "10.0.0.10"]);
        assert_eq!(select(|plan| plan.targets.labels = names(&["API", "web"])), ["10.0.0.1"]);
        let zone = |values: &[&str]| vec![(located("Zone".to_owned()), names(values))];
        assert_eq!(select(|plan| plan.targets.tags = zone(&["b"])), ["10.0.0.2", "10.0.0.10"]);
        assert_eq!(select(|plan| plan.targets.tags = zone(&["a", "b"])).len(), 3);
        assert_eq!(select(|plan| plan.targets.jobs = names(&["api"])), ["10.0.0.1", "10.0.0.2"]);
        let exclude =
            Targets { labels: names(&["web"]), workers: Some(names(&["10.0.0.10"])), ..Targets::default() };
        assert_eq!(select(|plan| plan.targets.exclude = Some(Box::new(exclude))), ["10.0.0.2"]);
        let exclude = Targets { tags: zone(&["b"]), ..Targets::default() };
        assert_eq!(select(|plan| plan.targets.exclude = Some(Box::new(exclude))), ["10.0.0.1"]);
    }

    #[test]
    fn a_disabled_allocation_does_not_make_its_worker_host_the_job() {
        let mut plan = plan();
        plan.targets.jobs = names(&["db"]);
        assert_eq!(codes(&plan, &three(), &CompileOptions::default()), ["empty_selection"]);
    }

    #[test]
    fn workers_are_taken_in_the_order_asked_for() {
        assert_eq!(select(|plan| plan.rollout.order = Order::Reverse), ["10.0.0.10", "10.0.0.2", "10.0.0.1"]);
        assert_eq!(select(|plan| plan.rollout.order = Order::Host), ["10.0.0.1", "10.0.0.2", "10.0.0.10"]);
        let order = Order::Explicit(names(&["10.0.0.2"]));
        assert_eq!(select(|plan| plan.rollout.order = order), ["10.0.0.2", "10.0.0.1", "10.0.0.10"]);
    }

    #[test]
    fn what_the_fleet_does_not_have_is_said_all_at_once() {
        let mut plan = plan();
        plan.targets.workers = Some(names(&["10.0.0.1", "10.0.0.3"]));
        plan.targets.labels = names(&["wbe"]);
        plan.targets.tags =
            vec![(located("zoen".to_owned()), names(&["a"])), (located("zone".to_owned()), names(&["c"]))];
        plan.targets.jobs = names(&["apy"]);
        plan.rollout.spread = Some(located(Spread { tag: "rack".to_owned(), at_most: 1 }));
        let mut found = codes(&plan, &three(), &CompileOptions::default());
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "unknown_job",
                "unknown_label",
                "unknown_tag_key",
                "unknown_tag_key",
                "unknown_tag_value",
                "unknown_worker"
            ]
        );
    }

    #[test]
    fn an_unexpected_size_and_a_narrowing_to_others_are_refused() {
        let mut plan = plan();
        plan.targets.expect = Some(located(Expect { min: Some(2), max: Some(2) }));
        assert_eq!(codes(&plan, &three(), &CompileOptions::default()), ["unexpected_selection"]);
        plan.targets.labels = names(&["api"]);
        assert!(codes(&plan, &three(), &CompileOptions::default()).is_empty());
        let narrow = |hosts: &[&str]| CompileOptions {
            workers: Some(hosts.iter().map(|h| (*h).to_owned()).collect()),
            ..CompileOptions::default()
        };
        assert!(
            codes(&plan, &three(), &narrow(&["10.0.0.2"])).is_empty(),
            "`expect` is about the plan's own selection"
        );
        assert_eq!(codes(&plan, &three(), &narrow(&["10.0.0.10"])), ["not_selected"]);
        assert_eq!(codes(&plan, &three(), &narrow(&["10.0.0.20"])), ["unknown_worker"]);
        assert_eq!(codes(&plan, &three(), &narrow(&[])), ["empty_selection"]);
    }

    #[test]
    fn doubtful_things_are_warnings() {
        let mut plan = plan();
        let mut fleet = three();
        fleet.disabled.workers.insert("10.0.0.2".to_owned());
        plan.steps[1].when.labels = names(&["db"]);
        plan.targets.labels = names(&["api"]);
        plan.rollout.spread = Some(located(Spread { tag: "zone".to_owned(), at_most: 1 }));
        fleet.workers[0].tags = Default::default();
        let mut found = codes(&plan, &fleet, &CompileOptions::default());
        found.sort_unstable();
        assert_eq!(found, ["already_disabled", "spread_without_tag", "step_applies_nowhere"]);
    }

    #[test]
    fn a_cycle_is_shown_and_never_compiled() {
        let mut plan = plan();
        plan.steps = vec![
            step("free", reboot(), &[]),
            step("a", reboot(), &[2]),
            step("b", reboot(), &[1]),
            step("self", reboot(), &[3]),
        ];
        let problems =
            compile(&Arc::new(plan.clone()), &Arc::new(three()), &CompileOptions::default()).unwrap_err();
        let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages.len(), 2);
        assert!(messages.iter().any(|m| m.contains("`a` needs `b` needs `a`")), "{messages:?}");
        assert!(messages.iter().any(|m| m.contains("`self` needs `self`")), "{messages:?}");
        plan.steps = vec![step("a", reboot(), &[7])];
        assert_eq!(codes(&plan, &three(), &CompileOptions::default()), ["unknown_need"]);
    }

    #[test]
    fn the_dag_orders_waves_and_steps() {
        let mut plan = plan();
        plan.before = vec![step("first", StepKind::Build, &[])];
        plan.after = vec![step("last", StepKind::Build, &[])];
        plan.steps = vec![
            step("a", reboot(), &[]),
            step("b", reboot(), &[0]),
            step("c", reboot(), &[0]),
            step("d", reboot(), &[1, 2]),
        ];
        plan.rollout.waves = vec![located(WaveSize::Of(Amount::Count(1))), located(WaveSize::Rest)];
        let graph = compiled(&plan, &three());
        assert_eq!(graph.waves, [0..1, 1..3]);
        let order = toposort(graph.dag(), None).expect("acyclic");
        let at = |wanted: Node| order.iter().position(|node| graph.dag()[*node] == wanted).unwrap();
        for target in graph.target_indices() {
            for number in 0..4 {
                let node = Node::Step { lane: Lane::Worker(target), step: number };
                assert_eq!(graph.dag()[graph.node_of(target, number as usize)], node);
                assert!(at(Node::WaveStart(graph.target(target).wave)) < at(node));
                assert!(at(node) < at(Node::WaveEnd(graph.target(target).wave)));
            }
            assert_eq!(graph.needs(target, 3).collect::<Vec<_>>(), [1, 2]);
            assert_eq!(graph.needs(target, 0).count(), 0);
        }
        assert!(at(Node::Step { lane: Lane::Before, step: 0 }) < at(Node::WaveStart(0)));
        assert!(at(Node::WaveEnd(0)) < at(Node::WaveStart(1)));
        assert!(at(Node::WaveEnd(1)) < at(Node::Step { lane: Lane::After, step: 0 }));
        // before -> start; start -> a (3 workers), a -> b, c; b, c -> d; d -> end; ends -> next, after.
        assert_eq!(graph.dag().edge_count(), 1 + 3 * 6 + 1 + 1);
        assert_eq!(graph.dag().edge_references().filter(|edge| edge.source() == edge.target()).count(), 0);
    }

    #[test]
    fn the_hash_is_the_same_for_the_same_and_differs_for_anything_else() {
        let base = plan();
        let of = |plan: &Plan, fleet: &Fleet| compiled(plan, fleet).hash();
        let hash = of(&base, &three());
        assert_eq!(hash, of(&base.clone(), &three()));
        assert_eq!(hash.len(), 64);
        let mut other = base.clone();
        other.rollout.order = Order::Reverse;
        assert_ne!(hash, of(&other, &three()));
        let mut other = base.clone();
        other.vars.insert("x".to_owned(), crate::plan::VarValue::Integer(1));
        assert_ne!(hash, of(&other, &three()));
        let mut fleet = three();
        fleet.disabled.workers.insert("10.0.0.2".to_owned());
        assert_ne!(hash, of(&base, &fleet));
        let mut other = base;
        other.steps[1].needs.clear();
        assert_ne!(hash, of(&other, &three()));
    }

    #[test]
    fn a_synthetic_fleet_suits_its_plan() {
        let mut plan = plan();
        plan.targets.labels = names(&["Edge"]);
        plan.targets.jobs = names(&["api"]);
        plan.targets.exclude = Some(Box::new(Targets {
            tags: vec![(located("zone".to_owned()), names(&["c"]))],
            ..Targets::default()
        }));
        plan.rollout.spread = Some(located(Spread { tag: "zone".to_owned(), at_most: 1 }));
        let fleet = synthetic_fleet(&plan, 9);
        let graph = compiled(&plan, &fleet);
        assert!(fleet.synthetic);
        assert_eq!(graph.targets.len(), 6);
        assert_eq!(graph.host(TargetIx(0)), "worker-1");
        plan.targets.workers = Some(names(&["10.1.1.1", "worker-2"]));
        let hosts: Vec<_> = synthetic_fleet(&plan, 4).workers.iter().map(|w| w.host.to_string()).collect();
        assert_eq!(hosts, ["10.1.1.1", "worker-2", "worker-1", "worker-3"]);
    }
}
