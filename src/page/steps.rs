//! How long the steps took: their distribution, and the slowest workers.

use maud::{Markup, html};

use super::axis::number;
use super::lanes::lane_id;
use super::model::RunPage;
use super::signs::{step_class, swatch};
use super::words::name;
use crate::engine::Millis;
use crate::graph::{Lane, TargetIx};
use crate::plan::Step;
use crate::report::describe_elapsed;
use crate::timeline::{BarEnd, BarKind};

/// Columns of a histogram.
const COLUMNS: usize = 30;
/// Slowest workers that are named.
const SLOWEST: usize = 3;

/// A step, over all workers that have it.
#[derive(Default)]
pub(super) struct Durations {
    /// Attempts that ended well, ascending.
    all: Vec<(Millis, Lane)>,
    /// Attempts that ended well.
    pub(super) ok: usize,
    /// Attempts that did not.
    pub(super) failed: usize,
    /// Attempts that have not ended.
    pub(super) open: usize,
}

/// Of each list of steps: `before`, those of workers, `after`.
pub(super) fn durations(page: &RunPage<'_>) -> [Vec<Durations>; 3] {
    let plan = &page.graph.plan;
    let mut all = [&plan.before, &plan.steps, &plan.after]
        .map(|steps| steps.iter().map(|_| Durations::default()).collect::<Vec<_>>());
    for track in &page.timeline.lanes {
        let of_lane = &mut all[list_of(track.lane)];
        for bar in &track.bars {
            let is_wait = matches!(bar.kind, BarKind::Pause | BarKind::Approval);
            if bar.kind != BarKind::Attempt && !is_wait {
                continue;
            }
            let Some(of) = of_lane.get_mut(bar.step.index()) else { continue };
            match (bar.end, bar.to) {
                (BarEnd::Ok, Some(to)) => {
                    of.ok += 1;
                    of.all.push((to - bar.from, track.lane));
                }
                (BarEnd::Open, _) => of.open += 1,
                _ => of.failed += 1,
            }
        }
    }
    all.iter_mut().flatten().for_each(|of| of.all.sort_unstable());
    all
}

/// Which of the plan's lists a lane has its steps from.
fn list_of(lane: Lane) -> usize {
    match lane {
        Lane::Before => 0,
        Lane::Worker(_) => 1,
        Lane::After => 2,
    }
}

/// The table.
pub(super) fn steps(page: &RunPage<'_>) -> Markup {
    let durations = durations(page);
    let plan = &page.graph.plan;
    let lists = [("before: ", &plan.before), ("", &plan.steps), ("after: ", &plan.after)];
    let rows = lists.iter().zip(&durations).flat_map(|((list, steps), of)| {
        let list = move |step: &Step| if step.prepares { "prepare: " } else { list };
        steps.iter().zip(of).map(move |(step, of)| (list(step), step, of))
    });
    html! {
        section #steps aria-labelledby="steps-title" {
            h2 #steps-title { "How long the steps took" }
            p.about { "Attempts that ended well. The line in a distribution is the median, from the shortest at the left to the longest." }
            div.scroll tabindex="0" role="group" aria-label="Durations, scrolls" {
                table {
                    thead { tr {
                        th scope="col" { "step" } th.r scope="col" { "times" } th.r scope="col" { "failed" }
                        th.r scope="col" { "median" } th.r scope="col" { "95 %" } th.r scope="col" { "longest" }
                        th scope="col" { "distribution" } th scope="col" { "slowest" }
                    } }
                    tbody { @for (list, step, of) in rows { (row(page, list, step, of)) } }
                }
            }
        }
    }
}

fn row(page: &RunPage<'_>, list: &str, step: &Step, of: &Durations) -> Markup {
    html! {
        tr {
            th scope="row" { (swatch(step_class(&step.kind))) " " (list) (name(&step.id)) }
            td.r { (of.ok) }
            td.r { @if of.failed > 0 { b.bad { "× " (of.failed) } } @else { "0" } }
            td.r { (at(&of.all, 50)) } td.r { (at(&of.all, 95)) } td.r { (at(&of.all, 100)) }
            td { (histogram(&of.all)) }
            td {
                @let slowest = of.all.iter().rev().filter_map(|(took, lane)| match lane {
                    Lane::Worker(target) => Some((*took, *target)),
                    Lane::Before | Lane::After => None,
                });
                @for (index, (took, target)) in slowest.take(SLOWEST).enumerate() {
                    @if index > 0 { ", " }
                    (link(page, target)) " " (describe_elapsed(took))
                }
            }
        }
    }
}

/// A worker, with a link to its lane where it has one.
pub(super) fn link(page: &RunPage<'_>, target: TargetIx) -> Markup {
    let host = name(page.graph.host(target));
    match lane_id(page, target) {
        Some(id) => html! { a href=(format!("#{id}")) { (host) } },
        None => html! { (host) },
    }
}

/// A percentile; "-" of nothing.
fn at(all: &[(Millis, Lane)], percent: usize) -> String {
    let index = (all.len() * percent).div_ceil(100).max(1) - 1;
    all.get(index).map_or_else(|| "-".to_owned(), |(took, _)| describe_elapsed(*took))
}

fn histogram(all: &[(Millis, Lane)]) -> Markup {
    let (Some((least, _)), Some((most, _))) = (all.first(), all.last()) else { return html! { "-" } };
    if all.len() < 3 || least == most {
        return html! { "-" };
    }
    let place = |took: Millis| {
        let share = (took - least) as f64 / ((most - least).max(1) as f64);
        ((share * COLUMNS as f64) as usize).min(COLUMNS - 1)
    };
    let mut columns = [0_u32; COLUMNS];
    all.iter().for_each(|(took, _)| columns[place(*took)] += 1);
    let top = f64::from(columns.iter().copied().max().unwrap_or(1).max(1));
    let median = all[(all.len() - 1) / 2].0;
    let label = format!(
        "from {} to {}, half of them within {}",
        describe_elapsed(*least),
        describe_elapsed(*most),
        describe_elapsed(median)
    );
    html! {
        svg.histogram role="img" aria-label=(label) width="180" height="26" viewBox="0 0 180 26" {
            title { (label) }
            @for (index, count) in columns.iter().enumerate().filter(|(_, count)| **count > 0) {
                @let height = (f64::from(*count) / top * 22.0).max(1.5);
                rect x=(index * 6) y=(number(24.0 - height)) width="5" height=(number(height)) {}
            }
            line.base x1="0" x2="180" y1="24.5" y2="24.5" {}
            @let x = number(place(median) as f64 * 6.0 + 2.5);
            line.median x1=(x) x2=(x) y1="0" y2="26" {}
        }
    }
}
