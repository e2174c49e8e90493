//! The rows of the live view, computed: what fits into a terminal of this size, most urgent first.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::engine::Millis;

use super::view::{RunView, WorkerView};
use super::{describe_span, text};
use crate::engine::{PublicRunState, PublicWorkerState};

/// At most this many failures stand on top.
const FAILURES: usize = 5;
/// The bar has at most this many columns.
const BAR: usize = 40;

/// The rows for a terminal of `width` columns and `height` lines: at least one and at most `height` rows. No row is
/// wider than `width`. With `color` failures are red and the bar is green (ANSI).
pub fn rows(at: Millis, view: &RunView, width: usize, height: usize, color: bool) -> Vec<String> {
    let paint = |row: String, code: &str| {
        if color { format!("\x1b[{code}m{row}\x1b[0m") } else { row }
    };
    let room = height.max(1) - 1;
    let mut top = Vec::new();
    let failed: Vec<_> =
        view.workers.iter().filter(|worker| worker.state == PublicWorkerState::Failed).collect();
    let shown = failed.len().min(FAILURES).min(room / 3);
    for worker in &failed[..shown] {
        let error = worker.error.as_ref().map_or("failed", |error| error.message.as_str());
        let step = worker.step.as_deref().unwrap_or("preflight");
        let row = format!("FAILED {}  {step}: {}", worker.host, text::one_line(error));
        top.push(paint(cut(&row, width), "31"));
    }
    if failed.len() > shown && shown > 0 {
        top.push(paint(cut(&format!("       and {} more failed", failed.len() - shown), width), "31"));
    }
    let mut bottom = Vec::new();
    if room > top.len() + 2
        && let Some(row) = waiting(view)
    {
        bottom.push(paint(cut(&row, width), "2"));
    }
    let active: Vec<_> = view.workers.iter().filter(|worker| worker.state.is_active()).collect();
    let room = room.saturating_sub(top.len() + bottom.len());
    let (shown, more) =
        if active.len() <= room { (active.len(), false) } else { (room.saturating_sub(1), room > 0) };
    let hosts = active[..shown].iter().map(|worker| worker.host.width()).max().unwrap_or(0).min(width / 3);
    let steps =
        active[..shown].iter().map(|worker| step_of(worker).width()).max().unwrap_or(0).min(width / 3);
    for worker in &active[..shown] {
        top.push(cut(&active_row(at, worker, hosts, steps), width));
    }
    if more {
        top.push(cut(&format!("  and {} more active", active.len() - shown), width));
    }
    top.extend(bottom);
    top.push(paint(bar(at, view, width), "32"));
    top
}

fn step_of(worker: &WorkerView) -> String {
    match (&worker.step, worker.attempt) {
        (Some(step), Some(attempt)) if attempt > 1 => format!("{step} (attempt {attempt})"),
        (Some(step), _) => step.clone(),
        (None, _) => "starts".to_owned(),
    }
}

fn active_row(at: Millis, worker: &WorkerView, hosts: usize, steps: usize) -> String {
    let span = worker.step_since.or(worker.started_at).map_or(0, |since| at - since.0);
    let span = describe_span(span);
    let what = match (worker.state, &worker.waits_for, &worker.error) {
        (PublicWorkerState::Running, _, None) => String::new(),
        (PublicWorkerState::Running, _, Some(error)) => {
            format!("last attempt: {}", text::one_line(&error.message))
        }
        (state, Some(waits), _) => format!("{} {}", state.describe(), text::one_line(waits)),
        (state, None, Some(error)) => format!("{}: {}", state.describe(), text::one_line(&error.message)),
        (state, None, None) => state.describe().to_owned(),
    };
    let row =
        format!("  {}  {}  {span:>7}  {what}", padded(&worker.host, hosts), padded(&step_of(worker), steps));
    row.trim_end().to_owned()
}

fn waiting(view: &RunView) -> Option<String> {
    if let (PublicRunState::Paused | PublicRunState::Halted | PublicRunState::Waiting, Some(reason)) =
        (view.state, &view.reason)
    {
        return Some(format!("{}: {}", view.state.as_str(), text::one_line(reason)));
    }
    let queued = view.counts.queued;
    let first = view.workers.iter().find(|worker| worker.state == PublicWorkerState::Queued)?;
    let why = first.waits_for.as_ref().map_or_else(String::new, |waits| format!("; {} {waits}", first.host));
    Some(format!("{queued} queued{}", text::one_line(&why)))
}

/// `[######......] 3/12  wave 1/3  1 failed  2m5s  about 6m left`
fn bar(at: Millis, view: &RunView, width: usize) -> String {
    let counts = &view.counts;
    let (ended, total) = (counts.ended(), counts.total.max(1));
    let mut text = format!(" {ended}/{}", counts.total);
    if view.waves > 1
        && let Some(wave) = view.wave
    {
        text += &format!("  wave {wave}/{}", view.waves);
    }
    if counts.failures > 0 {
        text += &format!("  {} failed (max_failures: {})", counts.failures, counts.failures_allowed);
    }
    text += &format!("  {}", describe_span(view.finished_at.map_or(at, |end| end.0) - view.started_at.0));
    if let Some(left) = estimate(at, view) {
        text += &format!("  about {} left", describe_span(left));
    }
    let room = width.saturating_sub(text.width() + 2).min(BAR);
    if room < 4 {
        return cut(text.trim_start(), width);
    }
    let filled = (room as u64 * u64::from(ended) / u64::from(total)) as usize;
    format!("[{}{}]{text}", "#".repeat(filled), ".".repeat(room - filled))
}

/// Milliseconds that are left, by how fast workers ended until now.
fn estimate(at: Millis, view: &RunView) -> Option<Millis> {
    let counts = &view.counts;
    let left = Millis::from(counts.queued + counts.active);
    if left == 0 || view.state != PublicRunState::Running || counts.succeeded == 0 {
        return None;
    }
    let first = view.workers.iter().filter_map(|worker| worker.started_at).min()?;
    let done = view.workers.iter().filter(|worker| worker.state == PublicWorkerState::Succeeded);
    let last = done.filter_map(|worker| worker.finished_at).max()?;
    let each = (last.0 - first.0).max(0) / Millis::from(counts.succeeded);
    // What has passed since the last one ended counts as done, up to one worker's time.
    Some((each * left - (at - last.0).clamp(0, each)).max(0))
}

/// Cut to `width` columns, with an ellipsis where something was cut.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if used + columns + 1 > width {
            break;
        }
        used += columns;
        kept.push(c);
    }
    if width > 0 {
        kept.push('…');
    }
    kept
}

fn padded(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let pad = width.saturating_sub(text.width());
    text + &" ".repeat(pad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{rolled, rolled_with, some_fail};

    /// The view in the middle of a run of `workers` workers, `k` at a time.
    fn middle(workers: usize, k: u64) -> (Millis, RunView) {
        let (facts, mut view) = rolled_with(workers, k, some_fail);
        let half = facts.len() / 2;
        for stamped in &facts[..half] {
            view.fold(stamped).unwrap();
        }
        let at = facts[half - 1].at;
        view.refresh(at);
        (at, view)
    }

    #[test]
    fn rows_fit_every_terminal() {
        for (workers, k) in [(1, 1), (3, 1), (12, 5), (300, 100)] {
            let (at, view) = middle(workers, k);
            for width in [1, 2, 10, 39, 79, 119, 199] {
                for height in [1, 2, 3, 5, 10, 23, 60] {
                    let rows = rows(at, &view, width, height, false);
                    assert!(!rows.is_empty() && rows.len() <= height, "{} rows of {height}", rows.len());
                    for row in &rows {
                        assert!(row.width() <= width, "{} columns of {width}: {row}", row.width());
                    }
                }
            }
        }
    }

    #[test]
    fn three_workers_at_80_columns() {
        let (at, view) = middle(3, 1);
        insta::assert_snapshot!(rows(at, &view, 79, 20, false).join("\n"));
    }

    #[test]
    fn three_hundred_workers_at_80_columns() {
        let (at, view) = middle(300, 100);
        insta::assert_snapshot!(rows(at, &view, 79, 12, false).join("\n"));
    }

    #[test]
    fn wide_characters_count_double() {
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(padded("日本", 6), "日本  ");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn finished_runs_have_a_full_bar_and_no_estimate() {
        let (facts, mut view) = rolled(4, |_| None);
        for stamped in &facts {
            view.fold(stamped).unwrap();
        }
        let at = facts.last().unwrap().at;
        view.refresh(at);
        let rows = rows(at + 60_000, &view, 79, 20, false);
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert!(rows[0].starts_with(&format!("[{}]", "#".repeat(BAR))), "{rows:?}");
        assert!(!rows[0].contains("left"), "{rows:?}");
    }
}
