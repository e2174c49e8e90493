//! The rows of the live view, computed: what fits into a terminal of this size, most urgent first.

use std::cmp::Reverse;

use unicode_width::UnicodeWidthStr;

use crate::engine::{Millis, PublicRunState, PublicWorkerState};
use crate::graph::TargetIx;
use crate::plan::{Step, counted};

use super::outlook::{Left, Outlook, is_overdue};
use super::phase::describe_phase;
use super::row::{Row, Style, padded};
use super::view::{RunView, WorkerView};
use super::{describe_span, text};

/// At most this many failures stand on top.
const FAILURES: usize = 5;
/// More active workers than this are counted by step, and only those to look at are listed.
const EACH: usize = 12;
/// So many are listed then.
const LOOKED_AT: usize = 8;
/// The bar has at most this many columns.
const BAR: usize = 40;
/// Narrower terminals show one time for each worker.
const WIDE: usize = 60;
/// What was asked for at a key lists at most this many workers.
const STATUS: usize = 100;

/// The rows for a terminal of `width` columns and `height` lines: at least one and at most `height` rows. No row is
/// wider than `width`.
pub(super) fn rows(
    at: Millis,
    view: &RunView,
    outlook: Option<&Outlook>,
    width: usize,
    height: usize,
) -> Vec<Row> {
    let room = height.max(1) - 1;
    let mut top = failed(view, room / 3);
    let mut bottom = Vec::new();
    if room > top.len() + 2
        && let Some(row) = waiting(view)
    {
        bottom.push(row);
    }
    top.extend(active(at, view, outlook, width, room.saturating_sub(top.len() + bottom.len())));
    top.extend(bottom);
    top.push(bar(at, view, outlook, width));
    top.into_iter().map(|row| row.cut(width)).collect()
}

/// Where every worker stands that was started and has not ended, and the run as a whole: what a key asks for.
pub(super) fn status(at: Millis, view: &RunView, outlook: Option<&Outlook>, width: usize) -> Vec<Row> {
    let mut rows = failed(view, FAILURES);
    let all: Vec<_> = active_targets(view);
    let listed = &all[..all.len().min(STATUS)];
    rows.extend(listed_rows(at, view, outlook, listed, width));
    if all.len() > listed.len() {
        rows.push(Row::new(&format!("  and {} more", all.len() - listed.len()), Style::Plain));
    }
    rows.extend(waiting(view));
    let c = &view.counts;
    let counts = format!(
        "{}: {} succeeded, {} under way, {} queued, {} failed; started {}",
        counted(c.total as usize, "worker"),
        c.succeeded,
        c.active,
        c.queued,
        c.failed,
        view.started_at.to_second()
    );
    rows.push(Row::new(&counts, Style::Plain));
    rows
}

fn failed(view: &RunView, room: usize) -> Vec<Row> {
    let failed: Vec<_> =
        view.workers.iter().filter(|worker| worker.state == PublicWorkerState::Failed).collect();
    let shown = failed.len().min(FAILURES).min(room);
    let row = |worker: &&WorkerView| {
        let error = worker.error.as_ref().map_or("failed", |error| error.message.as_str());
        let step = worker.step.as_deref().unwrap_or("preflight");
        Row::new(&format!("FAILED {}  {step}: {}", worker.host, text::one_line(error)), Style::Bad)
    };
    let mut rows: Vec<Row> = failed[..shown].iter().map(row).collect();
    if failed.len() > shown && shown > 0 {
        rows.push(Row::new(&format!("       and {} more failed", failed.len() - shown), Style::Bad));
    }
    rows
}

fn active_targets(view: &RunView) -> Vec<TargetIx> {
    let is_active = |target: &TargetIx| view.worker(*target).state.is_active();
    view.graph().target_indices().filter(is_active).collect()
}

fn active(at: Millis, view: &RunView, outlook: Option<&Outlook>, width: usize, room: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = view.once().map(|once| once_row(at, view, &once)).into_iter().collect();
    rows.truncate(room);
    let mut active = active_targets(view);
    let room = room - rows.len();
    if active.len() <= EACH.min(room) {
        rows.extend(listed_rows(at, view, outlook, &active, width));
        return rows;
    }
    let by_step = by_step(at, view, &active);
    let counts = by_step.len().min(room.saturating_sub(1));
    rows.extend(by_step.into_iter().take(counts));
    let listed = LOOKED_AT.min(room - counts).min(active.len());
    active.sort_by_key(|target| Reverse(urgency(at, view, outlook, *target)));
    rows.extend(listed_rows(at, view, outlook, &active[..listed], width));
    rows
}

/// In doubt first, then retrying, waiting and late ones, then whoever has been at its step for longest.
fn urgency(at: Millis, view: &RunView, outlook: Option<&Outlook>, target: TargetIx) -> (u8, Millis) {
    let worker = view.worker(target);
    let rank = match worker.state {
        PublicWorkerState::InDoubt => 4,
        PublicWorkerState::Retrying | PublicWorkerState::Reverting => 3,
        _ if worker.attempt > Some(1) => 3,
        PublicWorkerState::Waiting => 2,
        _ if is_late(at, view, outlook, worker) => 1,
        _ => 0,
    };
    (rank, in_step(at, worker))
}

/// How many workers are at each step, in the order of the plan.
fn by_step(at: Millis, view: &RunView, active: &[TargetIx]) -> Vec<Row> {
    let mut rows = Vec::new();
    for step in &view.graph().plan.steps {
        let here = active.iter().map(|target| view.worker(*target));
        let here: Vec<_> = here.filter(|worker| worker.step.as_ref() == Some(&step.id)).collect();
        if let Some(longest) = here.iter().max_by_key(|worker| in_step(at, worker)) {
            let span = describe_span(in_step(at, longest));
            let text = format!("{:>5} at {}, the longest for {span}", here.len(), step.id);
            rows.push(Row::new(&text, Style::Plain));
        }
    }
    rows
}

fn listed_rows(
    at: Millis,
    view: &RunView,
    outlook: Option<&Outlook>,
    targets: &[TargetIx],
    width: usize,
) -> Vec<Row> {
    let workers = || targets.iter().map(|target| view.worker(*target));
    let hosts = workers().map(|worker| worker.host.width()).max().unwrap_or(0).min(width / 3);
    let steps = workers().map(|worker| step_of(worker).width()).max().unwrap_or(0).min(width / 3);
    let row = |target: &TargetIx| {
        let worker = view.worker(*target);
        let mut times = describe_span(in_step(at, worker));
        if width >= WIDE
            && let Some(since) = worker.started_at
        {
            times = format!("{times:>7} of {:<7}", describe_span(at - since.0));
        } else {
            times = format!("{times:>7}");
        }
        let (what, style) = what(at, view, outlook, *target);
        let line = format!(
            "  {}  {}/{} {}  {times}  {what}",
            padded(&worker.host, hosts),
            worker.steps_done,
            worker.steps,
            padded(&step_of(worker), steps)
        );
        Row::new(line.trim_end(), style)
    };
    targets.iter().map(row).collect()
}

fn step_of(worker: &WorkerView) -> String {
    match (&worker.step, worker.attempt) {
        (Some(step), Some(attempt)) if attempt > 1 => format!("{step} (attempt {attempt})"),
        (Some(step), _) => step.clone(),
        (None, _) => "starts".to_owned(),
    }
}

fn in_step(at: Millis, worker: &WorkerView) -> Millis {
    worker.step_since.or(worker.started_at).map_or(0, |since| at - since.0)
}

fn plan_step<'a>(view: &'a RunView, worker: &WorkerView) -> Option<&'a Step> {
    view.graph().plan.steps.iter().find(|step| worker.step.as_ref() == Some(&step.id))
}

fn is_late(at: Millis, view: &RunView, outlook: Option<&Outlook>, worker: &WorkerView) -> bool {
    let usual = plan_step(view, worker).and_then(|step| outlook?.usual(step));
    usual.is_some_and(|usual| is_overdue(in_step(at, worker), usual))
}

/// What a worker is doing, beyond the name of its step.
fn what(at: Millis, view: &RunView, outlook: Option<&Outlook>, target: TargetIx) -> (String, Style) {
    let worker = view.worker(target);
    if let Some(waits) = &worker.waits_for {
        let style = match worker.state {
            PublicWorkerState::Held => Style::Plain,
            _ => Style::Warn,
        };
        let doubt = if worker.state == PublicWorkerState::InDoubt { "in doubt: " } else { "" };
        return (format!("{doubt}{}", text::one_line(waits)), style);
    }
    let usual = plan_step(view, worker).and_then(|step| outlook?.usual(step));
    let late = usual.filter(|usual| is_overdue(in_step(at, worker), *usual));
    let late_text =
        late.map_or_else(String::new, |usual| format!("longer than usual ({})", describe_span(usual)));
    let join = |first: String, then: &str| match (first.is_empty(), then.is_empty()) {
        (false, false) => format!("{first}; {then}"),
        _ => first + then,
    };
    let calm = if late.is_some() { Style::Warn } else { Style::Plain };
    match (worker.state, view.phase(target, at), &worker.error) {
        (PublicWorkerState::Running, Some(phase), _) => {
            let boot = outlook.and_then(|outlook| outlook.usual.get("boot")).copied();
            (join(describe_phase(at, phase, boot), &late_text), calm)
        }
        (PublicWorkerState::Running, None, None) => (late_text, calm),
        (PublicWorkerState::Running, None, Some(error)) => {
            (format!("last attempt: {}", text::one_line(&error.message)), Style::Warn)
        }
        (state, _, Some(error)) => {
            (format!("{}: {}", state.describe(), text::one_line(&error.message)), Style::Warn)
        }
        (state, _, None) => (state.describe().to_owned(), Style::Warn),
    }
}

/// A step of `before` or `after` that is under way.
fn once_row(at: Millis, view: &RunView, once: &super::view::Once) -> Row {
    let step = text::step_of(view.graph(), once.lane, once.step);
    let attempt = if once.attempt > 1 { format!(" (attempt {})", once.attempt) } else { String::new() };
    Row::new(&format!("  {step}{attempt}  {}", describe_span(at - once.since)), Style::Plain)
}

fn waiting(view: &RunView) -> Option<Row> {
    if let (PublicRunState::Paused | PublicRunState::Halted | PublicRunState::Waiting, Some(reason)) =
        (view.state, &view.reason)
    {
        let line = format!("{}: {}", view.state.as_str(), text::one_line(reason));
        return Some(Row::new(&line, Style::Warn));
    }
    if let Some(waits) = &view.waits_for {
        return Some(Row::new(waits, Style::Plain));
    }
    if view.is_paused() {
        return Some(Row::new("paused: no further worker is started; p continues", Style::Warn));
    }
    let queued = view.counts.queued;
    let first = view.workers.iter().find(|worker| worker.state == PublicWorkerState::Queued)?;
    let why = first.waits_for.as_ref().map_or_else(String::new, |waits| format!("; {} {waits}", first.host));
    Some(Row::new(&format!("{queued} queued{why}"), Style::Dim))
}

/// `[######......] 3/12  wave 1/3  1 failed  2m5s  about 6m left`
fn bar(at: Millis, view: &RunView, outlook: Option<&Outlook>, width: usize) -> Row {
    let counts = &view.counts;
    let mut text = format!(" {}/{}", counts.ended(), counts.total);
    if view.waves > 1
        && let Some(wave) = view.wave
    {
        text += &format!("  wave {wave}/{}", view.waves);
    }
    if counts.failures > 0 {
        text += &format!("  {} failed (max_failures: {})", counts.failures, counts.failures_allowed);
    }
    text += &format!("  {}", describe_span(view.finished_at.map_or(at, |end| end.0) - view.started_at.0));
    let runs = view.state == PublicRunState::Running && !view.is_paused();
    let left = outlook.filter(|_| runs).and_then(|outlook| outlook.left(at, view));
    match left {
        Some(Left::About(left)) if left > 0 => text += &format!("  about {} left", describe_span(left)),
        Some(Left::Overdue) => text += "  longer than usual",
        _ => {}
    }
    let style = match left {
        _ if counts.failures > 0 => Style::Bad,
        Some(Left::Overdue) => Style::Warn,
        _ if !runs && !view.state.is_final() => Style::Warn,
        _ => Style::Good,
    };
    let room = width.saturating_sub(text.width() + 2).min(BAR);
    if room < 4 {
        return Row::new(text.trim_start(), style);
    }
    let (done, of) = view.progress();
    let filled = (room as u64 * done / of.max(1)) as usize;
    Row::new(&format!("[{}{}]{text}", "#".repeat(filled), ".".repeat(room - filled)), style)
}

#[cfg(test)]
mod tests;
