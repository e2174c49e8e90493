//! `needs`: which step waits for which; unknown ids, ids that are there twice, cycles.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::super::decode::DraftStep;
use super::super::suggest::{all_of, suggest};
use super::super::yaml::shorten;
use super::super::{Problem, Problems, Source, code};
use super::Needs;

/// The order of one list of steps.
pub(super) struct Order {
    /// Direct needs.
    pub(super) needs: Needs,
    /// Direct and indirect needs; `None` when the order is not known for sure.
    pub(super) ancestors: Option<Ancestors>,
}

/// For each step the set of all steps that have ended before it begins.
pub(super) struct Ancestors {
    rows: Vec<Vec<u64>>,
}

impl Ancestors {
    /// Whether `first` has ended before `second` begins.
    pub(super) fn before(&self, first: usize, second: usize) -> bool {
        self.rows[second][first / 64] >> (first % 64) & 1 == 1
    }
}

/// An edge: the step that is needed, and where the text says so (`None`: by the order of the list).
type Edge = (usize, Option<Range<usize>>);

/// Finds the order of `steps`. Those of `prepare` come first, and the others begin behind all of them.
pub(super) fn order(source: &Source, steps: &[DraftStep], problems: &mut Problems) -> Order {
    let mut by_id: HashMap<&str, usize> = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        if let Some(first) = by_id.get(step.id.as_str()) {
            let problem = Problem::error(code::DUPLICATE_ID, format!("two steps have the id `{}`", step.id))
                .at(source, step.id_span.clone(), "again here")
                .at(source, steps[*first].id_span.clone(), "first here")
                .help("give one of them another id: `needs` must know which one is meant");
            problems.push(problem);
        } else {
            by_id.insert(&step.id, index);
        }
    }
    let first_main = steps.partition_point(|step| step.prepares);
    let mut complete = true;
    let mut edges: Vec<Vec<Edge>> = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let mut mine: Vec<Edge> = Vec::new();
        match &step.needs {
            None if index > 0 && index != first_main => mine.push((index - 1, None)),
            None => {}
            Some(needs) => {
                for need in needs {
                    match by_id.get(need.value.as_str()) {
                        Some(other) if *other == index => {
                            complete = false;
                            let message = format!("the step `{}` needs itself", step.id);
                            let problem = Problem::error(code::CYCLE, message)
                                .at(source, need.span.clone(), "this is the step itself")
                                .help("remove it from `needs`; `needs: []` lets the step run at once");
                            problems.push(problem);
                        }
                        Some(other) if steps[*other].prepares == step.prepares => {
                            mine.push((*other, Some(need.span.clone())));
                        }
                        Some(other) => {
                            complete = false;
                            problems.push(across(source, &steps[*other], need));
                        }
                        None => {
                            complete = false;
                            let list =
                                if step.prepares { &steps[..first_main] } else { &steps[first_main..] };
                            problems.push(unknown(source, list, need));
                        }
                    }
                }
            }
        }
        edges.push(mine);
    }
    complete &= !cycles(source, steps, &edges, problems);
    let needed: HashSet<usize> = edges.iter().flatten().map(|(other, _)| *other).collect();
    let ends: Vec<usize> = (0..first_main).filter(|index| !needed.contains(index)).collect();
    for mine in edges.iter_mut().skip(first_main).filter(|mine| mine.is_empty()) {
        mine.extend(ends.iter().map(|end| (*end, None)));
    }
    let needs: Needs = edges
        .into_iter()
        .map(|mine| {
            let mut needs: Vec<usize> = mine.into_iter().map(|(other, _)| other).collect();
            needs.sort_unstable();
            needs.dedup();
            needs
        })
        .collect();
    let ancestors = complete.then(|| ancestors(&needs));
    Order { needs, ancestors }
}

/// A need of a step of the other list.
fn across(source: &Source, needed: &DraftStep, need: &super::super::Located<String>) -> Problem {
    let (message, help) = if needed.prepares {
        let help = "all steps of `prepare` have ended when the first of `steps` begins: leave it out";
        (format!("`{}` is a step of `prepare`", need.value), help)
    } else {
        let help =
            "`prepare` comes before all of `steps`: name a step of `prepare`, or move this one to `steps`";
        (format!("`{}` is a step of `steps`", need.value), help)
    };
    Problem::error(code::UNKNOWN_NEED, message).at(source, need.span.clone(), "not of this list").help(help)
}

fn unknown(source: &Source, steps: &[DraftStep], need: &super::super::Located<String>) -> Problem {
    let ids = || steps.iter().map(|step| step.id.as_str());
    let help = match suggest(&need.value, ids()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if steps.len() <= 12 => format!("the ids of this list are {}", all_of(ids())),
        None => "write the `id` of a step of this list; without `id` it is the step's kind".to_owned(),
    };
    Problem::error(code::UNKNOWN_NEED, format!("no step of this list has the id `{}`", shorten(&need.value)))
        .at(source, need.span.clone(), "unknown id")
        .help(help)
}

/// Reports every knot of steps that need each other; whether there is one.
fn cycles(source: &Source, steps: &[DraftStep], edges: &[Vec<Edge>], problems: &mut Problems) -> bool {
    let mut graph = DiGraph::<(), ()>::with_capacity(steps.len(), steps.len());
    for _ in steps {
        graph.add_node(());
    }
    for (index, mine) in edges.iter().enumerate() {
        for (other, _) in mine {
            graph.add_edge(NodeIndex::new(index), NodeIndex::new(*other), ());
        }
    }
    let mut found = false;
    for knot in kosaraju_scc(&graph) {
        if knot.len() < 2 {
            continue;
        }
        found = true;
        let mut inside = vec![false; steps.len()];
        for node in &knot {
            inside[node.index()] = true;
        }
        let start = knot.iter().map(|node| node.index()).min().unwrap_or_default();
        let way = way_back(start, edges, &inside);
        problems.push(cycle(source, steps, edges, &way));
    }
    found
}

/// The shortest way from `start` along needs back to `start`, within one knot.
fn way_back(start: usize, edges: &[Vec<Edge>], inside: &[bool]) -> Vec<usize> {
    let mut from: HashMap<usize, usize> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for (other, _) in edges[at].iter().filter(|(other, _)| inside[*other]) {
            if *other == start {
                let mut way = vec![at];
                while let Some(last) = way.last().filter(|last| **last != start) {
                    way.push(from[last]);
                }
                way.reverse();
                return way;
            }
            if !from.contains_key(other) {
                from.insert(*other, at);
                queue.push_back(*other);
            }
        }
    }
    vec![start]
}

fn cycle(source: &Source, steps: &[DraftStep], edges: &[Vec<Edge>], way: &[usize]) -> Problem {
    /// Longer cycles are shown by their beginning.
    const SHOWN: usize = 8;
    let mut names: Vec<&str> = way.iter().take(SHOWN).map(|step| steps[*step].id.as_str()).collect();
    if way.len() > SHOWN {
        names.push("...");
    }
    names.push(steps[way[0]].id.as_str());
    let message = format!("these steps need each other and can never run: {}", names.join(" -> "));
    let mut problem = Problem::error(code::CYCLE, message);
    for (at, step) in way.iter().enumerate().take(SHOWN) {
        let next = way[(at + 1) % way.len()];
        let place =
            edges[*step].iter().find(|(other, _)| *other == next).and_then(|(_, place)| place.clone());
        let (id, needed) = (&steps[*step].id, &steps[next].id);
        problem = match place {
            Some(place) => problem.at(source, place, format!("`{id}` needs `{needed}`")),
            None => problem.at(
                source,
                steps[*step].span.clone(),
                format!("`{id}` has no `needs` and so waits for the one before, `{needed}`"),
            ),
        };
    }
    problem.help("remove one of these needs; `needs: []` lets a step run at once")
}

fn ancestors(needs: &Needs) -> Ancestors {
    let words = needs.len().div_ceil(64);
    let mut rows = vec![vec![0_u64; words]; needs.len()];
    let mut waiting: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (index, mine) in needs.iter().enumerate() {
        for other in mine {
            followers[*other].push(index);
        }
    }
    let mut ready: Vec<usize> = (0..needs.len()).filter(|index| waiting[*index] == 0).collect();
    while let Some(done) = ready.pop() {
        for follower in &followers[done] {
            let row = std::mem::take(&mut rows[done]);
            for (mine, theirs) in rows[*follower].iter_mut().zip(&row) {
                *mine |= theirs;
            }
            rows[done] = row;
            rows[*follower][done / 64] |= 1 << (done % 64);
            waiting[*follower] -= 1;
            if waiting[*follower] == 0 {
                ready.push(*follower);
            }
        }
    }
    Ancestors { rows }
}
