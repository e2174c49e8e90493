//! What is to be expected of a plan: the one estimator of `plan show`, `plan simulate` and the live view, fed with what
//! steps took in the bucket's finished runs, else with rules of thumb.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::super::Context;
use super::simulate::Durations;
use crate::graph::RolloutGraph;
use crate::report::Outlook;
use crate::sim::{EstimateOptions, Timeline, timeline};

/// As `plan simulate` has it without `--runs` and `--seed`: the figures are the same.
pub(super) const RUNS: u32 = 20;
pub(super) const SEED: u64 = 1;

/// Steps of all simulated runs taken together: more take longer than somebody waits who only looks.
const STEPS: usize = 100_000;

/// A run of the plan that nothing disturbs, waiting for its window apart; `None`: it does not end by itself, or it is
/// too large to be tried in passing.
pub(super) fn expected(graph: &Arc<RolloutGraph>, durations: &Durations) -> Option<Timeline> {
    let steps = graph.targets.len().saturating_mul(graph.plan.steps.len()).max(1);
    let runs = u32::try_from(STEPS / steps).unwrap_or(RUNS).min(RUNS);
    let options =
        EstimateOptions { seed: SEED, runs, rates: Vec::new(), durations: durations.samples.clone() };
    // A window is waited for at other times than those of a simulation.
    let graph = match graph.waits_for_times() {
        false => Arc::clone(graph),
        true => Arc::new(graph.without_window()),
    };
    (runs > 0).then(|| timeline(&graph, &options)).flatten()
}

/// What is to be expected of a run, as soon as it is known: it is simulated on a thread of its own.
pub(super) fn expect_soon(graph: &Arc<RolloutGraph>, context: &Context) -> Arc<OnceLock<Outlook>> {
    let outlook = Arc::<OnceLock<Outlook>>::default();
    let (graph, context, known) = (Arc::clone(graph), context.clone(), Arc::clone(&outlook));
    let expect = move || {
        let durations = Durations::learnt(&graph.plan, &context);
        let usual: BTreeMap<String, i64> =
            durations.numbers().map(|(kind, _, median, _)| (kind.to_owned(), median)).collect();
        let run = expected(&graph, &durations);
        let (ends, total) = run.map_or_else(Default::default, |run| (run.ends, run.total_ms));
        // It is set once.
        let _ = known.set(Outlook { usual, ends, total });
    };
    // Without it there is no estimate, and all else is as before.
    let _ = std::thread::Builder::new().name("expect".into()).spawn(expect);
    outlook
}
