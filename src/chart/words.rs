//! What is said in words above and below the drawing of a run.

use super::bands::sums;
use super::glyphs::Glyphs;
use super::lanes::Chosen;
use super::line::{Ink, Line};
use super::run::RunChart;
use super::scale::Scale;
use crate::engine::Millis;
use crate::plan::{counted, visible_line};
use crate::report::{RunView, Time, describe_span, wrapped};
use crate::timeline::describe_mark;

/// So many of the newest marks are told.
const EVENTS: usize = 10;
/// A run that takes longer has events with their dates.
const DAY: Millis = 86_400_000;

/// What, who, when, and what came of it.
pub(super) fn head(chart: &RunChart<'_>, width: usize, glyphs: Glyphs) -> Vec<Line> {
    let RunChart { view, timeline, .. } = chart;
    let (sign, ink) = glyphs.run(view.state);
    let title = Line::of(&format!("{sign} {}", view.state.as_str()), ink)
        .with(&format!("  {}", view.plan), Ink::Plain)
        .with(&format!("  {}", view.run), Ink::Dim);
    let lasted = describe_span(timeline.until.saturating_sub(timeline.began));
    let took = if view.finished_at.is_some() { "took" } else { "so far" };
    let started = Time(timeline.began).to_second();
    let mut lines = vec![title];
    let about = format!("started {started} by {}, {took} {lasted}; {}", chart.who, counts_of(view));
    lines.extend(text(&about, width, Ink::Plain));
    lines.extend(view.reason.iter().flat_map(|reason| text(reason, width, Ink::Warn)));
    lines.extend(view.waits_for.iter().flat_map(|wait| text(&format!("now: {wait}"), width, Ink::Plain)));
    lines
}

fn counts_of(view: &RunView) -> String {
    let counts = &view.counts;
    let all = [
        (counts.failed, "failed"),
        (counts.active, "under way"),
        (counts.queued, "queued"),
        (counts.succeeded, "succeeded"),
        (counts.reverted, "reverted"),
        (counts.skipped, "skipped"),
        (counts.left_alone, "left alone"),
        (counts.cancelled, "cancelled"),
    ];
    let parts: Vec<String> =
        all.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    format!("{}: {}", counted(counts.total as usize, "worker"), parts.join(", "))
}

/// A text in lines of this width.
fn text(text: &str, width: usize, ink: Ink) -> Vec<Line> {
    wrapped(&visible_line(text), width).lines().map(|line| Line::of(line, ink)).collect()
}

/// The numbers behind the rows.
pub(super) fn numbers(
    chart: &RunChart<'_>,
    chosen: &Chosen<'_>,
    scale: &Scale,
    width: usize,
    glyphs: Glyphs,
) -> Vec<Line> {
    let timeline = chart.timeline;
    let mut lines = Vec::new();
    if !chosen.others.is_empty() {
        let states = sums(chosen.others.iter().map(|track| (track.state, 1)));
        let states = states.iter().map(|(state, count)| {
            format!("{count} {}", state.map_or("queued", crate::engine::PublicWorkerState::describe))
        });
        let states = states.collect::<Vec<_>>().join(", ");
        let (more, others) = (glyphs.and_more(), chosen.others.len());
        lines.extend(text(
            &format!("{more} and {others} more: {states}; --all shows each"),
            width,
            Ink::Plain,
        ));
    }
    let down = &timeline.down;
    let most = down.all.most().filter(|(_, most)| *most > 0);
    let mut said = format!("down at once: at most {}", most.map_or(0, |(_, most)| most));
    said += &format!(" (allowed: {})", down.allowed);
    if let Some((at, _)) = most {
        said += &format!(", first at {}", Time(at).to_second());
    }
    lines.extend(text(&said, width, Ink::Plain));
    let waits = sums(timeline.waits.iter().map(|wait| (wait.kind, wait.to.saturating_sub(wait.from))));
    let waits = waits
        .iter()
        .map(|(kind, millis)| format!("{} {} {}", glyphs.wait(*kind), kind.as_str(), describe_span(*millis)));
    lines.extend(listed("the next in line waited for", waits.collect(), width));
    let holds = timeline
        .holds
        .iter()
        .map(|hold| (hold.kind, hold.to.unwrap_or(timeline.until).saturating_sub(hold.from)));
    let holds = sums(holds);
    let holds = holds.iter().map(|(kind, millis)| {
        format!("{} {} {}", glyphs.hold(*kind).0, kind.describe(), describe_span(*millis))
    });
    lines.extend(listed("nothing was begun", holds.collect(), width));
    let spans: Vec<String> = scale.left_out().map(describe_span).collect();
    if !spans.is_empty() {
        lines.extend(text(&left_out(&spans, glyphs), width, Ink::Plain));
    }
    lines
}

/// What was cut out of the time.
pub(super) fn left_out(spans: &[String], glyphs: Glyphs) -> String {
    format!("{} left out, nothing happened: {}", glyphs.cut(), spans.join(", "))
}

fn listed(what: &str, entries: Vec<String>, width: usize) -> Vec<Line> {
    if entries.is_empty() {
        return Vec::new();
    }
    text(&format!("{what}: {}", entries.join(", ")), width, Ink::Plain)
}

/// What happened to the run, the newest last.
pub(super) fn events(chart: &RunChart<'_>, width: usize, glyphs: Glyphs) -> Vec<Line> {
    let marks = &chart.timeline.marks;
    let (first, last) = chart.timeline.extent();
    let is_long = last.saturating_sub(first) >= DAY;
    let left_out = marks.len().saturating_sub(EVENTS);
    let mut lines = Vec::new();
    if left_out > 0 {
        lines.push(Line::of(&format!("{} {left_out} earlier events", glyphs.and_more()), Ink::Dim));
    }
    for mark in &marks[left_out..] {
        let at = Time(mark.at).to_second();
        let at = if is_long { at.as_str() } else { at.get(11..).unwrap_or("-") };
        let (sign, ink) = glyphs.mark(&mark.kind);
        let what = describe_mark(mark, chart.graph, chart.who);
        let wide = at.chars().count() + 3;
        for (number, line) in wrapped(&what, width.saturating_sub(wide)).lines().enumerate() {
            lines.push(match number {
                0 => Line::of(&format!("{at} "), Ink::Dim)
                    .with(&format!("{sign} "), ink)
                    .with(line, Ink::Plain),
                _ => Line::of(&format!("{:wide$}{line}", ""), Ink::Plain),
            });
        }
    }
    lines
}
