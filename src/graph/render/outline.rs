//! What of a graph is drawn, and under which names.

use std::collections::HashMap;

use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;

use crate::graph::{Lane, RolloutGraph, TargetIx};
use crate::plan::{Step, counted};

/// Maximum number of workers of a fleet that is drawn whole.
const WHOLE: usize = 24;
/// Of a bigger fleet, this many of each wave are drawn from its beginning, and one from its end.
const FIRST: u32 = 2;
/// Of more waves than this the middle ones are left out.
const WAVES: usize = 8;

/// A graph reduced to what is drawn.
pub(super) struct Outline<'a> {
    pub(super) groups: Vec<Group<'a>>,
    /// Pairs of node ids.
    pub(super) edges: Vec<(String, String)>,
}

/// Nodes that are framed together: a lane, or a gate by itself.
pub(super) struct Group<'a> {
    /// Safe as an id in any language.
    pub(super) id: String,
    /// `None`: no frame.
    pub(super) title: Option<String>,
    pub(super) nodes: Vec<Drawn<'a>>,
}

/// One node.
pub(super) struct Drawn<'a> {
    /// Safe as an id in any language.
    pub(super) id: String,
    pub(super) label: String,
    /// The step, where it is one.
    pub(super) step: Option<&'a Step>,
    /// Its `when` does not hold here.
    pub(super) skipped: bool,
    /// Stands for nodes that are not drawn.
    pub(super) stands_for_more: bool,
}

impl<'a> Outline<'a> {
    pub(super) fn of(graph: &'a RolloutGraph) -> Self {
        let mut outline = Self { groups: Vec::new(), edges: Vec::new() };
        let mut ids: HashMap<NodeIndex, String> = HashMap::new();
        let whole = graph.targets.len() <= WHOLE;
        outline.lane(graph, Lane::Before, 0, &mut ids);
        let waves = graph.waves.len();
        let gates = graph.plan.before.len() + graph.targets.len() * graph.plan.steps.len();
        let mut last_drawn: Option<usize> = None;
        if graph.plan.prepares() > 0 {
            // The last node of all.
            outline.gate("prepared", "all workers are prepared".to_owned(), false);
            ids.insert(NodeIndex::new(graph.dag().node_count() - 1), "prepared".to_owned());
        }
        for (number, wave) in graph.waves.iter().enumerate() {
            if waves > WAVES && number >= WAVES - 1 && number + 1 < waves {
                continue;
            }
            let (start, end) = (format!("wave{}_start", number + 1), format!("wave{}_end", number + 1));
            let workers = wave.len();
            outline.gate(
                &start,
                format!("wave {} of {waves}: {}", number + 1, counted(workers, "worker")),
                false,
            );
            ids.insert(NodeIndex::new(gates + 2 * number), start.clone());
            if let Some(left_out) = last_drawn.map(|last| number - last - 1).filter(|left_out| *left_out > 0)
            {
                let label = format!("{left_out} more waves");
                outline.gate("more_waves", label, true);
                outline.edges.push((format!("wave{}_end", number - left_out), "more_waves".to_owned()));
                outline.edges.push(("more_waves".to_owned(), start.clone()));
            }
            for target in wave.clone() {
                let from_start = target - wave.start;
                if whole || from_start < FIRST || target + 1 == wave.end {
                    let first = graph.plan.before.len() + target as usize * graph.plan.steps.len();
                    outline.lane(graph, Lane::Worker(TargetIx(target)), first, &mut ids);
                } else if from_start == FIRST {
                    let id = format!("wave{}_more", number + 1);
                    outline.gate(&id, format!("{} more workers", wave.len() as u32 - FIRST - 1), true);
                    outline.edges.push((start.clone(), id.clone()));
                    outline.edges.push((id, end.clone()));
                }
            }
            let label = match (graph.plan.rollout.soak.is_zero(), number + 1 == waves) {
                (false, false) => format!("wave {} has ended and soaked", number + 1),
                _ => format!("wave {} has ended", number + 1),
            };
            outline.gate(&end, label, false);
            ids.insert(NodeIndex::new(gates + 2 * number + 1), end);
            last_drawn = Some(number);
        }
        outline.lane(graph, Lane::After, gates + 2 * waves, &mut ids);
        outline.connect(graph, &ids);
        outline
    }

    fn gate(&mut self, id: &str, label: String, stands_for_more: bool) {
        let node = Drawn { id: id.to_owned(), label, step: None, skipped: false, stands_for_more };
        self.groups.push(Group { id: format!("g_{id}"), title: None, nodes: vec![node] });
    }

    fn lane(
        &mut self,
        graph: &'a RolloutGraph,
        lane: Lane,
        first: usize,
        ids: &mut HashMap<NodeIndex, String>,
    ) {
        let steps = graph.steps(lane);
        if steps.is_empty() {
            return;
        }
        let (name, title) = match lane {
            Lane::Before => ("before".to_owned(), "before".to_owned()),
            Lane::After => ("after".to_owned(), "after".to_owned()),
            Lane::Worker(target) => (format!("w{}", target.0 + 1), graph.host(target).to_owned()),
        };
        let nodes = steps.iter().enumerate().map(|(at, step)| {
            let id = format!("{name}_s{}", at + 1);
            ids.insert(NodeIndex::new(first + at), id.clone());
            let skipped = !graph.applies(lane, at);
            Drawn { id, label: step.id.clone(), step: Some(step), skipped, stands_for_more: false }
        });
        let nodes = nodes.collect();
        self.groups.push(Group { id: format!("g_{name}"), title: Some(title), nodes });
    }

    /// The graph's own edges between nodes that are drawn, in the order of their ends.
    fn connect(&mut self, graph: &RolloutGraph, ids: &HashMap<NodeIndex, String>) {
        let mut drawn: Vec<_> = ids.keys().copied().collect();
        drawn.sort_unstable();
        for from in drawn {
            let mut ends: Vec<_> = graph.dag().edges(from).map(|edge| edge.target()).collect();
            ends.sort_unstable();
            for to in ends {
                if let Some(to) = ids.get(&to) {
                    self.edges.push((ids[&from].clone(), to.clone()));
                }
            }
        }
    }
}
