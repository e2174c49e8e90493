//! The report at the end: each worker with its time and boot ids, failures with their last lines of
//! output, who is left disabled, and what to type next.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use crate::engine::Millis;
use crate::plan::counted;

use super::view::{RunView, WorkerView};
use super::{span_in_words, took_in_words, words};
use crate::engine::{PublicRunState, PublicWorkerState};

/// More workers than this are summed up when they ended alike and well.
const LISTED: usize = 200;
/// So many different reasons to wait are shown.
const REASONS: usize = 5;
/// So many lines of a failed step's output are shown; `plan logs` has the rest.
const OUTPUT_LINES: usize = 10;

/// The closing report of a run, refreshed before.
pub fn closing(at: Millis, view: &RunView) -> String {
    let mut text = String::new();
    workers(&mut text, view);
    failures(&mut text, view);
    left_disabled(&mut text, view);
    let until = view.finished_at.map_or(at, |time| time.0);
    let span = span_in_words(until - view.started_at.0);
    let reason = view.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let _ = writeln!(text, "Run {} {} after {span}{reason}.", view.run, state_in_words(view.state));
    let _ = writeln!(text, "{}.", counts_in_words(view));
    for line in next_steps(view) {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// What `plan status` prints: the same, with where each worker is.
pub fn status_text(at: Millis, view: &RunView) -> String {
    let wave = view.wave.map_or_else(String::new, |wave| format!(", wave {wave} of {}", view.waves));
    format!(
        "Run {} of plan {} is {}{wave}; started {}.\n\n{}",
        view.run,
        view.plan,
        view.state.as_str(),
        view.started_at.to_second(),
        closing(at, view)
    )
}

fn state_in_words(state: PublicRunState) -> &'static str {
    match state {
        PublicRunState::Running => "is running",
        PublicRunState::Waiting => "waits for a person",
        PublicRunState::Paused => "is paused",
        PublicRunState::Interrupted => "was interrupted",
        PublicRunState::Halted => "has halted",
        PublicRunState::Succeeded => "succeeded",
        PublicRunState::Failed => "failed",
        PublicRunState::Aborted => "was aborted",
    }
}

fn counts_in_words(view: &RunView) -> String {
    let c = &view.counts;
    let parts = [
        (c.succeeded, "succeeded"),
        (c.active, "under way"),
        (c.queued, "not started"),
        (c.failed, "failed"),
        (c.reverted, "reverted"),
        (c.skipped, "skipped"),
        (c.left_alone, "left alone"),
        (c.cancelled, "cancelled"),
    ];
    let parts: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let mut text = format!("{}: {}", counted(c.total as usize, "worker"), parts.join(", "));
    if c.failures > 0 {
        let _ = write!(text, "; failures: {}, allowed: {}", c.failures, c.failures_allowed);
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
        let took = worker.took().map_or_else(String::new, took_in_words);
        let line = format!(
            "  {}{pad}  {:<10}  {took:>8}  {}",
            worker.host,
            worker.state.describe(),
            details(worker)
        );
        let _ = writeln!(text, "{}", line.trim_end());
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
        let _ = writeln!(text, "  and {} that wait for other things", counted(more, "worker"));
    }
    if !shown.is_empty() || !waiting.is_empty() {
        text.push('\n');
    }
}

/// Why the queued ones wait, in their order, and who waits for the same.
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

fn details(worker: &WorkerView) -> String {
    let boots = match (&worker.boot_id_before, &worker.boot_id_after) {
        (Some(before), Some(after)) => {
            let (before, after) = words::short_boot_ids(before, after);
            format!("boot {before} -> {after}")
        }
        (Some(before), None) => format!("boot {}", words::short_boot_id(before)),
        _ => String::new(),
    };
    let step = match (&worker.step, worker.attempt) {
        (Some(step), Some(attempt)) if attempt > 1 => format!("{step}, try {attempt}"),
        (Some(step), _) => step.clone(),
        (None, _) => String::new(),
    };
    let waits = worker.waits_for.clone().unwrap_or_default();
    let parts = [step, waits, boots];
    parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("; ")
}

fn failures(text: &mut String, view: &RunView) {
    let failed = |worker: &&WorkerView| {
        !matches!(worker.state, PublicWorkerState::Queued | PublicWorkerState::Succeeded)
    };
    for worker in view.workers.iter().filter(failed) {
        let Some(error) = &worker.error else { continue };
        let at = worker.step.as_ref().map_or_else(String::new, |step| format!(" at step {step}"));
        let _ = writeln!(text, "{}{at}: {} [{}]", worker.host, words::one_line(&error.message), error.kind);
        if let Some(output) = &error.output {
            let lines: Vec<_> = output.lines().collect();
            for line in &lines[lines.len().saturating_sub(OUTPUT_LINES)..] {
                let _ = writeln!(text, "    | {}", words::one_line(line));
            }
        }
        let _ = writeln!(text, "    more: maand plan logs {} --worker {}", view.run, worker.host);
        text.push('\n');
    }
}

/// Who is left in `disabled.json`, with what puts it right: while the run is open its own verbs do,
/// afterwards only a person's edit and a deploy.
fn left_disabled(text: &mut String, view: &RunView) {
    if view.left_disabled.is_empty() || view.state == PublicRunState::Running {
        return;
    }
    let _ = writeln!(text, "Left disabled by this run in workspace/disabled.json:");
    for host in &view.left_disabled {
        let _ = writeln!(text, "  {host}");
    }
    let hosts = view.left_disabled.join(",");
    if view.state.is_final() {
        let _ = writeln!(
            text,
            "When a worker is well, remove its entries from workspace/disabled.json, then:\n  \
             maand build && maand deploy --workers {hosts} && maand health_check --workers {hosts} --wait"
        );
    } else if view.state == PublicRunState::Halted {
        let line = "`maand plan retry` goes on and enables them again; after `maand plan skip` they stay so.";
        let _ = writeln!(text, "{line}");
    } else {
        let _ =
            writeln!(text, "The run enables them again when it goes on:\n  maand plan resume {}", view.run);
    }
    text.push('\n');
}

fn next_steps(view: &RunView) -> Vec<String> {
    let run = &view.run;
    let failed = view.workers.iter().find(|worker| worker.state == PublicWorkerState::Failed);
    match view.state {
        PublicRunState::Interrupted | PublicRunState::Paused => {
            vec![format!("Go on with: maand plan resume {run}")]
        }
        PublicRunState::Waiting => {
            let mut lines = Vec::new();
            if !view.rollout.closed_gates().is_empty() {
                lines.push(format!("Approve with: maand plan approve {run}"));
            }
            if view.rollout.undecided().is_empty() {
                lines.push(format!("Then go on with: maand plan resume {run}"));
            } else {
                lines.push(format!(
                    "See whether it ran, and go on with: maand plan resume {run} --in-doubt done (or rerun, or skip)"
                ));
            }
            lines
        }
        PublicRunState::Halted => {
            let mut lines = Vec::new();
            if let Some(worker) = failed {
                let host = &worker.host;
                lines.push(format!(
                    "Put {host} right and go on at its failed step: maand plan retry {run} --worker {host}"
                ));
                lines.push(format!("Or go on without it: maand plan skip {run} --worker {host}"));
            }
            lines.push(format!("Then: maand plan resume {run}"));
            lines.push(format!("Or end it for good: maand plan abort {run}"));
            lines
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
    fn who_waits_for_the_same_is_said_in_one_line() {
        let (facts, mut view) = rolled_with(30, 10, some_fail);
        let half = facts.iter().position(|stamped| stamped.at > facts[0].at + 4_000).unwrap();
        for stamped in &facts[..half] {
            view.fold(stamped).unwrap();
        }
        let at = facts[half].at;
        view.refresh(at);
        let queued = view.counts.queued as usize;
        assert!(queued > 2, "too late for this test");
        let text = closing(at, &view);
        let lines: Vec<_> = text.lines().filter(|line| line.contains("places are taken")).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(lines[0].contains(&format!("and {} others  ", queued - 1)), "{text}");
    }
}
