//! How many workers were down at the same time, beside what was allowed.

use maud::{Markup, html};

use super::axis::{Axis, number, percent};
use super::model::RunPage;
use super::strip;
use super::words::{Clock, moment, name};
use crate::engine::Millis;
use crate::report::describe_elapsed;
use crate::timeline::Series;

/// Of more domains or jobs than this the others are named in numbers only.
const CHARTS: usize = 12;
/// Of more times above what was allowed the others are counted.
const OVERRUNS: usize = 5;
/// Width of the picture in its own units: as many places are told apart.
const PLACES: f64 = 2000.0;

/// All charts.
pub(super) fn down(page: &RunPage<'_>, axis: &Axis) -> Markup {
    let down = &page.timeline.down;
    html! {
        section #down aria-labelledby="down-title" {
            h2 #down-title { "Down at the same time" }
            p.about {
                "Workers that the run had taken down, or that failed and stayed so. The dashed line is what the plan allows in \
                 any order of ends and failures, up to max_failures; what is above it is hatched and marked with !."
            }
            (chart(page, "All workers", &down.all, Some(down.allowed), axis, 80.0))
            @if let Some(tag) = &down.tag {
                h3 { "By " (name(tag))
                    @if let Some(most) = down.domains_allowed { ": at most " (most) " of them disturbed at a time" } }
                (charts(page, axis, down.domains.iter().map(|of| (of.name.as_str(), &of.series, of.allowed)).collect()))
            }
            @if !down.jobs.is_empty() {
                h3 { "By job with a budget" }
                (charts(page, axis, down.jobs.iter().map(|of| (of.name.as_str(), &of.series, of.allowed)).collect()))
            }
        }
    }
}

/// A name, how many were down, and how many could be.
type Of<'a> = (&'a str, &'a Series, Option<u32>);

/// Those with the most first; the others in numbers.
fn charts(page: &RunPage<'_>, axis: &Axis, mut all: Vec<Of<'_>>) -> Markup {
    if all.len() > CHARTS {
        all.sort_by_key(|(_, series, _)| std::cmp::Reverse(most(series)));
    }
    let others = all.split_off(all.len().min(CHARTS));
    html! {
        @for (of, series, allowed) in all { (chart(page, of, series, allowed, axis, 40.0)) }
        @if !others.is_empty() {
            details {
                summary { (others.len()) " more" }
                ul { @for (of, series, allowed) in others { li { (name(of)) ": " (most_of(series, allowed)) } } }
            }
        }
    }
}

fn most(series: &Series) -> u32 {
    series.most().map_or(0, |(_, most)| most)
}

/// "at most 2 (allowed: 3)".
pub(super) fn most_of(series: &Series, allowed: Option<u32>) -> String {
    match allowed {
        Some(allowed) => format!("at most {} (allowed: {allowed})", most(series)),
        None => format!("at most {}", most(series)),
    }
}

/// When a series was above a number.
pub(super) fn overruns(series: &Series, allowed: Option<u32>, until: Millis) -> Vec<(Millis, Millis)> {
    let Some(allowed) = allowed else { return Vec::new() };
    let ends = series.points.iter().skip(1).map(|(at, _)| *at).chain([until]);
    let mut above: Vec<(Millis, Millis)> = Vec::new();
    for ((from, value), to) in series.points.iter().zip(ends) {
        match above.last_mut() {
            _ if *value <= allowed => {}
            Some((_, end)) if *end == *from => *end = to,
            _ => above.push((*from, to)),
        }
    }
    above
}

fn chart(
    page: &RunPage<'_>,
    of: &str,
    series: &Series,
    allowed: Option<u32>,
    axis: &Axis,
    height: f64,
) -> Markup {
    let until = page.timeline.until;
    let clock = Clock::of(page.timeline);
    let label = format!("{}: {}", name(of), most_of(series, allowed));
    let when = series.most().filter(|(_, most)| *most > 0);
    let above = overruns(series, allowed, until);
    html! {
        figure.chart {
            figcaption {
                b { (name(of)) } ": " (most_of(series, allowed))
                @if let Some((at, _)) = when { ", first at " (moment(at)) }
                @if !above.is_empty() {
                    span.bad {
                        " ! above what was allowed "
                        @for (at, (from, to)) in above.iter().take(OVERRUNS).enumerate() {
                            @if at > 0 { ", " } "from " (clock.at(*from)) " for " (describe_elapsed(to - from))
                        }
                        @if above.len() > OVERRUNS { " and " (above.len() - OVERRUNS) " times more" }
                    }
                }
            }
            div.plot role="img" aria-label=(label) {
                (scale(most(series), allowed, height))
                (picture(series, allowed, until, axis, height))
            }
            @if height > 60.0 {
                svg.times aria-hidden="true" {
                    @for tick in axis.ticks() { text.tick x=(percent(strip::inside(tick.x))) y="11" { (tick.label) } }
                }
            }
        }
    }
}

/// Where a number stands in a picture of this height.
fn y(value: f64, top: f64, height: f64) -> f64 {
    height - 1.0 - value / top.max(1.0) * (height - 8.0)
}

fn top(most: u32, allowed: Option<u32>) -> f64 {
    f64::from(most.max(allowed.unwrap_or(0)).max(1))
}

/// Numbers at the left: nought, the most, what was allowed; those that would overlap are left out.
fn scale(most: u32, allowed: Option<u32>, height: f64) -> Markup {
    let top = top(most, allowed);
    let mut labels: Vec<(f64, u32)> = Vec::new();
    for value in [Some(0), allowed, Some(most)].into_iter().flatten() {
        let at = y(f64::from(value), top, height);
        if labels.iter().all(|(other, _)| (other - at).abs() > 11.0) {
            labels.push((at, value));
        }
    }
    html! {
        svg.scale aria-hidden="true" height=(number(height)) {
            @for (at, value) in labels { text x="100%" y=(number((at + 4.0).min(height - 1.0))) { (value) } }
        }
    }
}

/// The steps of a series, with what was allowed.
pub(super) fn picture(
    series: &Series,
    allowed: Option<u32>,
    until: Millis,
    axis: &Axis,
    height: f64,
) -> Markup {
    let top = top(most(series), allowed);
    let limit = allowed.map(|allowed| y(f64::from(allowed), top, height));
    let above = overruns(series, allowed, until);
    let path = area(series, until, axis, &|value| y(value, top, height), height);
    let view = format!("0 0 {PLACES} {}", number(height));
    html! {
        svg.t.area aria-hidden="true" height=(number(height)) {
            svg viewBox=(view) preserveAspectRatio="none" width="100%" height=(number(height)) { path d=(path) {} }
            @for (from, to) in above.iter().take(200) {
                @let (x, width) = axis.span(*from, *to);
                rect.over-limit x=(percent(x)) width=(percent(width.max(0.1))) y="0" height=(number(limit.unwrap_or(0.0))) {}
            }
            @if let Some((from, _)) = above.first() {
                text.x x=(percent(axis.x(*from))) y="11" { "!" }
            }
            @if let (Some(limit), Some(allowed)) = (limit, allowed) {
                line.allowed x1="0" x2="100%" y1=(number(limit)) y2=(number(limit)) {}
                text.limit x="100%" y=(number((limit + 11.0).min(height - 3.0))) { "allowed: " (allowed) }
            }
        }
    }
}

/// A step line above the base. Of moments at the same place the largest number is drawn.
fn area(series: &Series, until: Millis, axis: &Axis, y: &impl Fn(f64) -> f64, height: f64) -> String {
    let mut path = format!("M0 {}", number(height));
    let mut at_place: Option<(i64, u32)> = None;
    let flush = |path: &mut String, (x, value): (i64, u32)| {
        path.push_str(&format!("H{x}V{}", number(y(f64::from(value)))));
    };
    for (at, value) in &series.points {
        let x = (axis.x(*at) / 100.0 * PLACES).round() as i64;
        at_place = match at_place {
            Some((before, most)) if x == before && *value != 0 => Some((before, most.max(*value))),
            Some(before) => {
                flush(&mut path, before);
                Some((x, *value))
            }
            None => Some((x, *value)),
        };
    }
    if let Some(last) = at_place {
        flush(&mut path, last);
    }
    // What was merged may differ from how it stands at the end.
    path.push_str(&format!("V{}", number(y(f64::from(series.last())))));
    path.push_str(&format!("H{}V{}Z", number(axis.x(until) / 100.0 * PLACES), number(height)));
    path
}
