//! The rules of steps: what must come before or after what, and what a step must not do.

use super::super::decode::{Draft, DraftStep};
use super::super::{
    OnFailure, OnNoReturn, OnStepFailure, Problem, Problems, Source, StepKind, When, code, duration,
};
use super::order::Ancestors;

/// What `on_failure: ignore` would make unsafe: the steps that follow count on these.
const MUST_SUCCEED: &[&str] = &["disable", "enable", "deploy", "reboot", "wait_for_ssh"];

/// What one step says by itself, its common keys together with its kind.
pub(super) fn step(source: &Source, step: &DraftStep, problems: &mut Problems) {
    let Some(keyword) = step.keyword else { return };
    if step.on_failure.value == OnStepFailure::Ignore && MUST_SUCCEED.contains(&keyword) {
        let message = format!("a failure of `{keyword}` cannot be ignored");
        let problem = Problem::error(code::CAN_NOT_IGNORE, message)
            .at(source, step.on_failure.span.clone(), "not here")
            .help("the steps after it count on it: leave `on_failure` out, and allow failures of whole workers by \
                   `max_failures` below `rollout:`");
        problems.push(problem);
    }
    let Some(timeout) = &step.timeout else { return };
    let least = match &step.kind {
        Some(StepKind::Pause { duration }) => Some((*duration, "the pause itself")),
        Some(StepKind::WaitForSsh { settle, .. }) => Some((*settle, "`settle`")),
        Some(StepKind::Gate(gate)) if gate.count > 1 => Some((gate.least(), "all `count` measurements")),
        _ => None,
    };
    if let Some(StepKind::Gate(gate)) = &step.kind
        && gate.count == 1
        && gate.interval >= timeout.value
    {
        let message =
            format!("measured every {}, it is measured once within its time-out", duration(gate.interval));
        let problem = Problem::error(code::BAD_GATE, message)
            .at(source, timeout.span.clone(), "no time to wait")
            .help("write an `interval` shorter than the `timeout` of the step");
        problems.push(problem);
    }
    if let Some((least, what)) = least.filter(|(least, _)| timeout.value <= *least) {
        let message =
            format!("`{keyword}` can never finish within its time-out of {}", duration(timeout.value));
        let problem = Problem::error(code::TIMEOUT_TOO_SHORT, message)
            .at(source, timeout.span.clone(), format!("{what} takes {}", duration(least)))
            .help(format!("give the step a `timeout` of more than {}", duration(least)));
        problems.push(problem);
    }
}

/// Under `on_failure: revert` every command says how it is taken back.
pub(super) fn undo(
    source: &Source,
    steps: &[DraftStep],
    draft: &Draft,
    of_worker: bool,
    problems: &mut Problems,
) {
    if draft.rollout.on_failure != OnFailure::Revert || !of_worker {
        return;
    }
    for step in steps {
        let is_own =
            |kind: &&StepKind| matches!(kind, StepKind::Run(_) | StepKind::Local(_) | StepKind::Http(_));
        if step.kind.as_ref().filter(is_own).is_some_and(|kind| kind.has_own_undo().is_none()) {
            let message = format!("`on_failure: revert` does not know how to take `{}` back", step.id);
            let problem = Problem::error(code::NO_UNDO, message)
                .at(source, step.span.clone(), "no `undo`")
                .help("write `undo: command` (of `http` a request), or `undo: none` if there is nothing to take back");
            problems.push(problem);
        }
    }
}

/// The rules between the steps of a worker.
pub(super) fn together(source: &Source, steps: &[DraftStep], ancestors: &Ancestors, problems: &mut Problems) {
    // With an unknown kind among them, what seems to be missing may be just that one.
    let all_known = steps.iter().all(|step| step.keyword.is_some());
    let of = |kind: &'static str| {
        steps.iter().enumerate().filter(move |(_, step)| step.keyword == Some(kind)).map(|(index, _)| index)
    };
    for (reboot, step) in steps.iter().enumerate().filter(|(_, step)| step.keyword == Some("reboot")) {
        beside(source, steps, reboot, ancestors, problems);
        if !all_known {
            continue;
        }
        let waits: Vec<usize> = of("wait_for_ssh").filter(|wait| ancestors.before(reboot, *wait)).collect();
        if !waits.iter().any(|wait| covers(&steps[*wait].when, &step.when)) {
            problems.push(unawaited(source, step, waits.first().map(|wait| &steps[*wait])));
        } else if let Some(hasty) = hasty(steps, reboot, &waits, ancestors) {
            problems.push(too_early(source, step, &steps[hasty]));
        }
        let drained = of("deploy").any(|deploy| {
            ancestors.before(deploy, reboot) && of("disable").any(|disable| ancestors.before(disable, deploy))
        });
        if !drained {
            let message =
                format!("`{}` takes down whatever jobs run on the worker: nothing drains it first", step.id);
            let problem = Problem::warning(code::REBOOT_WITHOUT_DRAIN, message)
                .at(source, step.span.clone(), "not preceded by `disable` and `deploy`")
                .help("to stop the jobs in good order put `- disable` and `- deploy` before it, and `- enable` and \
                       `- deploy` after the wait");
            problems.push(problem);
        }
    }
    if !all_known {
        return;
    }
    for wait in of("wait_for_ssh") {
        let step = &steps[wait];
        let resets =
            matches!(step.kind, Some(StepKind::WaitForSsh { on_no_return: OnNoReturn::PowerCycle, .. }));
        if resets && !of("reboot").any(|reboot| ancestors.before(reboot, wait)) {
            let message = format!("`{}` would reset workers that the plan has not rebooted", step.id);
            let problem = Problem::error(code::RESET_WITHOUT_REBOOT, message)
                .at(source, step.span.clone(), "no `reboot` comes before it")
                .help("leave `on_no_return` out: only a worker that does not come back from a reboot of the plan is reset");
            problems.push(problem);
        }
    }
    for enable in of("enable") {
        if !of("disable").any(|disable| ancestors.before(disable, enable)) {
            let step = &steps[enable];
            let message = format!("`{}` has nothing to enable: no `disable` comes before it", step.id);
            let problem = Problem::error(code::ENABLE_WITHOUT_DISABLE, message)
                .at(source, step.span.clone(), "enables only what this run has disabled")
                .help(
                    "add `- disable` before it, or remove it; a run never enables what an operator has disabled",
                );
            problems.push(problem);
        }
    }
    for disable in of("disable") {
        if !of("enable").any(|enable| ancestors.before(disable, enable)) {
            let step = &steps[disable];
            let message = format!("nothing enables again what `{}` disables", step.id);
            let problem = Problem::warning(code::LEFT_DISABLED, message)
                .at(source, step.span.clone(), "no `enable` comes after it")
                .help("add `- enable` and `- deploy` at the end; else each worker stays disabled and the run does not \
                       end with exit code 0");
            problems.push(problem);
        }
    }
}

/// A reboot after which nothing waits, or only the step `narrow` on some of its workers.
fn unawaited(source: &Source, reboot: &DraftStep, narrow: Option<&DraftStep>) -> Problem {
    let id = &reboot.id;
    match narrow {
        None => {
            Problem::error(code::REBOOT_WITHOUT_WAIT, format!("nothing waits for the worker after `{id}`"))
                .at(source, reboot.span.clone(), "needs a `wait_for_ssh` after it")
                .help("add the step `- wait_for_ssh` after it")
        }
        Some(wait) => {
            let message = format!("`{}` does not wait for every worker that `{id}` takes down", wait.id);
            Problem::error(code::REBOOT_WITHOUT_WAIT, message)
                .at(source, wait.span.clone(), "its `when` leaves workers out")
                .at(source, reboot.span.clone(), "reboots them, too")
                .help("leave `when` out at the wait (it does no harm to wait for a worker that is up), or give both \
                       the same `when`")
        }
    }
}

/// The first step that comes after a reboot and not after a wait for it. Gates do nothing to the worker.
fn hasty(steps: &[DraftStep], reboot: usize, waits: &[usize], ancestors: &Ancestors) -> Option<usize> {
    (0..steps.len()).find(|other| {
        let harmless = matches!(steps[*other].keyword, Some("wait_for_ssh" | "pause" | "approve" | "gate"));
        ancestors.before(reboot, *other)
            && !harmless
            && !waits.iter().any(|wait| ancestors.before(*wait, *other))
    })
}

fn too_early(source: &Source, reboot: &DraftStep, hasty: &DraftStep) -> Problem {
    let message = format!(
        "`{}` would run while the worker is down: nothing waits between it and `{}`",
        hasty.id, reboot.id
    );
    Problem::error(code::REBOOT_NOT_AWAITED, message)
        .at(source, hasty.span.clone(), "comes before the wait")
        .at(source, reboot.span.clone(), "takes the worker down")
        .help("put `- wait_for_ssh` directly after the reboot: nothing else is done before the new boot is seen")
}

/// Nothing may run beside a reboot.
fn beside(
    source: &Source,
    steps: &[DraftStep],
    reboot: usize,
    ancestors: &Ancestors,
    problems: &mut Problems,
) {
    let loose: Vec<usize> = (0..steps.len())
        .filter(|other| {
            *other != reboot && !ancestors.before(*other, reboot) && !ancestors.before(reboot, *other)
        })
        .collect();
    // Two reboots beside each other are one problem, not two.
    let Some(other) =
        loose.iter().copied().find(|other| steps[*other].keyword != Some("reboot") || *other > reboot)
    else {
        return;
    };
    let (id, other_id) = (&steps[reboot].id, &steps[other].id);
    let more = match loose.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let message = format!("`{other_id}`{more} may run beside `{id}`, which would cut it off");
    let problem = Problem::error(code::BESIDE_REBOOT, message)
        .at(source, steps[other].span.clone(), format!("neither before nor after `{id}`"))
        .at(source, steps[reboot].span.clone(), "reboots the worker")
        .help(format!(
            "order them by `needs`: `{other_id}` must need `{id}` or `{id}` must need `{other_id}`, directly or not"
        ));
    problems.push(problem);
}

/// Whether a step with the condition `wide` runs on every worker on which one with `narrow` does.
fn covers(wide: &When, narrow: &When) -> bool {
    let texts = |list: &[super::super::Located<String>]| -> Vec<String> {
        let mut texts: Vec<String> = list.iter().map(|item| item.value.clone()).collect();
        texts.sort();
        texts
    };
    let tags = |when: &When| {
        let mut tags: Vec<_> =
            when.tags.iter().map(|(key, values)| (key.value.clone(), texts(values))).collect();
        tags.sort();
        tags
    };
    *wide == When::default()
        || (texts(&wide.labels) == texts(&narrow.labels)
            && texts(&wide.jobs) == texts(&narrow.jobs)
            && tags(wide) == tags(narrow))
}
