//! How long the steps took: their distribution, and the slowest workers.

use maud::{Markup, html};

use super::axis::number;
use super::lanes::bar_class;
use super::model::RunPage;
use crate::engine::Millis;
use crate::graph::Lane;
use crate::plan::visible_line;
use crate::report::describe_elapsed;
use crate::timeline::{BarEnd, BarKind};

/// Columns of a histogram.
const COLUMNS: usize = 24;
/// Slowest workers that are named.
const SLOWEST: usize = 3;

/// A step of the workers, over all of them.
struct Durations<'a> {
    /// Ascending, with the host.
    all: Vec<(Millis, &'a str)>,
    failed: usize,
}

/// The table.
pub(super) fn steps(page: &RunPage<'_>) -> Markup {
    let of_steps = durations(page);
    html! {
        h2 #steps { "Durations of the steps" }
        div.scroll tabindex="0" role="group" aria-label="Durations, scrolls" {
            table {
                thead { tr {
                    th scope="col" { "step" } th scope="col" { "times" } th scope="col" { "median" }
                    th scope="col" { "95 %" } th scope="col" { "longest" } th scope="col" { "failed" }
                    th scope="col" { "distribution" } th scope="col" { "slowest" }
                } }
                tbody {
                    @for (step, of) in page.graph.plan.steps.iter().zip(&of_steps) {
                        tr {
                            th scope="row" {
                                svg.key width="12" height="12" aria-hidden="true" {
                                    rect class=(bar_class(BarKind::Attempt, &step.kind)) width="12" height="12" {}
                                }
                                " " (visible_line(&step.id))
                            }
                            td { (of.all.len()) }
                            td { (at(&of.all, 50)) } td { (at(&of.all, 95)) } td { (at(&of.all, 100)) }
                            td { (of.failed) }
                            td { (histogram(&of.all)) }
                            td {
                                @for (index, (took, host)) in of.all.iter().rev().take(SLOWEST).enumerate() {
                                    @if index > 0 { ", " }
                                    (visible_line(host)) " " (describe_elapsed(*took))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn durations<'a>(page: &'a RunPage<'_>) -> Vec<Durations<'a>> {
    let mut all: Vec<Durations<'a>> =
        page.graph.plan.steps.iter().map(|_| Durations { all: Vec::new(), failed: 0 }).collect();
    for track in &page.timeline.lanes {
        let Lane::Worker(target) = track.lane else { continue };
        for bar in track.bars.iter().filter(|bar| bar.kind == BarKind::Attempt) {
            let of = &mut all[bar.step.index()];
            match (bar.end, bar.to) {
                (BarEnd::Ok, Some(to)) => of.all.push((to - bar.from, page.graph.host(target))),
                (BarEnd::Failed | BarEnd::TimedOut, _) => of.failed += 1,
                _ => {}
            }
        }
    }
    all.iter_mut().for_each(|of| of.all.sort_unstable());
    all
}

/// A percentile; "-" of nothing.
fn at(all: &[(Millis, &str)], percent: usize) -> String {
    let index = (all.len() * percent).div_ceil(100).max(1) - 1;
    all.get(index).map_or_else(|| "-".to_owned(), |(took, _)| describe_elapsed(*took))
}

fn histogram(all: &[(Millis, &str)]) -> Markup {
    let (Some((least, _)), Some((most, _))) = (all.first(), all.last()) else { return html! { "-" } };
    let mut columns = [0_u32; COLUMNS];
    for (took, _) in all {
        let share = (took - least) as f64 / ((most - least).max(1) as f64);
        columns[((share * COLUMNS as f64) as usize).min(COLUMNS - 1)] += 1;
    }
    let top = f64::from(columns.iter().copied().max().unwrap_or(1).max(1));
    let label = format!("from {} to {}", describe_elapsed(*least), describe_elapsed(*most));
    html! {
        svg.histogram role="img" aria-label=(label) width="120" height="20" viewBox="0 0 120 20" {
            title { (label) }
            @for (index, count) in columns.iter().enumerate().filter(|(_, count)| **count > 0) {
                @let height = (f64::from(*count) / top * 20.0).max(1.5);
                rect x=(index * 5) y=(number(20.0 - height)) width="4" height=(number(height)) {}
            }
        }
    }
}
