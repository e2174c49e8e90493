//! The order of deployment: `deployment_seq` from what jobs demand of each other.
//!
//! A job's number is the length of the longest chain of demands below it, so jobs that do not wait
//! for each other share a number.

use std::collections::BTreeMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use crate::bucket::{Job, JobName};

/// `deployment_seq` of each job, or every circle of demands, each in the order of its demands and
/// starting with its first name. A demand of a job that does not exist has no effect here.
pub(crate) fn deployment_seq(jobs: &[Job]) -> Result<BTreeMap<JobName, u32>, Vec<Vec<JobName>>> {
    let mut graph: DiGraph<&Job, ()> = DiGraph::new();
    let nodes: BTreeMap<&JobName, NodeIndex> =
        jobs.iter().map(|job| (&job.name, graph.add_node(job))).collect();
    for job in jobs {
        for demanded in &job.demands {
            if let Some(before) = nodes.get(demanded) {
                graph.add_edge(nodes[&job.name], *before, ());
            }
        }
    }
    // Reverse topological order: each component comes after all that it points to.
    let components = tarjan_scc(&graph);
    let mut circles: Vec<Vec<JobName>> = components
        .iter()
        .filter(|component| component.len() > 1 || graph.contains_edge(component[0], component[0]))
        .map(|component| circle(&graph, component))
        .collect();
    if !circles.is_empty() {
        circles.sort();
        return Err(circles);
    }
    let mut seq: BTreeMap<JobName, u32> = BTreeMap::new();
    for component in components {
        let job = graph[component[0]];
        let after = job.demands.iter().filter_map(|demanded| seq.get(demanded)).max();
        seq.insert(job.name.clone(), after.map_or(0, |before| before + 1));
    }
    Ok(seq)
}

/// One way around within a strongly connected component, from its first name.
fn circle(graph: &DiGraph<&Job, ()>, component: &[NodeIndex]) -> Vec<JobName> {
    let Some(start) = component.iter().copied().min_by_key(|node| &graph[*node].name) else {
        return Vec::new();
    };
    // Breadth first from the start back to itself: the shortest way around.
    let mut came_from: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        let mut next: Vec<NodeIndex> =
            graph.edges(node).map(|edge| edge.target()).filter(|to| component.contains(to)).collect();
        next.sort_by_key(|to| &graph[*to].name);
        for to in next {
            if to == start {
                let mut way = vec![node];
                let mut at = node;
                while at != start {
                    at = came_from[&at];
                    way.push(at);
                }
                return way.into_iter().rev().map(|node| graph[node].name.clone()).collect();
            }
            if let std::collections::btree_map::Entry::Vacant(slot) = came_from.entry(to) {
                slot.insert(node);
                queue.push_back(to);
            }
        }
    }
    vec![graph[start].name.clone()]
}

#[cfg(test)]
mod tests {
    use super::super::testing::job;
    use super::*;

    fn jobs(demands: &[(&str, &[&str])]) -> Vec<Job> {
        demands
            .iter()
            .map(|(name, on)| Job {
                demands: on.iter().map(|n| JobName::parse(n).unwrap()).collect(),
                ..job(name)
            })
            .collect()
    }

    #[test]
    fn longest_chain() {
        let seq = deployment_seq(&jobs(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[]), ("d", &["gone"])]))
            .unwrap();
        let seq: Vec<_> = seq.iter().map(|(job, n)| (job.as_str(), *n)).collect();
        assert_eq!(seq, [("a", 2), ("b", 1), ("c", 0), ("d", 0)]);
    }

    #[test]
    fn circles_are_named_once_each() {
        let circles = deployment_seq(&jobs(&[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["a"]),
            ("s", &["s"]),
            ("t", &["a"]),
        ]))
        .unwrap_err();
        let circles: Vec<Vec<_>> = circles.iter().map(|c| c.iter().map(JobName::as_str).collect()).collect();
        assert_eq!(circles, [vec!["a", "b", "c"], vec!["s"]]);
    }
}
