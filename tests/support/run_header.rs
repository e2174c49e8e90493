//! The header of a run that nobody has prepared, for journals that tests and benchmarks fill by themselves.

use maand::engine::Millis;
use maand::graph::RolloutGraph;
use maand::journal::{RunHeader, StepKinds};

/// Of a run of `graph` on its own fleet.
pub(crate) fn run_header(graph: &RolloutGraph, plan_text: &str, who: &str, started_at: Millis) -> RunHeader {
    RunHeader {
        plan: graph.plan.name.clone(),
        plan_file: "plans/plan.yaml".into(),
        plan_text: plan_text.into(),
        plan_sha256: String::new(),
        overrides: Vec::new(),
        only_workers: None,
        fleet: (*graph.fleet).clone(),
        graph_hash: graph.hash(),
        workers_sha256: String::new(),
        workspace_hash: String::new(),
        workspace_files: None,
        program: "0.1.0".into(),
        who: who.into(),
        seed: 1,
        scripts: std::collections::BTreeMap::new(),
        hosts: graph.target_indices().map(|target| graph.host(target).to_owned()).collect(),
        kinds: StepKinds::default(),
        started_at,
        reviewed: None,
    }
}
