//! The table of workers.

use maud::{Markup, html};

use super::lanes::{is_grouped, state_class};
use super::links;
use super::model::RunPage;
use super::signs::state_sign;
use super::steps::link;
use super::words::{Clock, MESSAGE, name, said};
use crate::engine::PublicWorkerState;
use crate::graph::TargetIx;
use crate::plan::counted;
use crate::report::describe_elapsed;

/// Rows of a large fleet, in which those that succeeded are only in their groups.
const ROWS: usize = 2000;

/// Every worker; of a large fleet those that did not succeed.
pub(super) fn workers(page: &RunPage<'_>) -> Markup {
    let is_short = is_grouped(page);
    let is_shown =
        |target: &TargetIx| !is_short || page.view.worker(*target).state != PublicWorkerState::Succeeded;
    let shown: Vec<TargetIx> = page.graph.target_indices().filter(is_shown).collect();
    let rows = if is_short { &shown[..shown.len().min(ROWS)] } else { &shown[..] };
    let left_out = page.view.workers.len() - rows.len();
    html! {
        section #workers aria-labelledby="workers-title" {
            h2 #workers-title { "Workers" }
            @if left_out > 0 {
                p.about { (counted(left_out, "worker")) " more, and those that succeeded, are in the groups of the timeline." }
            }
            div.scroll tabindex="0" role="group" aria-label="Workers, scrolls" {
                table #table data-live[page.served.is_some()] {
                    thead { tr {
                        th scope="col" { "worker" } th scope="col" { "state" } th.r scope="col" { "wave" }
                        th.r scope="col" { "steps" } th scope="col" { "started" } th.r scope="col" { "took" }
                        th scope="col" { "boot before → after" } th scope="col" { "besides" }
                    } }
                    tbody { @for target in rows { (row(page, *target)) } }
                }
            }
        }
    }
}

/// The row of a worker.
pub(super) fn row(page: &RunPage<'_>, target: TargetIx) -> Markup {
    let worker = page.view.worker(target);
    let clock = Clock::of(page.timeline);
    let short = |id: &Option<String>| {
        id.as_deref().map_or_else(|| "-".to_owned(), |id| name(id).chars().take(8).collect())
    };
    html! {
        tr id=(row_id(target)) data-host=(name(&worker.host)) data-state=(worker.state.describe()) {
            th scope="row" {
                (link(page, target))
                @if let Some(served) = page.served { " " a href=(links::worker_of_run(served.path, &worker.host)) { "logs" } }
            }
            td.w { b class=(state_class(worker.state)) { (state_sign(worker.state)) } " " (worker.state.describe()) }
            td.r { (worker.wave) }
            td.r { (worker.steps_done) "/" (worker.steps) }
            td.w { @if let Some(at) = worker.started_at { (clock.at(at.0)) } @else { "-" } }
            td.r { @if let Some(took) = worker.took() { (describe_elapsed(took)) } @else { "-" } }
            td.w { (short(&worker.boot_id_before)) @if worker.boot_id_after.is_some() { " → " (short(&worker.boot_id_after)) } }
            td {
                @if worker.state != PublicWorkerState::Succeeded { @if let Some(step) = &worker.step { "at " (name(step)) ". " } }
                @if let Some(error) = &worker.error { (said(&error.message, MESSAGE)) }
                @else if let Some(wait) = &worker.waits_for { (said(wait, MESSAGE)) }
                @if let Some(notice) = worker.kernel_notice().filter(|_| worker.error.is_none()) { " " (said(&notice, MESSAGE)) }
                @if worker.retries > 0 { " (taken up again " (worker.retries) "×)" }
                @if !worker.unplanned_boots.is_empty() { " (booted by itself " (worker.unplanned_boots.len()) "×)" }
            }
        }
    }
}

/// The id of a worker's row.
pub(super) fn row_id(target: TargetIx) -> String {
    format!("worker-{}", target.0)
}
