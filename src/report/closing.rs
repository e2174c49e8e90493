//! The report at the end: each worker with its time and boot ids, failures with their last lines of
//! output, which workers are left disabled, and what an operator can do next.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use crate::engine::Millis;
use crate::plan::{StepKind, counted};

use super::view::{RunView, WorkerView};
use super::{Hint, Suggestion, describe_elapsed, describe_span, text};
use crate::engine::{HaltReason, PublicRunState, PublicWorkerState, RunStatus};

/// More workers than this are summed up when they ended alike and well.
const LISTED: usize = 200;
/// At most this many different reasons to wait are shown.
const REASONS: usize = 5;
/// At most this many lines of a failed step's output are shown; the journal has the rest.
const OUTPUT_LINES: usize = 10;

/// The closing report of a run; the view has to be refreshed. `hint` says what an operator can do next; `None`: that
/// is left out.
pub fn closing(at: Millis, view: &RunView, hint: Option<Hint>) -> String {
    let mut text = String::new();
    workers(&mut text, view);
    failures(&mut text, view, hint);
    left_disabled(&mut text, view, hint);
    let span = describe_span(view.lasted(at));
    let (state, reason) = match &view.reason {
        // What it halted for is no longer so.
        _ if may_unhalt(view) => ("had halted", "; it can be continued".to_owned()),
        Some(reason) => (describe_state(view.state), describe_reason(view.state, reason)),
        None => (describe_state(view.state), String::new()),
    };
    let _ = writeln!(text, "Run {} (plan {}) {state} after {span}{reason}.", view.run, view.plan);
    let _ = writeln!(text, "{}.", describe_counts(view));
    if let Some(hint) = hint {
        for suggestion in next_steps(view) {
            let _ = writeln!(text, "{}", hint(&suggestion));
        }
    }
    text
}

/// Where a run stands: the same under a heading.
pub fn status_text(at: Millis, view: &RunView, hint: Option<Hint>) -> String {
    let wave = view.wave.map_or_else(String::new, |wave| format!(", wave {wave} of {}", view.waves));
    format!(
        "Run {} of plan {} {}{wave}; started {}.\n\n{}",
        view.run,
        view.plan,
        if may_unhalt(view) { "had halted" } else { describe_state(view.state) },
        view.started_at.to_second(),
        closing(at, view, hint)
    )
}

fn describe_state(state: PublicRunState) -> &'static str {
    match state {
        PublicRunState::Running => "is running",
        PublicRunState::Waiting => "waits for an operator",
        PublicRunState::Paused => "is paused",
        PublicRunState::Interrupted => "was interrupted",
        PublicRunState::Halted => "has halted",
        PublicRunState::Succeeded => "succeeded",
        PublicRunState::Failed => "failed",
        PublicRunState::Aborted => "was aborted",
    }
}

/// Behind the state and the time: `: 2 workers failed`. Whoever paused it is named once.
fn describe_reason(state: PublicRunState, reason: &str) -> String {
    match reason.strip_prefix("paused by ") {
        Some(by) if state == PublicRunState::Paused => format!(", by {by}"),
        _ if reason.trim().is_empty() => String::new(),
        _ => format!(": {}", reason.trim_end_matches('.')),
    }
}

/// It halted for failures, and an operator has done something about them since: it continues as soon as it is resumed.
fn may_unhalt(view: &RunView) -> bool {
    let failures = matches!(view.run_state.status(), RunStatus::Halted(HaltReason::TooManyFailures { .. }));
    view.state == PublicRunState::Halted && failures && view.counts.failures <= view.counts.failures_allowed
}

fn describe_counts(view: &RunView) -> String {
    let c = &view.counts;
    let parts = [
        (c.succeeded, "succeeded"),
        (c.active, "under way"),
        (c.queued, "queued"),
        (c.failed, "failed"),
        (c.reverted, "reverted"),
        (c.skipped, "skipped"),
        (c.left_alone, "left alone"),
        (c.cancelled, "cancelled"),
    ];
    let parts: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let mut text = format!("{}: {}", counted(c.total as usize, "worker"), parts.join(", "));
    if c.failures > 0 {
        let _ = write!(text, "; failures: {} (max_failures: {})", c.failures, c.failures_allowed);
    }
    text
}

fn workers(text: &mut String, view: &RunView) {
    let shown: Vec<_> = view
        .workers
        .iter()
        .filter(|worker| {
            worker.state != PublicWorkerState::Queued
                && (view.workers.len() <= LISTED || worker.state != PublicWorkerState::Succeeded)
        })
        .take(LISTED)
        .collect();
    let width = shown.iter().map(|worker| worker.host.width()).max().unwrap_or(0);
    for worker in &shown {
        let pad = " ".repeat(width - worker.host.width());
        let took = worker.took().map_or_else(String::new, describe_elapsed);
        let line = format!(
            "  {}{pad}  {:<10}  {took:>8}  {}",
            worker.host,
            worker.state.describe(),
            details(worker, view)
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if shown.iter().any(|worker| worker.state == PublicWorkerState::Held) {
        text.push_str("  (held: stopped between two steps; it continues when the run does)\n");
    }
    // Where the run as a whole stands still, the reason is said once, below.
    let still = !matches!(
        view.state,
        PublicRunState::Running | PublicRunState::Waiting | PublicRunState::Interrupted
    );
    let waiting = if still { Vec::new() } else { waiting(view) };
    for (why, hosts) in waiting.iter().take(REASONS) {
        let others = match hosts.len() - 1 {
            0 => String::new(),
            more => format!(" and {}", counted(more, "other")),
        };
        let _ = writeln!(text, "  {}{others}  {why}", hosts[0]);
    }
    if waiting.len() > REASONS {
        let more = waiting[REASONS..].iter().map(|(_, hosts)| hosts.len()).sum();
        let _ = writeln!(text, "  and {} with other reasons to wait", counted(more, "worker"));
    }
    if !shown.is_empty() || !waiting.is_empty() {
        text.push('\n');
    }
}

/// Why queued workers wait, in their order, and which workers have the same reason.
fn waiting(view: &RunView) -> Vec<(&str, Vec<&str>)> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for worker in view.workers.iter().filter(|worker| worker.state == PublicWorkerState::Queued) {
        let Some(why) = worker.waits_for.as_deref() else { continue };
        // The reasons name jobs, zones and waves: few enough to look through.
        match reasons.iter_mut().find(|(other, _)| *other == why) {
            Some((_, hosts)) => hosts.push(&worker.host),
            None => reasons.push((why, vec![&worker.host])),
        }
    }
    reasons
}

fn details(worker: &WorkerView, view: &RunView) -> String {
    let reboots = view.graph().plan.steps.iter().any(|step| matches!(step.kind, StepKind::Reboot { .. }));
    let boots = match (&worker.boot_id_before, &worker.boot_id_after) {
        (Some(before), Some(after)) => {
            let (before, after) = text::short_boot_ids(before, after);
            format!("boot {before} -> {after}")
        }
        // Where nothing is rebooted it tells nothing.
        (Some(before), None) if reboots => format!("boot {}", text::short_boot_id(before)),
        _ => String::new(),
    };
    let step = match (&worker.step, worker.attempt) {
        (Some(step), _) if worker.state == PublicWorkerState::Cancelled => {
            format!("stopped at {step}; what was done until then stays")
        }
        (Some(step), Some(attempt)) if attempt > 1 => format!("{step}, attempt {attempt}"),
        (Some(step), _) => step.clone(),
        (None, _) => String::new(),
    };
    let waits = worker.waits_for.clone().unwrap_or_default();
    let unplanned = match worker.unplanned_boots.as_slice() {
        [] => String::new(),
        [.., last] => {
            let (before, after) = text::short_boot_ids(&last.before, &last.boot_id);
            let more = match worker.unplanned_boots.len() {
                1 => String::new(),
                times => format!(", {times} times"),
            };
            format!(
                "booted by itself{more} (boot {before} -> {after}, seen at {}), not by this run",
                last.seen_at.to_second()
            )
        }
    };
    let parts = [step, waits, boots, unplanned];
    parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("; ")
}

fn failures(text: &mut String, view: &RunView, hint: Option<Hint>) {
    let failed = |worker: &&WorkerView| {
        !matches!(worker.state, PublicWorkerState::Queued | PublicWorkerState::Succeeded)
    };
    for worker in view.workers.iter().filter(failed) {
        let Some(error) = &worker.error else { continue };
        let at = worker.step.as_ref().map_or_else(String::new, |step| format!(" at step {step}"));
        let _ = writeln!(text, "{}{at}: {} [{}]", worker.host, text::one_line(&error.message), error.kind);
        if let Some(output) = &error.output {
            let lines: Vec<_> = output.lines().collect();
            for line in &lines[lines.len().saturating_sub(OUTPUT_LINES)..] {
                let _ = writeln!(text, "    | {}", text::one_line(line));
            }
        }
        if let Some(hint) = hint {
            let run = view.state.is_final().then_some(view.run.as_str());
            let suggestion = Suggestion::ReadLogs { run, host: &worker.host };
            let _ = writeln!(text, "    {}", hint(&suggestion));
        }
        text.push('\n');
    }
}

/// Workers that are left in `disabled.json`, and what enables them: while the run is open its own commands do,
/// afterwards only an operator.
fn left_disabled(text: &mut String, view: &RunView, hint: Option<Hint>) {
    if view.left_disabled.is_empty() || view.state == PublicRunState::Running {
        return;
    }
    let _ = writeln!(text, "Left disabled by this run in workspace/disabled.json:");
    for host in &view.left_disabled {
        let _ = writeln!(text, "  {host}");
    }
    if let Some(hint) = hint {
        let given_up = |host: &String| {
            view.workers
                .iter()
                .any(|worker| worker.host == *host && worker.state == PublicWorkerState::Skipped)
        };
        let suggestion = if view.state.is_final() || view.left_disabled.iter().all(given_up) {
            Suggestion::EnableByHand { hosts: &view.left_disabled }
        } else if view.state == PublicRunState::Halted && !may_unhalt(view) {
            Suggestion::RetryToEnable
        } else {
            Suggestion::ResumeToEnable { run: &view.run }
        };
        let _ = writeln!(text, "{}", hint(&suggestion));
    }
    text.push('\n');
}

/// What an operator can do next about the run as a whole, in the order in which it is done.
fn next_steps(view: &RunView) -> Vec<Suggestion<'_>> {
    let run = view.run.as_str();
    match view.state {
        PublicRunState::Interrupted | PublicRunState::Paused => vec![Suggestion::Resume { run }],
        PublicRunState::Waiting => {
            let gates = !view.run_state.closed_gates().is_empty();
            let approve = gates.then_some(Suggestion::Approve { run });
            let then = if view.run_state.undecided().is_empty() {
                Suggestion::ThenResume { run }
            } else {
                Suggestion::ResolveInDoubt { run }
            };
            approve.into_iter().chain([then]).collect()
        }
        PublicRunState::Halted => {
            let of_workers =
                !matches!(view.run_state.status(), RunStatus::Halted(HaltReason::LaneFailed { .. }));
            let failed = view.workers.iter().find(|worker| worker.state == PublicWorkerState::Failed);
            let failed = failed.filter(|_| of_workers && !may_unhalt(view));
            if failed.is_none() {
                return vec![Suggestion::Resume { run }, Suggestion::Abort { run }];
            }
            let one = failed.map(|worker| worker.host.as_str());
            let either = one.map(|host| [Suggestion::Retry { run, host }, Suggestion::Skip { run, host }]);
            let rest = [Suggestion::ThenResume { run }, Suggestion::Abort { run }];
            either.into_iter().flatten().chain(rest).collect()
        }
        PublicRunState::Running
        | PublicRunState::Succeeded
        | PublicRunState::Failed
        | PublicRunState::Aborted => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{rolled_with, some_fail};

    #[test]
    fn workers_with_the_same_reason_to_wait_are_one_line() {
        let (facts, mut view) = rolled_with(30, 10, some_fail);
        let half = facts.iter().position(|stamped| stamped.at > facts[0].at + 4_000).unwrap();
        for stamped in &facts[..half] {
            view.fold(stamped).unwrap();
        }
        let at = facts[half].at;
        view.refresh(at);
        let queued = view.counts.queued as usize;
        assert!(queued > 2, "too late for this test");
        let text = closing(at, &view, None);
        let lines: Vec<_> = text.lines().filter(|line| line.contains("places are taken")).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(lines[0].contains(&format!("and {} others  ", queued - 1)), "{text}");
    }
}
