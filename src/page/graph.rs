//! A plan as a graph: its steps from above to below, what waits for what, and where all workers wait for each other. The
//! steps of the workers are drawn once, for all of them.

mod layout;
#[cfg(test)]
mod tests;

use maud::{Markup, html};

use self::layout::{BOX, Layout, layout};
use super::axis::number;
use super::signs::{patterns, step_class};
use super::steps::Durations;
use super::words::{name, shortened};
use crate::graph::RolloutGraph;
use crate::plan::{OnStepFailure, Step, StepKind, counted, duration};

/// Around and between the parts.
const PAD: f64 = 20.0;
/// Height of a part's title.
const TITLE: f64 = 22.0;
/// Height of a line in a bar at which workers wait for each other.
const LINE: f64 = 16.0;
/// The narrowest picture: titles have to fit.
const NARROWEST: f64 = 560.0;
/// Of more waves than this the sizes of the others are left out.
const WAVES: usize = 6;
/// Room for the way back to the next wave.
const BACK: f64 = 34.0;

/// The graph of a compiled plan, as a picture and in words.
pub fn plan_graph(graph: &RolloutGraph) -> Markup {
    html! { (patterns()) (with_counts(graph, None)) }
}

/// One below the other.
enum Part<'a> {
    Steps { title: String, steps: &'a [Step], layout: Layout, of: Option<&'a [Durations]> },
    Barrier { lines: Vec<String>, is_end: bool },
}

impl Part<'_> {
    fn height(&self) -> f64 {
        match self {
            Self::Steps { layout, .. } => layout.height + TITLE + 2.0 * PAD,
            Self::Barrier { lines, .. } => lines.len() as f64 * LINE + 14.0,
        }
    }
}

/// The same with how often each step was done.
pub(super) fn with_counts(graph: &RolloutGraph, durations: Option<&[Vec<Durations>; 3]>) -> Markup {
    let of = |list: usize| durations.map(|all| all[list].as_slice());
    let [(_, before), (_, ahead), (_, main), (_, after)] = &graph.plan.lists();
    let (of_ahead, of_main) = of(1).map(|all| all.split_at(ahead.len())).unzip();
    let mut parts = Vec::new();
    if !before.is_empty() {
        parts.push(part("before: once".to_owned(), before, of(0)));
    }
    if !ahead.is_empty() {
        parts.push(part(prepare(graph), ahead, of_ahead));
    }
    parts.push(Part::Barrier { lines: start_of_wave(graph), is_end: false });
    parts.push(part(format!("steps: each of {}", counted(graph.targets.len(), "worker")), main, of_main));
    parts.push(Part::Barrier { lines: end_of_wave(graph), is_end: true });
    if !after.is_empty() {
        parts.push(part("after: once".to_owned(), after, of(2)));
    }
    let widest = parts.iter().map(|part| match part {
        Part::Steps { layout, .. } => layout.width + 2.0 * PAD,
        Part::Barrier { .. } => 0.0,
    });
    let inner = widest.fold(NARROWEST, f64::max);
    let back = if graph.waves.len() > 1 { BACK } else { 4.0 };
    let height: f64 = parts.iter().map(|part| part.height() + PAD).sum::<f64>() - PAD + 4.0;
    let width = inner + back + 4.0;
    html! {
        div.scroll tabindex="0" role="group" aria-label="The plan's graph, scrolls" {
            svg.graph role="img" aria-label="The plan's steps and what they wait for; the same in words is below"
                width=(number(width)) height=(number(height)) viewBox=(format!("0 0 {} {}", number(width), number(height))) {
                defs {
                    marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto" {
                        path d="M0 0L8 4L0 8Z" {}
                    }
                }
                (drawn(&parts, back, inner, graph.waves.len() > 1))
            }
        }
        (words(&parts))
    }
}

fn part<'a>(title: String, steps: &'a [Step], of: Option<&'a [Durations]>) -> Part<'a> {
    Part::Steps { title, steps, layout: layout(steps), of }
}

fn prepare(graph: &RolloutGraph) -> String {
    let workers = counted(graph.targets.len(), "worker");
    let at_once = graph.numbers().prepare.as_ref();
    let at_once = at_once.map_or_else(String::new, |resolved| format!(", {} at a time", resolved.value));
    format!("prepare: all {workers} before the first is touched{at_once}")
}

fn drawn(parts: &[Part<'_>], left: f64, inner: f64, with_way_back: bool) -> Markup {
    let mut top = 2.0;
    let mut tops = Vec::new();
    for part in parts {
        tops.push(top);
        top += part.height() + PAD;
    }
    let middle = left + inner / 2.0;
    let is_barrier =
        |part: &Part<'_>, end: bool| matches!(part, Part::Barrier { is_end, .. } if *is_end == end);
    let back = parts
        .iter()
        .position(|part| is_barrier(part, false))
        .zip(parts.iter().position(|part| is_barrier(part, true)));
    html! {
        @for (at, part) in parts.iter().enumerate() {
            @let top = tops[at];
            @if at > 0 {
                line.edge x1=(number(middle)) x2=(number(middle)) y1=(number(top - PAD)) y2=(number(top)) {}
            }
            @match part {
                Part::Steps { title, steps, layout, of } => {
                    rect.frame x=(number(left)) y=(number(top)) width=(number(inner)) height=(number(part.height())) rx="8" {}
                    text.title x=(number(left + 12.0)) y=(number(top + 18.0)) { (title) }
                    (list(steps, layout, *of, left + (inner - layout.width) / 2.0, top + TITLE + PAD / 2.0, middle, top, top + part.height()))
                }
                Part::Barrier { lines, .. } => {
                    rect.barrier x=(number(left)) y=(number(top)) width=(number(inner)) height=(number(part.height())) rx="4" {}
                    @for (nth, line) in lines.iter().enumerate() {
                        text.middle x=(number(middle)) y=(number(top + 19.0 + nth as f64 * LINE)) { (line) }
                    }
                }
            }
        }
        @if let Some((start, end)) = back.filter(|_| with_way_back) {
            @let (up, down) = (tops[start] + parts[start].height() / 2.0, tops[end] + parts[end].height() / 2.0);
            path.edge.back d=(format!("M{} {}H8V{}H{}", number(left), number(down), number(up), number(left))) {}
            text.turned x=(number(-(up + down) / 2.0)) y="22" transform="rotate(-90)" { "next wave" }
        }
    }
}

/// The boxes of a list, with edges to the part's upper and lower border.
#[expect(clippy::too_many_arguments, reason = "places are plain numbers")]
fn list(
    steps: &[Step],
    layout: &Layout,
    of: Option<&[Durations]>,
    x: f64,
    y: f64,
    middle: f64,
    top: f64,
    bottom: f64,
) -> Markup {
    let center = |at: usize| x + layout.boxes[at].0 + BOX.0 / 2.0;
    html! {
        @for at in &layout.first {
            path.edge d=(curve(&[(middle, top), (center(*at), y + layout.boxes[*at].1)])) {}
        }
        @for at in &layout.last {
            path.edge.plain d=(curve(&[(center(*at), y + layout.boxes[*at].1 + BOX.1), (middle, bottom)])) {}
        }
        @for edge in &layout.edges {
            path.edge d=(curve(&edge.iter().map(|(ex, ey)| (x + ex, y + ey)).collect::<Vec<_>>())) {}
        }
        @for (at, step) in steps.iter().enumerate() {
            @let (bx, by) = (x + layout.boxes[at].0, y + layout.boxes[at].1);
            g.node {
                title { (describe(step, of.and_then(|of| of.get(at)))) }
                rect.box x=(number(bx)) y=(number(by)) width=(number(BOX.0)) height=(number(BOX.1)) rx="5" {}
                rect class=(step_class(&step.kind)) x=(number(bx)) y=(number(by)) width="7" height=(number(BOX.1)) {}
                text.id x=(number(bx + 15.0)) y=(number(by + 18.0)) { (shortened(&step.id, 27)) }
                text.small x=(number(bx + 15.0)) y=(number(by + 34.0)) { (shortened(&below(step, of.and_then(|of| of.get(at))), 34)) }
            }
        }
    }
}

/// A smooth line through points from above to below.
fn curve(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (nth, (x, y)) in points.iter().enumerate() {
        match nth.checked_sub(1).map(|before| points[before]) {
            None => path.push_str(&format!("M{} {}", number(*x), number(*y))),
            Some((before, _)) if (before - x).abs() < 0.5 => path.push_str(&format!("V{}", number(*y))),
            Some((before, above)) => {
                let half = (above + y) / 2.0;
                path.push_str(&format!(
                    "C{} {} {} {} {} {}",
                    number(before),
                    number(half),
                    number(*x),
                    number(half),
                    number(*x),
                    number(*y)
                ));
            }
        }
    }
    path
}

/// The second line of a box: what was done, else what it is.
fn below(step: &Step, of: Option<&Durations>) -> String {
    match of {
        Some(of) => {
            let parts = [(of.ok, "ok"), (of.failed, "not well"), (of.open, "under way")];
            let parts: Vec<String> = parts
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}"))
                .collect();
            if parts.is_empty() { "not reached".to_owned() } else { parts.join(", ") }
        }
        None => details(step).unwrap_or_else(|| step.kind.keyword().to_owned()),
    }
}

/// A step in one line.
fn describe(step: &Step, of: Option<&Durations>) -> String {
    let mut text = format!("{}: {}", name(&step.id), step.kind.keyword());
    for part in details(step).into_iter().chain(of.map(|of| below(step, Some(of)))) {
        text.push_str(&format!("; {part}"));
    }
    text
}

/// Time-out, attempts, and what else is not as usual.
fn details(step: &Step) -> Option<String> {
    let mut parts = Vec::new();
    match &step.kind {
        StepKind::Pause { duration: long } => parts.push(duration(*long)),
        StepKind::Approve { message: Some(message) } => parts.push(name(message)),
        _ => {}
    }
    parts.extend(step.timeout.map(|limit| format!("within {}", duration(limit))));
    if step.retries.attempts > 1 {
        parts.push(format!("{} attempts", step.retries.attempts));
    }
    if !step.when.labels.is_empty() || !step.when.tags.is_empty() || !step.when.jobs.is_empty() {
        parts.push("on some workers".to_owned());
    }
    if step.on_failure == OnStepFailure::Ignore {
        parts.push("its failure is ignored".to_owned());
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Under which limits a worker begins.
fn start_of_wave(graph: &RolloutGraph) -> Vec<String> {
    let settings = &graph.plan.rollout;
    let mut limits = vec![match &graph.numbers().concurrency {
        Some(most) => format!("at most {} at a time", most.value),
        None => "as many as limits allow".to_owned(),
    }];
    if let Some(spread) = &settings.spread {
        limits.push(format!(
            "at most {} {} disturbed",
            spread.value.at_most,
            shortened(&spread.value.tag, 20)
        ));
    }
    if !graph.numbers().budgets.is_empty() {
        limits.push(format!("budgets of {}", counted(graph.numbers().budgets.len(), "job")));
    }
    limits.push(format!("max_failures {}", graph.numbers().max_failures.value));
    let mut lines = Vec::new();
    if graph.waves.len() > 1 {
        let sizes: Vec<String> = graph.waves.iter().take(WAVES).map(|wave| wave.len().to_string()).collect();
        let more = if graph.waves.len() > WAVES { ", …" } else { "" };
        lines.push(format!(
            "{} waves of {}{more} workers: each begins here",
            graph.waves.len(),
            sizes.join(", ")
        ));
    }
    lines.push(limits.join(" · "));
    for window in &settings.windows {
        lines.push(format!("window {}", shortened(&window.value.to_string(), 70)));
    }
    if let Some(freeze) = &settings.freeze {
        lines.push(format!("frozen {}", shortened(&freeze.value.to_string(), 70)));
    }
    lines
}

fn end_of_wave(graph: &RolloutGraph) -> Vec<String> {
    let soak = graph.plan.rollout.soak;
    if graph.waves.len() < 2 {
        return vec!["all workers have ended".to_owned()];
    }
    let then = if soak.is_zero() { String::new() } else { format!(", then a soak of {}", duration(soak)) };
    vec![format!("all workers of the wave have ended{then}")]
}

/// The same for whoever does not see it.
fn words(parts: &[Part<'_>]) -> Markup {
    html! {
        details {
            summary { "The same in words" }
            ol {
                @for part in parts {
                    @match part {
                        Part::Barrier { lines, .. } => { li { (lines.join("; ")) } }
                        Part::Steps { title, steps, of, .. } => {
                            li {
                                (title)
                                ul {
                                    @for (at, step) in steps.iter().enumerate() {
                                        li {
                                            (describe(step, of.and_then(|of| of.get(at))))
                                            @let needs: Vec<String> = step.needs.iter().filter_map(|at| steps.get(*at)).map(|step| name(&step.id)).collect();
                                            @if !needs.is_empty() { " (after " (needs.join(", ")) ")" }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
