//! Lays out the DAG, and finds cycles before it does.

use std::ops::Range;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::{Lane, Node, TargetIx};
use crate::plan::{Plan, Problem, Problems, Step};

/// The DAG: `before` -> wave 0 starts -> its workers' steps -> wave 0 ends -> ... -> `after`. With `prepare`: `before` ->
/// its steps on all workers -> prepared -> wave 0 starts.
///
/// Nodes stand in that order of lanes: `before`, the targets (the steps of one are consecutive, so
/// that their place is arithmetic), the waves' ends, `after`, the barrier behind `prepare`. Skipped steps have their node, too:
/// a skipped step satisfies what needs it.
pub(super) fn build(plan: &Plan, targets: u32, waves: &[Range<u32>]) -> DiGraph<Node, ()> {
    let steps = plan.steps.len();
    let ahead = plan.prepares();
    let shape = Shape::of(&plan.steps);
    let begins = |at: &usize| *at >= ahead && plan.steps[*at].needs.iter().all(|need| *need < ahead);
    let first: Vec<usize> = (0..steps).filter(begins).collect();
    let nodes = plan.before.len() + steps * targets as usize + 2 * waves.len() + plan.after.len();
    let edges_of_one = shape.edges + steps.min(2 * first.len()) + shape.last.len();
    let mut dag =
        DiGraph::with_capacity(nodes, edges_of_one * targets as usize + nodes - steps * targets as usize);

    let add_lane = |dag: &mut DiGraph<Node, ()>, lane: Lane, count: usize| {
        let first = dag.node_count();
        for step in 0..count as u32 {
            dag.add_node(Node::Step { lane, step });
        }
        first
    };
    let before = add_lane(&mut dag, Lane::Before, plan.before.len());
    let first_target = dag.node_count();
    for target in 0..targets {
        add_lane(&mut dag, Lane::Worker(TargetIx(target)), steps);
    }
    let first_wave = dag.node_count();
    for wave in 0..waves.len() as u32 {
        dag.add_node(Node::WaveStart(wave));
        dag.add_node(Node::WaveEnd(wave));
    }
    let after = add_lane(&mut dag, Lane::After, plan.after.len());
    let prepared = (ahead > 0 && !waves.is_empty()).then(|| dag.add_node(Node::Prepared));
    let start = |wave: usize| NodeIndex::new(first_wave + 2 * wave);
    let end = |wave: usize| NodeIndex::new(first_wave + 2 * wave + 1);

    let before_shape = Shape::of(&plan.before);
    add_needs(&mut dag, before, &plan.before);
    for (number, wave) in waves.iter().enumerate() {
        if number == 0 {
            if prepared.is_none() {
                for step in &before_shape.last {
                    dag.add_edge(NodeIndex::new(before + step), start(0), ());
                }
            }
        } else {
            dag.add_edge(end(number - 1), start(number), ());
        }
        for target in wave.clone() {
            let own = first_target + target as usize * steps;
            for step in &first {
                dag.add_edge(start(number), NodeIndex::new(own + step), ());
            }
            add_needs(&mut dag, own, &plan.steps);
            for step in shape.last.iter().filter(|step| **step >= ahead) {
                dag.add_edge(NodeIndex::new(own + step), end(number), ());
            }
        }
        if steps == ahead {
            dag.add_edge(start(number), end(number), ());
        }
    }
    if let Some(prepared) = prepared {
        let shape = Shape::of(plan.prepare_steps());
        for target in 0..targets as usize {
            let own = first_target + target * steps;
            for (last, first) in
                before_shape.last.iter().flat_map(|last| shape.first.iter().map(move |first| (last, first)))
            {
                dag.add_edge(NodeIndex::new(before + last), NodeIndex::new(own + first), ());
            }
            for step in &shape.last {
                dag.add_edge(NodeIndex::new(own + step), prepared, ());
            }
        }
        dag.add_edge(prepared, start(0), ());
    }
    add_needs(&mut dag, after, &plan.after);
    if let Some(last) = waves.len().checked_sub(1) {
        for step in &Shape::of(&plan.after).first {
            dag.add_edge(end(last), NodeIndex::new(after + step), ());
        }
    }
    dag
}

/// The edges within one lane. Neighbours are walked newest edge first, so they are added in
/// descending order to be met ascending.
fn add_needs(dag: &mut DiGraph<Node, ()>, first: usize, steps: &[Step]) {
    for (at, step) in steps.iter().enumerate() {
        let mut needs = step.needs.clone();
        needs.sort_unstable_by(|a, b| b.cmp(a));
        needs.dedup();
        for before in needs {
            dag.add_edge(NodeIndex::new(first + before), NodeIndex::new(first + at), ());
        }
    }
}

/// Where a lane begins and ends.
struct Shape {
    /// Steps that need nothing.
    first: Vec<usize>,
    /// Steps that no other step needs.
    last: Vec<usize>,
    edges: usize,
}

impl Shape {
    fn of(steps: &[Step]) -> Self {
        let mut needed = vec![false; steps.len()];
        for before in steps.iter().flat_map(|step| &step.needs) {
            needed[*before] = true;
        }
        Self {
            first: (0..steps.len()).filter(|at| steps[*at].needs.is_empty()).collect(),
            last: (0..steps.len()).filter(|at| !needed[*at]).collect(),
            edges: steps.iter().map(|step| step.needs.len()).sum(),
        }
    }
}

/// Steps of `prepare` that would take a worker down, cycles in `needs` and needs of steps that are not there. A parsed plan has neither; a plan made
/// in another way must not make a graph that never ends.
pub(super) fn check(plan: &Plan, problems: &mut Problems) {
    for (list, steps) in [("before", &plan.before), ("steps", &plan.steps), ("after", &plan.after)] {
        check_lane(plan, list, steps, problems);
    }
    for step in plan.steps.iter().filter(|step| step.prepares && step.kind.traits().disturbs) {
        let message = format!("step `{}` of `prepare` takes its worker down", step.id);
        let problem = Problem::error("maand::plan::not_in_prepare", message)
            .at(&plan.source, step.span.clone(), "not while others are served")
            .help("move it to `steps`");
        problems.push(problem);
    }
}

fn check_lane(plan: &Plan, list: &str, steps: &[Step], problems: &mut Problems) {
    let mut lane: DiGraph<(), ()> = DiGraph::with_capacity(steps.len(), steps.len());
    for _ in steps {
        lane.add_node(());
    }
    for (at, step) in steps.iter().enumerate() {
        for before in &step.needs {
            if *before < steps.len() {
                lane.add_edge(NodeIndex::new(*before), NodeIndex::new(at), ());
            } else {
                let message = format!("step `{}` of `{list}` needs a step that is not there", step.id);
                let problem = Problem::error("maand::plan::unknown_need", message);
                problems.push(
                    problem
                        .at(&plan.source, step.span.clone(), "needs it")
                        .help("name a step of the same list"),
                );
            }
        }
    }
    for component in tarjan_scc(&lane) {
        let mut ring: Vec<usize> = component.iter().map(|node| node.index()).collect();
        ring.sort_unstable();
        let alone = ring.len() == 1 && !steps[ring[0]].needs.contains(&ring[0]);
        if alone {
            continue;
        }
        let ring = around(steps, &ring);
        let names: Vec<_> =
            ring.iter().chain(ring.first()).map(|at| format!("`{}`", steps[*at].id)).collect();
        let message = format!("steps of `{list}` need each other in a circle: {}", names.join(" needs "));
        let mut problem = Problem::error("maand::plan::cycle", message);
        for (at, next) in ring.iter().zip(ring.iter().cycle().skip(1)) {
            problem =
                problem.at(&plan.source, steps[*at].span.clone(), format!("needs `{}`", steps[*next].id));
        }
        problems.push(problem.help("take one of these `needs` out"));
    }
}

/// One cycle among the steps of a strongly connected component, as a walk along `needs`.
fn around(steps: &[Step], component: &[usize]) -> Vec<usize> {
    let mut walk = vec![component[0]];
    loop {
        let last = walk[walk.len() - 1];
        // Inside of a component every step has a need in it.
        let next = steps[last].needs.iter().find(|need| component.contains(need));
        let Some(next) = next else { return walk };
        if let Some(seen) = walk.iter().position(|at| at == next) {
            return walk.split_off(seen);
        }
        walk.push(*next);
    }
}
