//! The fingerprint of a compiled plan.

use std::fmt::Write as _;

use petgraph::visit::EdgeRef;
use sha2::{Digest, Sha256};

use super::RolloutGraph;

/// Changes when the rendering below changes.
const VERSION: &str = "maand-graph-1";

impl RolloutGraph {
    /// SHA-256, in hex, over everything that decides what a run does: the plan's text and variables,
    /// the resolved numbers, the selected workers in order with wave, jobs and steps, and the edges.
    /// The same input gives the same hash, on every machine.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        // Every part carries its length, so that no two inputs render to the same bytes.
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(VERSION.as_bytes());
        part(self.plan.source.text().as_bytes());
        for (name, value) in &self.plan.vars {
            part(name.as_bytes());
            part(format!("{value:?}").as_bytes());
        }
        let numbers = &self.numbers;
        let concurrency = numbers.concurrency.as_ref().map(|resolved| resolved.value);
        part(format!("{} {concurrency:?} {}", numbers.targets, numbers.max_failures.value).as_bytes());
        for budget in &numbers.budgets {
            let job = &self.fleet.job(budget.job).name;
            part(format!("{job} {} {}", budget.of, budget.wants).as_bytes());
        }
        for frozen in &self.frozen {
            part(format!("frozen {} {}", frozen.from, frozen.to).as_bytes());
        }
        let mut line = String::new();
        for target in &self.targets {
            line.clear();
            line.push_str(self.fleet.worker(target.worker).host.as_str());
            // Writing into a `String` cannot fail.
            let _ = write!(line, " {} {} ", target.wave, target.already_disabled);
            line.extend(target.applies.iter().map(|applies| if *applies { '1' } else { '0' }));
            for job in &target.jobs {
                let _ = write!(line, " {}", self.fleet.job(*job).name);
            }
            part(line.as_bytes());
        }
        let mut edges = Vec::with_capacity(self.dag.edge_count() * 8);
        for edge in self.dag.edge_references() {
            edges.extend((edge.source().index() as u32).to_le_bytes());
            edges.extend((edge.target().index() as u32).to_le_bytes());
        }
        part(&edges);
        hex::encode(hasher.finalize())
    }
}
