//! The report at the end: each worker with its time and boot ids, failures with their last lines of
//! output, which workers are left disabled, and what an operator can do next.

use std::collections::HashMap;
use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use crate::engine::{AttemptId, Millis};
use crate::graph::Lane;
use crate::plan::{StepKind, counted};

use super::silence::SilenceView;
use super::view::{ErrorView, RunView, WorkerView};
use super::wrap::wrapped;
use super::{Hint, Suggestion, describe_elapsed, describe_span, text};
use crate::engine::{HaltReason, PublicRunState, PublicWorkerState, RunStatus};

/// Of more workers than this those that ended well are one line: a terminal has 24.
const EACH: usize = 12;
/// Of more workers than that which did not end well, or have not ended, this many are listed.
const EACH_OF_MANY: usize = 3;
/// Of workers on which the same went wrong, and of those that are left disabled, this many are named.
const NAMED_TOGETHER: usize = 5;
/// At most this many different reasons to wait are shown.
const REASONS: usize = 5;
/// At most this many lines of a failed step's output are shown; the journal has the rest.
const OUTPUT_LINES: usize = 10;
/// Lists of workers are broken at this column, also where no terminal says how wide it is.
const COLUMNS: usize = 78;
/// At most this many workers are named in a command, or beside what went wrong with them.
const NAMED: usize = 4;

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
    if let Some(waits) = &view.waits_for {
        let _ = writeln!(text, "Now: {waits}.");
    }
    if let Some(undelivered) = describe_undelivered(view) {
        let _ = writeln!(text, "{undelivered}.");
    }
    if let Some(hint) = hint {
        for step in next_steps(view, hint) {
            let _ = writeln!(text, "{step}");
        }
    }
    text
}

/// Which notices were not delivered, in one line.
pub fn describe_undelivered(view: &RunView) -> Option<String> {
    let first = view.undelivered_notices.first()?;
    let n = view.undelivered_notices.len();
    let (verb, more) = if n == 1 { ("was", "") } else { ("were", ", and others") };
    Some(format!(
        "{} {verb} not delivered (`{}` to {}: {}{more})",
        counted(n, "notice"),
        first.event,
        first.target,
        first.why
    ))
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
        (c.queued, if view.state.is_final() { "never started" } else { "queued" }),
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
    let started = view.workers.iter().filter(|worker| worker.state != PublicWorkerState::Queued);
    let (well, mut shown): (Vec<_>, Vec<_>) = started.partition(|worker| {
        let is_as_meant = worker.unplanned_boots.is_empty() && worker.kernel_notice().is_none();
        let is_well = worker.state == PublicWorkerState::Succeeded && is_as_meant;
        is_well && view.workers.len() > EACH
    });
    let more = if shown.len() > EACH { shown.split_off(EACH_OF_MANY) } else { Vec::new() };
    let width = shown.iter().map(|worker| worker.host.width()).max().unwrap_or(0);
    for worker in &shown {
        let pad = " ".repeat(width - worker.host.width());
        let took = worker.took().map_or_else(String::new, describe_elapsed);
        let line = format!(
            "  {}{pad}  {:<10}  {took:>8}  {}",
            worker.host,
            describe_worker(worker),
            details(worker, view)
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if !more.is_empty() {
        let _ = writeln!(text, "  and {}", describe_states(more.iter().map(|worker| worker.state)));
    }
    let times = well.iter().filter_map(|worker| worker.took());
    if let (Some(least), Some(most)) = (times.clone().min(), times.max()) {
        let (least, most) = (describe_elapsed(least), describe_elapsed(most));
        let again = match well.iter().filter(|worker| worker.retries > 0).count() {
            0 => String::new(),
            again => format!("; {again} of them had failed before"),
        };
        let _ =
            writeln!(text, "  {} succeeded, each in {least} to {most}{again}", counted(well.len(), "worker"));
    }
    if shown.iter().any(|worker| worker.state == PublicWorkerState::Held) {
        text.push_str("  (held: stopped between two steps; it continues when the run does)\n");
    }
    // Where the run as a whole stands still, the reason is said once, below.
    let still = view.stands_still().is_some() || view.state.is_final();
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
    if !shown.is_empty() || !well.is_empty() || !waiting.is_empty() {
        text.push('\n');
    }
}

fn describe_worker(worker: &WorkerView) -> &'static str {
    match worker.state {
        PublicWorkerState::Running if worker.preparing => "preparing",
        state => state.describe(),
    }
}

/// `3 others running, 24 others failed`.
fn describe_states(states: impl Iterator<Item = PublicWorkerState>) -> String {
    let mut counts: Vec<(PublicWorkerState, usize)> = Vec::new();
    for state in states {
        match counts.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    let each =
        counts.iter().map(|(state, count)| format!("{} {}", counted(*count, "other"), state.describe()));
    each.collect::<Vec<_>>().join(", ")
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
    // That it is held stands before, and why below.
    let held = worker.state == PublicWorkerState::Held;
    let waits = worker.waits_for.clone().filter(|_| !held).unwrap_or_default();
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
    let retries = match worker.retries {
        0 => String::new(),
        1 => "had failed, and was retried".to_owned(),
        times => format!("had failed, and was retried {times} times"),
    };
    // The error of one that failed by it says it below.
    let kernel = worker.kernel_notice().filter(|_| worker.state != PublicWorkerState::Failed);
    let silence = worker.silence.as_ref().filter(|silence| silence.silence == "failed");
    let silence = silence.map(SilenceView::describe).unwrap_or_default();
    let parts = [step, waits, boots, kernel.unwrap_or_default(), unplanned, retries, silence];
    parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("; ")
}

/// `w1, w2, w3`, or some of them and how many others.
fn named(hosts: &[&str]) -> String {
    let mut text = hosts[..hosts.len().min(NAMED_TOGETHER)].join(", ");
    if hosts.len() > NAMED_TOGETHER {
        let _ = write!(text, " and {}", counted(hosts.len() - NAMED_TOGETHER, "other"));
    }
    text
}

/// What went wrong, once for all workers on which the same did.
fn failures(text: &mut String, view: &RunView, hint: Option<Hint>) {
    let failed = |worker: &&WorkerView| {
        !matches!(worker.state, PublicWorkerState::Queued | PublicWorkerState::Succeeded)
    };
    let mut alike: Vec<(&WorkerView, &ErrorView, Vec<&str>)> = Vec::new();
    let mut known: HashMap<[String; 4], usize> = HashMap::new();
    for worker in view.workers.iter().filter(failed) {
        let Some(error) = &worker.error else { continue };
        // Messages name their worker.
        let general = |text: &str| text.replace(&worker.host, "{host}");
        let key = [
            worker.step.clone().unwrap_or_default(),
            error.kind.clone(),
            general(&error.message),
            general(error.output.as_deref().unwrap_or_default()),
        ];
        match known.get(&key) {
            Some(at) => alike[*at].2.push(&worker.host),
            None => {
                known.insert(key, alike.len());
                alike.push((worker, error, vec![&worker.host]));
            }
        }
    }
    for (worker, error, hosts) in &alike {
        let at = worker.step.as_ref().map_or_else(String::new, |step| match worker.failed_to_prepare {
            true => format!(
                " failed to prepare, at step {step}, and {} not touched",
                if hosts.len() > 1 { "were" } else { "was" }
            ),
            false => format!(" at step {step}"),
        });
        let who = named(hosts);
        let line = format!("{who}{at}: {} [{}]", text::one_line(&error.message), error.kind);
        let _ = writeln!(text, "{}", if hosts.len() > 1 { wrapped(&line, COLUMNS) } else { line });
        if let Some(output) = &error.output {
            let lines: Vec<_> = output.lines().collect();
            for line in &lines[lines.len().saturating_sub(OUTPUT_LINES)..] {
                let _ = writeln!(text, "    | {}", text::one_line(line));
            }
        }
        if let Some(hint) = hint {
            let suggestion = Suggestion::ReadLogs { run: view.typed_name(), host: &worker.host };
            let _ = writeln!(text, "    {}", hint(&suggestion).replace('\n', "\n    "));
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
    let hosts: Vec<&str> = view.left_disabled.iter().map(String::as_str).collect();
    let _ = writeln!(text, "{}", wrapped(&format!("  {}", named(&hosts)), COLUMNS));
    if let Some(hint) = hint {
        let run = view.typed_name();
        let left = view.run_state.left_disabled().into_iter();
        let by_hand: Vec<&str> =
            left.filter(|at| !view.is_retryable(*at)).map(|at| view.graph().host(at)).collect();
        if !view.state.is_final() && view.counts.failed == 0 {
            let _ = writeln!(text, "{}", hint(&Suggestion::ResumeToEnable { run }));
        } else if view.state.is_final() && !by_hand.is_empty() {
            let _ = writeln!(text, "{}", hint(&Suggestion::EnableByHand { hosts: &by_hand }));
        }
    }
    text.push('\n');
}

/// What an operator can do next about the run as a whole, said in the order in which it is done.
pub fn next_steps(view: &RunView, hint: Hint) -> Vec<String> {
    let mut steps = steps_of_run(view, hint);
    // Whoever carries it out still tries them itself.
    if !view.undelivered_notices.is_empty() && view.state != PublicRunState::Running {
        steps.push(hint(&Suggestion::Resend { run: view.typed_name() }));
    }
    steps
}

fn steps_of_run(view: &RunView, hint: Hint) -> Vec<String> {
    let run = view.typed_name();
    let failed = (view.graph().target_indices())
        .filter(|at| view.worker(*at).state == PublicWorkerState::Failed && view.is_retryable(*at))
        .count();
    let retry = Suggestion::Retry { run, workers: failed as u32 };
    let has_failed = failed > 0;
    let of_workers = !matches!(
        view.run_state.status(),
        RunStatus::Halted(HaltReason::LaneFailed { .. } | HaltReason::GateFailed { .. })
    );
    let steps = match view.state {
        PublicRunState::Interrupted | PublicRunState::Paused => vec![Suggestion::Resume { run }],
        PublicRunState::Waiting => {
            let gates = !view.run_state.closed_gates().is_empty();
            let approve = gates.then_some(Suggestion::Approve { run });
            let undecided = view.run_state.undecided();
            if !undecided.is_empty() {
                let host = |(_, lane): &(AttemptId, Lane)| match lane {
                    Lane::Worker(target) => Some(view.graph().host(*target)),
                    Lane::Before | Lane::After => None,
                };
                let hosts: Option<Vec<&str>> = undecided.iter().map(host).collect();
                let hosts = hosts.filter(|hosts| hosts.len() <= NAMED).unwrap_or_default();
                let resolve = Suggestion::ResolveInDoubt { run, hosts: &hosts };
                return approve.iter().chain([&resolve]).map(hint).collect();
            }
            approve.into_iter().chain([Suggestion::ThenResume { run }]).collect()
        }
        PublicRunState::Halted if has_failed && of_workers && !may_unhalt(view) => {
            vec![retry, Suggestion::Skip { run }, Suggestion::Abort { run }]
        }
        PublicRunState::Halted if view.counts.failed > 0 && of_workers && !may_unhalt(view) => {
            vec![Suggestion::Skip { run }, Suggestion::Abort { run }]
        }
        // What was reverted counts, and nobody can take it up.
        PublicRunState::Halted if of_workers && !may_unhalt(view) && view.counts.reverted > 0 => {
            vec![Suggestion::Abort { run }]
        }
        PublicRunState::Halted => vec![Suggestion::Resume { run }, Suggestion::Abort { run }],
        PublicRunState::Failed if has_failed => vec![retry],
        PublicRunState::Failed => {
            let left = view.run_state.left_disabled().into_iter().filter(|at| view.is_retryable(*at));
            let hosts: Vec<&str> = left.map(|at| view.graph().host(at)).collect();
            let skipped = (!hosts.is_empty()).then_some(Suggestion::RetrySkipped { run, hosts: &hosts });
            return skipped.iter().map(hint).collect();
        }
        PublicRunState::Running | PublicRunState::Succeeded | PublicRunState::Aborted => Vec::new(),
    };
    steps.iter().map(hint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{AttemptSpec, ErrorKind, Intent, Outcome, StepError};
    use crate::report::testing::{rolled_with, some_fail};

    #[test]
    fn the_report_of_many_workers_fits_a_terminal_of_24_lines() {
        for (workers, k) in [(3, 1), (30, 10), (300, 100)] {
            let (facts, mut view) = rolled_with(workers, k, |_| None);
            facts.iter().for_each(|stamped| view.fold(stamped).unwrap());
            let at = facts.last().unwrap().at;
            view.refresh(at);
            let text = closing(at, &view, None);
            assert!(text.lines().count() < 24, "{text}");
            assert_eq!(text.contains("workers succeeded, each in "), workers > EACH, "{text}");
            assert!(text.contains(&format!("{workers} workers: {workers} succeeded")), "{text}");
        }
    }

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

    #[test]
    fn what_went_wrong_alike_on_many_workers_is_said_once_and_fits_a_screen() {
        let waits = |spec: &AttemptSpec| matches!(spec.intent, Intent::AwaitBoot { .. });
        let fails = |spec: &AttemptSpec| {
            let Lane::Worker(target) = spec.lane else { return None };
            let message = format!("w{} has not come back within 5m", target.0 + 1);
            let error = StepError::new(ErrorKind::TimedOut, message);
            waits(spec).then_some(Outcome::Failed { error })
        };
        let (facts, mut view) = rolled_with(300, 300, fails);
        facts.iter().for_each(|stamped| view.fold(stamped).unwrap());
        view.refresh(facts.last().unwrap().at);
        assert_eq!(view.counts.failed, 300);
        let mut text = String::new();
        failures(&mut text, &view, None);
        let blank = text.replace("\n  ", " ");
        assert!(
            blank.starts_with("w1, w2, w3, ") && blank.contains(", w5 and 295 others at step "),
            "{text}"
        );
        assert!(blank.ends_with(": w1 has not come back within 5m [timed_out]\n\n"), "{text}");
        let text = closing(facts.last().unwrap().at, &view, Some(|_| "what to do:\n  maand".to_owned()));
        assert!(text.lines().count() < 24 && text.contains("and 297 others failed"), "{text}");
    }
}
