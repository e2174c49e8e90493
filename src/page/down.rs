//! How many workers were down at the same time, beside what was allowed.

use maud::{Markup, html};

use super::axis::{Axis, WIDTH, number};
use super::model::RunPage;
use crate::engine::Millis;
use crate::plan::visible_line;
use crate::report::Time;
use crate::timeline::Series;

/// Of more domains or jobs than this the others are named in numbers only.
const CHARTS: usize = 12;

/// All charts.
pub(super) fn down(page: &RunPage<'_>, axis: &Axis) -> Markup {
    let down = &page.timeline.down;
    let allowed = down.at_once;
    let until = page.timeline.until;
    html! {
        h2 #down { "Down at the same time" }
        (chart("All workers", &down.all, allowed, until, axis, 70.0))
        @if let Some(tag) = &down.tag {
            h3 { "By " (visible_line(tag))
                @if let Some(most) = down.domains_allowed { ": at most " (most) " of them disturbed at a time" } }
            @for of in down.domains.iter().take(CHARTS) {
                (chart(&of.name, &of.series, of.allowed, until, axis, 34.0))
            }
            (more(down.domains.iter().skip(CHARTS).map(|of| (of.name.as_str(), &of.series, of.allowed)).collect()))
        }
        @if !down.jobs.is_empty() {
            h3 { "By job with a budget" }
            @for of in down.jobs.iter().take(CHARTS) {
                (chart(&of.name, &of.series, of.allowed, until, axis, 34.0))
            }
            (more(down.jobs.iter().skip(CHARTS).map(|of| (of.name.as_str(), &of.series, of.allowed)).collect()))
        }
    }
}

/// Those without a chart, in numbers.
fn more(others: Vec<(&str, &Series, Option<u32>)>) -> Markup {
    html! {
        @if !others.is_empty() {
            details {
                summary { (others.len()) " more" }
                ul {
                    @for (name, series, allowed) in others {
                        li { (visible_line(name)) ": " (most_of(series, allowed)) }
                    }
                }
            }
        }
    }
}

/// "at most 2 (allowed: 3)".
pub(super) fn most_of(series: &Series, allowed: Option<u32>) -> String {
    let most = series.most().map_or(0, |(_, most)| most);
    match allowed {
        Some(allowed) => format!("at most {most} (allowed: {allowed})"),
        None => format!("at most {most}"),
    }
}

fn chart(
    name: &str,
    series: &Series,
    allowed: Option<u32>,
    until: Millis,
    axis: &Axis,
    height: f64,
) -> Markup {
    let most = series.most().map_or(0, |(_, most)| most);
    let top = f64::from(most.max(allowed.unwrap_or(0)).max(1));
    let y = |value: f64| height - value / top * (height - 4.0);
    let when = series.most().filter(|(_, most)| *most > 0);
    let label = format!("{}: {}", visible_line(name), most_of(series, allowed));
    html! {
        figure.chart {
            figcaption { (label)
                @if let Some((at, _)) = when { ", first at " (Time(at).to_second()) } }
            div.scroll tabindex="0" role="group" aria-label=(format!("{label}, scrolls")) {
                svg role="img" aria-label=(label) width=(number(WIDTH + 40.0)) height=(number(height + 6.0))
                    viewBox=(format!("-30 -3 {} {}", WIDTH + 40.0, height + 6.0)) {
                    path.area d=(area(series, until, axis, &y, height)) {}
                    line.base x1="0" x2=(WIDTH) y1=(number(height)) y2=(number(height)) {}
                    text x="-6" y=(number(y(f64::from(most)) + 4.0)) { (most) }
                    @if let Some(allowed) = allowed {
                        @let at = number(y(f64::from(allowed)));
                        line.allowed x1="0" x2=(WIDTH) y1=(at) y2=(at) { title { "allowed: " (allowed) } }
                    }
                }
            }
        }
    }
}

/// A step line above the base. Of moments at the same place the largest number is drawn.
fn area(series: &Series, until: Millis, axis: &Axis, y: &impl Fn(f64) -> f64, height: f64) -> String {
    let mut path = format!("M0 {}", number(height));
    let mut drawn: Option<(f64, u32)> = None;
    let flush = |path: &mut String, (x, value): (f64, u32)| {
        path.push_str(&format!("H{}V{}", number(x), number(y(f64::from(value)))));
    };
    for (at, value) in &series.points {
        let x = axis.x(*at);
        drawn = match drawn {
            Some((before, most)) if x - before < 0.5 && *value != 0 => Some((before, most.max(*value))),
            Some(before) => {
                flush(&mut path, before);
                Some((x, *value))
            }
            None => Some((x, *value)),
        };
    }
    if let Some(last) = drawn {
        flush(&mut path, last);
    }
    // What was merged may differ from how it stands at the end.
    path.push_str(&format!("V{}", number(y(f64::from(series.last())))));
    path.push_str(&format!("H{}V{}Z", number(axis.x(until)), number(height)));
    path
}
