//! A worker: in one run, what it waits for and what was done on it; over all runs, what happened on it.

use maud::{Markup, html};

use super::lanes::state_class;
use super::signs::{run_sign, state_sign};
use super::words::{MESSAGE, moment, name, said};
use super::{links, live, shell};
use crate::engine::{Millis, PublicWorkerState};
use crate::plan::visible_line;
use crate::report::{PublicRunState, describe_elapsed};

/// A browser loads what is under way again after so many seconds.
const RELOAD_SECONDS: u32 = 2;

/// One run on one worker.
#[derive(Clone, Debug)]
pub struct RunOfWorker {
    /// The run's name.
    pub run: String,
    /// The plan's name.
    pub plan: String,
    /// Where the run stands.
    pub state: PublicRunState,
    /// Who started it.
    pub by: String,
    /// When.
    pub started_at: Millis,
    /// Where the worker stands, or how it ended; `None`: nothing of it can be read.
    pub worker: Option<PublicWorkerState>,
    /// From its admission to its end.
    pub took: Option<Millis>,
    /// The boots before and after its reboot.
    pub boots: Option<(String, String)>,
    /// Why it failed, or was left alone.
    pub error: Option<String>,
    /// What was done on it, in order.
    pub steps: Vec<StepOfWorker>,
    /// What operators did about it, in words, with its moment.
    pub acts: Vec<(Millis, String)>,
    /// Why the run, or the rest of it, cannot be read.
    pub unreadable: Option<String>,
}

/// A step on a worker.
#[derive(Clone, Debug)]
pub struct StepOfWorker {
    /// Its id.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// How it ended, in a few words.
    pub how: String,
    /// It did not end well.
    pub is_bad: bool,
    /// When it began first.
    pub started_at: Millis,
    /// How long it took.
    pub took: Option<Millis>,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptOfStep>,
}

/// An attempt.
#[derive(Clone, Debug)]
pub struct AttemptOfStep {
    /// Its number within the run.
    pub id: u64,
    /// What for: `do`, `read boot id`.
    pub purpose: String,
    /// When it began.
    pub started_at: Millis,
    /// How long it took; `None`: it has not ended.
    pub took: Option<Millis>,
    /// How it ended.
    pub how: String,
    /// It did not end well.
    pub is_bad: bool,
}

/// Where a worker stands in a run.
pub struct WorkerOfRunPage<'a> {
    /// The worker.
    pub host: &'a str,
    /// Where it stands.
    pub state: PublicWorkerState,
    /// What it waits for, what it is at, or how it ended.
    pub why: &'a str,
    /// Its steps in the order of the plan, and where each stands.
    pub steps: &'a [(String, &'static str)],
    /// What was done on it; `None`: nothing.
    pub done: Option<&'a RunOfWorker>,
    /// The run.
    pub run: &'a str,
    /// The run can go on.
    pub is_live: bool,
    /// When the page was made.
    pub at: Millis,
}

/// The page of a worker of a run.
pub fn worker_of_run_page(page: &WorkerOfRunPage<'_>) -> String {
    let path = links::run(page.run);
    let bar = html! { a href=(path) { "Run " (name(page.run)) } a href=(links::worker(page.host)) { "All runs on this worker" } };
    let body = html! {
        (live::polled_bar(page.is_live.then_some(RELOAD_SECONDS), page.at, &bar))
        main {
            p.kind { "run " code { (name(page.run)) } }
            h1 { (name(page.host)) }
            div #worker data-live {
                p.outcome { b class=(state_class(page.state)) { (state_sign(page.state)) } " " (page.state.describe())
                    @if !page.why.is_empty() { ": " (said(page.why, MESSAGE)) } }
                h2 { "Its steps" }
                div.scroll tabindex="0" role="group" aria-label="Steps, scrolls" {
                    table {
                        thead { tr { th scope="col" { "step" } th scope="col" { "stands" } } }
                        tbody { @for (id, stands) in page.steps { tr { th scope="row" { (name(id)) } td { (stands) } } } }
                    }
                }
                @if let Some(done) = page.done {
                    h2 { "What was done" }
                    (steps(&path, done))
                }
            }
        }
        footer { "All times are UTC." }
    };
    let refresh = page.is_live.then_some(RELOAD_SECONDS * 5);
    shell::served(&format!("{} in {}", name(page.host), name(page.run)), refresh, &body)
}

/// What happened on a worker, newest run first; `more`: also in older runs.
pub fn worker_page(host: &str, runs: &[RunOfWorker], more: bool, at: Millis) -> String {
    let body = html! {
        (live::polled_bar(None, at, &html! {}))
        main {
            p.kind { "worker" }
            h1 { (name(host)) }
            @if runs.is_empty() {
                p { "No run has had a worker of this name. " a href="/" { "All runs" } }
            }
            @for of in runs { (run(host, of)) }
            @if more { p { "Older runs are not shown; they are told by:" } pre { "maand plan history --worker " (visible_line(host)) } }
        }
        footer { "As of " (moment(at)) ". All times are UTC." }
    };
    shell::served(&format!("{} over all runs", name(host)), None, &body)
}

fn run(host: &str, of: &RunOfWorker) -> Markup {
    let path = links::run(&of.run);
    let (sign, class) = run_sign(of.state);
    html! {
        section aria-label=(format!("Run {}", name(&of.run))) {
            h2 {
                a href=(path) { code { (name(&of.run)) } } " " (name(&of.plan)) " "
                span class=(class) { (sign) " " (of.state.as_str()) }
            }
            p.about { "Started " (moment(of.started_at)) @if !of.by.is_empty() { " by " (name(&of.by)) } }
            @if let Some(state) = of.worker {
                p {
                    b class=(state_class(state)) { (state_sign(state)) } " " (state.describe())
                    @if let Some(took) = of.took { " in " (describe_elapsed(took)) }
                    @if let Some((before, after)) = &of.boots { ", boot " (name(before)) " → " (name(after)) }
                    @if let Some(error) = &of.error { ": " (said(error, MESSAGE)) }
                    ". " a href=(links::worker_of_run(&path, host)) { "All attempts and their output" }
                }
            }
            @if let Some(why) = &of.unreadable { p.bad { "It cannot be read, or not all of it: " (said(why, MESSAGE)) } }
            (steps(&path, of))
        }
    }
}

/// Steps, attempts and what operators did.
fn steps(path: &str, of: &RunOfWorker) -> Markup {
    html! {
        @if !of.steps.is_empty() {
            div.scroll tabindex="0" role="group" aria-label="What was done, scrolls" {
                table {
                    thead { tr {
                        th scope="col" { "began" } th scope="col" { "step" } th.r scope="col" { "took" }
                        th scope="col" { "how it ended" } th scope="col" { "output" }
                    } }
                    tbody { @for one in &of.steps { (step(path, one)) } }
                }
            }
        }
        @if !of.acts.is_empty() {
            ul { @for (at, what) in &of.acts { li { (moment(*at)) " " (said(what, MESSAGE)) } } }
        }
    }
}

fn step(path: &str, step: &StepOfWorker) -> Markup {
    let is_one = step.attempts.len() == 1;
    let output = |attempt: &AttemptOfStep| html! { a href=(links::attempt(path, attempt.id)) { "output" } };
    html! {
        tr {
            td.w { (moment(step.started_at)) }
            th scope="row" {
                (name(&step.name)) @if step.kind != step.name && !step.kind.is_empty() { " (" (name(&step.kind)) ")" }
            }
            td.r { @if let Some(took) = step.took { (describe_elapsed(took)) } @else { "-" } }
            td class=(if step.is_bad { "bad" } else { "" }) { @if step.is_bad { "× " } (said(&step.how, MESSAGE)) }
            td { @if is_one { @for attempt in &step.attempts { (output(attempt)) } } }
        }
        @if !is_one {
            @for attempt in &step.attempts {
                tr {
                    td.w { (moment(attempt.started_at)) }
                    td { "attempt " (attempt.id) @if attempt.purpose != "do" { ": " (name(&attempt.purpose)) } }
                    td.r { @if let Some(took) = attempt.took { (describe_elapsed(took)) } @else { "-" } }
                    td class=(if attempt.is_bad { "bad" } else { "" }) { @if attempt.is_bad { "× " } (said(&attempt.how, MESSAGE)) }
                    td { (output(attempt)) }
                }
            }
        }
    }
}
