//! Bars along the axis, and the same in words.

use maud::{Markup, html};

use super::axis::{Axis, number, percent};
use super::model::RunPage;
use super::signs::bar_class;
use super::words::{Clock, NOTE, name, said};
use crate::engine::Millis;
use crate::graph::Lane;
use crate::report::describe_elapsed;
use crate::timeline::{Bar, BarEnd, BarKind};

/// A percent of the narrowest timeline is about so many pixels.
const PIXELS: f64 = 6.4;
/// Width of a character in a bar, in pixels, with something to spare.
const CHARACTER: f64 = 6.3;

/// A rectangle with a title, and with text where there is room for it.
pub(super) fn bar(axis: &Axis, from: Millis, to: Millis, class: &str, title: &str, text: &[&str]) -> Markup {
    let (x, width) = axis.span(from, to);
    let room = width * PIXELS;
    let fits = text.iter().find(|text| text.chars().count() as f64 * CHARACTER + 6.0 < room);
    html! {
        rect class=(class) x=(percent(x)) width=(percent(width.max(0.05))) { title { (title) } }
        @if let Some(text) = fits { text x=(percent(x)) { (text) } }
    }
}

/// The bars of a lane.
pub(super) fn bars(page: &RunPage<'_>, axis: &Axis, lane: Lane, bars: &[Bar]) -> Markup {
    let until = page.timeline.until;
    html! {
        @for one in bars {
            @let step = &page.graph.steps(lane)[one.step.index()];
            @let to = one.to.unwrap_or(until);
            @let is_bad = is_bad(one);
            @let class = bar_class(one.kind, &step.kind);
            @let took = describe_elapsed(to - one.from);
            @let id = name(&step.id);
            @let with_time = format!("{id} {took}");
            @if is_bad {
                (bar(axis, one.from, to, &format!("{class} bad"), &format!("{with_time}, {}", one.end.describe()), &[&with_time, &took]))
                text.x x=(percent(axis.x(to))) { "×" }
            } @else if one.to.is_none() {
                @let x = axis.x(one.from);
                rect class=(format!("{class} open")) data-x=(number(x)) x=(percent(x)) width=(percent(axis.span(one.from, to).1)) {
                    title { (id) ", since " (Clock::of(page.timeline).at(one.from)) }
                }
            } @else {
                (bar(axis, one.from, to, class, &with_time, &[&with_time, &took]))
            }
        }
    }
}

/// An attempt that did not end well.
pub(super) fn is_bad(bar: &Bar) -> bool {
    !matches!(bar.end, BarEnd::Ok | BarEnd::Open) && !matches!(bar.kind, BarKind::Backoff | BarKind::Pause)
}

/// A bar as a line of text.
pub(super) fn line(page: &RunPage<'_>, clock: Clock, lane: Lane, bar: &Bar) -> String {
    let step = name(&page.graph.steps(lane)[bar.step.index()].id);
    let what = match bar.kind {
        BarKind::Attempt if bar.attempt > 1 => format!("{step}, attempt {}", bar.attempt),
        BarKind::Attempt => step,
        BarKind::Undo => format!("undo {step}"),
        BarKind::Backoff => format!("{step}: until the next attempt"),
        BarKind::Pause => format!("{step}: pause"),
        BarKind::Approval => format!("{step}: waited for an approval"),
    };
    let end = match bar.end {
        BarEnd::Ok => String::new(),
        _ if matches!(bar.kind, BarKind::Backoff | BarKind::Pause) && bar.to.is_some() => String::new(),
        end => format!(", {}", end.describe()),
    };
    let note = match &bar.note {
        Some(note) if note != "done" => format!(": {}", said(note, NOTE)),
        _ => String::new(),
    };
    let took = describe_elapsed(bar.to.unwrap_or(page.timeline.until) - bar.from);
    format!("{} {what} {took}{end}{note}", clock.at(bar.from))
}
