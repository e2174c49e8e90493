//! What went wrong, on which workers, with their last words. What went wrong alike is said once.

use maud::{Markup, html};

use super::headline::commands;
use super::model::RunPage;
use super::signs::state_sign;
use super::steps::link;
use super::words::{MESSAGE, moment, name, said};
use crate::engine::PublicWorkerState;
use crate::graph::{Lane, TargetIx};
use crate::plan::{counted, visible_line};
use crate::report::{WorkerView, describe_elapsed};
use crate::timeline::{BarEnd, BarKind};

/// Of more different failures than this the others are in the table of workers only.
const SHOWN: usize = 25;
/// Of one kind so many outputs are shown.
const OUTPUTS: usize = 2;
/// And so many workers are named.
const NAMED: usize = 60;

/// Workers on which the same went wrong.
struct Alike<'a> {
    state: PublicWorkerState,
    step: Option<&'a str>,
    message: String,
    workers: Vec<(TargetIx, &'a WorkerView)>,
}

fn is_bad(state: PublicWorkerState) -> bool {
    matches!(state, PublicWorkerState::Failed | PublicWorkerState::InDoubt | PublicWorkerState::Reverted)
}

/// Whether there is something to look at first.
pub(super) fn any(page: &RunPage<'_>) -> bool {
    page.view.workers.iter().any(|worker| is_bad(worker.state)) || !of_the_run(page).is_empty()
}

/// What went wrong, worst first.
pub(super) fn failures(page: &RunPage<'_>) -> Markup {
    let alike = alike(page);
    let count: usize = alike.iter().map(|alike| alike.workers.len()).sum();
    let of_the_run = of_the_run(page);
    html! {
        @if any(page) {
            section #failures aria-labelledby="failures-title" {
                h2 #failures-title { "What went wrong" @if count > 0 { ": " (counted(count, "worker")) } }
                @for (list, step, text) in &of_the_run {
                    article.failure {
                        h3 { "× " (list) ": failed at " code { (name(step)) } }
                        p { (said(text, MESSAGE)) }
                    }
                }
                @for alike in alike.iter().take(SHOWN) { (failure(page, alike)) }
                @if alike.len() > SHOWN { p { (alike.len() - SHOWN) " other failures are in the table of workers." } }
            }
        }
    }
}

/// Steps of `before` and `after` whose last attempt did not end well.
fn of_the_run<'a>(page: &RunPage<'a>) -> Vec<(&'static str, &'a str, &'a str)> {
    let mut all = Vec::new();
    for (list, track) in [("before", page.timeline.lanes.first()), ("after", page.timeline.lanes.last())] {
        let Some(track) = track.filter(|track| !matches!(track.lane, Lane::Worker(_))) else { continue };
        let last = track.bars.iter().rfind(|bar| bar.kind == BarKind::Attempt);
        if let Some(bar) = last.filter(|bar| !matches!(bar.end, BarEnd::Ok | BarEnd::Open | BarEnd::Orphaned))
        {
            let step = &page.graph.steps(track.lane)[bar.step.index()];
            all.push((list, step.id.as_str(), bar.note.as_deref().unwrap_or(bar.end.describe())));
        }
    }
    all
}

fn alike<'a>(page: &RunPage<'a>) -> Vec<Alike<'a>> {
    let mut all: Vec<Alike<'_>> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for target in page.graph.target_indices() {
        let worker = page.view.worker(target);
        if !is_bad(worker.state) {
            continue;
        }
        let message = worker.error.as_ref().map_or_else(String::new, |error| error.message.clone());
        // What differs by the worker's own name only is alike.
        let key = (worker.state.describe(), worker.step.as_deref(), message.replace(&worker.host, "\0"));
        let at = *known.entry(key).or_insert_with(|| {
            all.push(Alike {
                state: worker.state,
                step: worker.step.as_deref(),
                message,
                workers: Vec::new(),
            });
            all.len() - 1
        });
        all[at].workers.push((target, worker));
    }
    let rank = |state| match state {
        PublicWorkerState::Failed => 0,
        PublicWorkerState::InDoubt => 1,
        _ => 2,
    };
    all.sort_by_key(|alike| (rank(alike.state), std::cmp::Reverse(alike.workers.len())));
    all
}

fn failure(page: &RunPage<'_>, alike: &Alike<'_>) -> Markup {
    let Some((target, first)) = alike.workers.first().copied() else { return html! {} };
    let ended = first.finished_at.map(|at| at.0);
    let last = page.timeline.lanes.get(target.0 as usize + 1).and_then(|track| track.bars.last());
    html! {
        article.failure {
            h3 {
                (state_sign(alike.state)) " "
                @for (at, (target, _)) in alike.workers.iter().take(NAMED).enumerate() {
                    @if at > 0 { ", " }
                    (link(page, *target))
                }
                @if alike.workers.len() > NAMED { " and " (alike.workers.len() - NAMED) " others" }
                ": " (alike.state.describe())
                @if let Some(step) = alike.step { " at " code { (name(step)) } }
            }
            @if !alike.message.is_empty() { p { (said(&alike.message, MESSAGE)) } }
            p.about {
                @if let Some(error) = &first.error { "Kind: " code { (name(&error.kind)) } ". " }
                @if let Some(attempt) = first.attempt { "Attempt " (attempt) ". " }
                @if let Some(at) = ended { "At " (moment(at)) ". " }
                @if let Some((bar, to)) = last.and_then(|bar| Some((bar, bar.to?))) {
                    "Its last step took " (describe_elapsed(to - bar.from)) ". "
                }
                @if let Some(boots) = boots(first) { (boots) }
            }
            @for (_, worker) in alike.workers.iter().take(OUTPUTS) { (output(page, worker)) }
            @if let Some(output) = page.outputs.iter().find(|output| output.host == first.host) { (commands(&output.logs)) }
        }
    }
}

fn boots(worker: &WorkerView) -> Option<String> {
    let unplanned = worker.unplanned_boots.len();
    (unplanned > 0).then(|| format!("It has booted by itself ({}). ", counted(unplanned, "time")))
}

fn output(page: &RunPage<'_>, worker: &WorkerView) -> Markup {
    let output = page.outputs.iter().find(|output| output.host == worker.host);
    let text = output.map(|output| output.text.as_str()).filter(|text| !text.trim().is_empty());
    let text = text.or(worker.error.as_ref().and_then(|error| error.output.as_deref()));
    html! {
        @if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
            p.about { "The end of what " (name(&worker.host)) " wrote" @if let Some(output) = output { " at " code { (name(&output.step)) } } ":" }
            pre.output tabindex="0" { @for line in text.lines() { (visible_line(line)) "\n" } }
        }
    }
}
