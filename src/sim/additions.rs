//! What is put into random plans afterwards, each by draws of its own, so that plans stay the same without it: what is
//! expected of boots, gates, and BMCs.

use std::time::Duration;

use super::plans::seconds;
use super::rng::Rng;
use crate::plan::{
    CannotTell, ExpectedBoot, ExpectedKernel, Gate, GateAction, Measure, OnNoReturn, Plan, RebootUnless,
    RolloutGates, StepKind,
};

/// Some reboots expect a kernel afterwards, or ask the worker before.
pub(super) fn expect_kernels(rng: &mut Rng, plan: &mut Plan) {
    for step in &mut plan.steps {
        let StepKind::Reboot { unless, expect, .. } = &mut step.kind else { continue };
        if rng.per_mille(250) {
            let kernel = match rng.below(3) {
                0 => ExpectedKernel::Like("6.1.*-amd64".to_owned()),
                _ => ExpectedKernel::Newest,
            };
            *expect = Some(ExpectedBoot { kernel: Some(kernel), cmdline: Vec::new() });
        }
        if unless.is_none() && rng.per_mille(200) {
            let cannot_tell = if rng.coin() { CannotTell::Fail } else { CannotTell::Reboot };
            *unless = Some(RebootUnless::NotRequired { cannot_tell });
        }
    }
}

/// Some steps are gates, and some plans have gates around their waves or a guard.
pub(super) fn gates(rng: &mut Rng, plan: &mut Plan) {
    let lists = [&mut plan.before, &mut plan.steps, &mut plan.after];
    for step in lists.into_iter().flatten().filter(|step| matches!(step.kind, StepKind::Pause { .. })) {
        if rng.coin() {
            step.kind = StepKind::Gate(Box::new(gate(rng)));
            step.timeout = Some(Duration::from_secs(600));
        }
    }
    let mut some = |chance: u32| -> Vec<Gate> {
        let many = if rng.per_mille(chance) { 1 + rng.below(2) } else { 0 };
        (0..many).map(|_| gate(rng)).collect()
    };
    plan.rollout.gates = RolloutGates { before_wave: some(150), after_wave: some(150), guard: some(250) };
}

fn gate(rng: &mut Rng) -> Gate {
    let count = 1 + rng.below(4) as u32;
    let mut action = |usual| match rng.below(6) {
        0 => GateAction::Stop,
        1 => GateAction::Wait,
        2 => GateAction::Ignore,
        _ => usual,
    };
    let (on_fail, on_inconclusive) = (action(GateAction::Stop), action(GateAction::Wait));
    Gate {
        name: None,
        measure: Measure::Command("./check".to_owned()),
        interval: seconds(rng.between(1, 60)),
        count,
        failures: if rng.per_mille(700) { 0 } else { rng.below(u64::from(count)) as u32 },
        answer_within: seconds(rng.between(1, 60)),
        on_fail,
        on_inconclusive,
        patience: Some(seconds(rng.between(61, 900))),
    }
}

/// Some waits for a worker have it reset by its BMC when it does not come back.
pub(super) fn reset_by_bmcs(rng: &mut Rng, plan: &mut Plan) {
    for step in &mut plan.steps {
        let StepKind::WaitForSsh { on_no_return, .. } = &mut step.kind else { continue };
        if rng.per_mille(400) {
            *on_no_return = OnNoReturn::PowerCycle;
        }
    }
}
