//! Draws of what prepares workers ahead of their turn.

use super::plans::{amount, command, health, lay_out, step_settings};
use super::rng::Rng;
use crate::plan::{Plan, Prepare, StepKind};

/// Some plans prepare their workers.
pub(super) fn prepare(rng: &mut Rng, plan: &mut Plan, workers: usize) {
    if !rng.per_mille(250) {
        return;
    }
    let kinds = (0..1 + rng.below(3)).map(|_| match rng.below(5) {
        0..=1 => StepKind::Run(command(rng)),
        2 => StepKind::Local(command(rng)),
        3 => StepKind::SyncCheck { repair: false },
        _ => health(),
    });
    let kinds = kinds.collect();
    let wide = rng.coin();
    let mut ahead = lay_out(rng, vec![kinds], wide);
    for (at, step) in ahead.iter_mut().enumerate() {
        step_settings(rng, step);
        step.id = format!("prepare-{at}");
        step.prepares = true;
        if let StepKind::Run(command) | StepKind::Local(command) = &mut step.kind {
            command.disturbs = false;
        }
    }
    let needed = |at: &usize| ahead.iter().any(|step| step.needs.contains(at));
    let ends: Vec<usize> = (0..ahead.len()).filter(|at| !needed(at)).collect();
    for step in &mut plan.steps {
        step.needs.iter_mut().for_each(|need| *need += ahead.len());
        if step.needs.is_empty() {
            step.needs.clone_from(&ends);
        }
    }
    plan.steps.splice(0..0, ahead);
    let concurrency = super::plans::located(amount(rng, workers as i64));
    plan.prepare = Some(Prepare { concurrency, outside_window: rng.coin() });
}
