//! The list of runs.

use maud::{Markup, html};

use super::signs::run_sign;
use super::words::{moment, name};
use super::{links, live, shell};
use crate::engine::Millis;
use crate::plan::counted;
use crate::report::{PublicRunState, describe_span};

/// A browser loads the list again after so many seconds.
const RELOAD_SECONDS: u32 = 3;

/// What the list shows.
pub struct IndexPage<'a> {
    /// The bucket's folder.
    pub bucket: &'a str,
    /// What was asked for.
    pub filter: &'a IndexFilter,
    /// Why the filter is not understood.
    pub refused: Option<&'a str>,
    /// Runs, newest first.
    pub runs: &'a [IndexRun],
    /// How many there are.
    pub total: usize,
    /// How many the filter means; `None`: not all of them were looked at.
    pub matching: Option<usize>,
    /// When it was made.
    pub at: Millis,
}

/// What a list is narrowed to, as it was typed; an empty part means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexFilter {
    /// The plan's name, or a pattern.
    pub plan: String,
    /// Where it stands.
    pub state: String,
    /// Who started it: a piece of `user@host`.
    pub by: String,
    /// A worker that took part.
    pub worker: String,
    /// Something happened in it during the last hours or days: `24h`, `7d`.
    pub since: String,
    /// Which page of the list, counted from 1.
    pub page: usize,
}

impl IndexFilter {
    /// Spans that `since` may have, with their words.
    pub const SPANS: [(&'static str, &'static str); 5] = [
        ("1h", "the last hour"),
        ("24h", "the last 24 hours"),
        ("7d", "the last 7 days"),
        ("30d", "the last 30 days"),
        ("365d", "the last year"),
    ];

    /// The path of another page of the same list.
    fn path(&self, page: usize) -> String {
        let page = page.to_string();
        let parts = [
            ("plan", self.plan.as_str()),
            ("state", &self.state),
            ("by", &self.by),
            ("worker", &self.worker),
            ("since", &self.since),
            ("page", if page == "1" { "" } else { &page }),
        ];
        links::with_query("/", &parts)
    }
}

/// A run in the list.
#[derive(Clone, Debug)]
pub struct IndexRun {
    /// Its name.
    pub id: String,
    /// The plan's name.
    pub plan: String,
    /// Where it stands.
    pub state: PublicRunState,
    /// Who started it; `None`: that cannot be read.
    pub who: Option<String>,
    /// When it was started.
    pub started_at: Millis,
    /// When something happened last.
    pub last_at: Millis,
    /// When it ended.
    pub finished_at: Option<Millis>,
    /// Workers that take part.
    pub workers: u32,
    /// Of them: ended well.
    pub succeeded: u32,
    /// Of them: failed.
    pub failed: u32,
}

/// The page; `next`: there are more runs behind those.
pub fn index_page(page: &IndexPage<'_>, next: bool) -> String {
    shell::served("Runs of maand", Some(10), &body(page, next))
}

fn body(page: &IndexPage<'_>, next: bool) -> Markup {
    let filter = page.filter;
    html! {
        (live::polled_bar(Some(RELOAD_SECONDS), page.at, &html! {}))
        main {
            header {
                p.kind { "maand in " code { (name(page.bucket)) } }
                h1 { "Runs" }
            }
            @if page.total > 0 || *filter != IndexFilter::default() { (form(filter)) }
            @if let Some(why) = page.refused { p.bad { (name(why)) } }
            div #list data-live {
                @if page.total == 0 { (nothing()) } @else if page.runs.is_empty() {
                    p { "None of " (counted(page.total, "run")) " fits. " a href="/" { "All runs" } }
                } @else {
                    p.about {
                        @if let Some(matching) = page.matching.filter(|matching| *matching < page.total) {
                            (matching) " of " (page.total) " runs, newest first"
                        } @else if page.matching.is_none() {
                            "Of " (page.total) " runs, newest first"
                        } @else { (counted(page.total, "run")) ", newest first" }
                    }
                    (table(page))
                }
                @if filter.page > 1 || next {
                    nav aria-label="Pages of the list" {
                        @if filter.page > 1 { a href=(filter.path(filter.page - 1)) { "Newer runs" } }
                        @if next { a href=(filter.path(filter.page.max(1) + 1)) { "Older runs" } }
                    }
                }
            }
        }
        footer { "All times are UTC." }
    }
}

fn form(filter: &IndexFilter) -> Markup {
    let choice = |value: &str, words: &str, chosen: &str| {
        html! { option value=(value) selected[value == chosen] { (words) } }
    };
    html! {
        form.filter method="get" action="/" role="search" {
            label { "State" select name="state" {
                (choice("", "all", &filter.state))
                @for state in PublicRunState::ALL { (choice(state.as_str(), state.as_str(), &filter.state)) }
            } }
            label { "Plan" input name="plan" value=(filter.plan) placeholder="name, * and ?" maxlength="200"; }
            label { "Worker" input name="worker" value=(filter.worker) placeholder="host" maxlength="300"; }
            label { "Started by" input name="by" value=(filter.by) placeholder="user@host" maxlength="200"; }
            label { "During" select name="since" {
                (choice("", "all time", &filter.since))
                @for (value, words) in IndexFilter::SPANS { (choice(value, words, &filter.since)) }
            } }
            button { "Show" }
            @if *filter != IndexFilter::default() { a href="/" { "All runs" } }
        }
    }
}

fn table(page: &IndexPage<'_>) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="Runs, scrolls" {
            table #runs {
                thead { tr {
                    th scope="col" { "run" } th scope="col" { "state" } th scope="col" { "plan" }
                    th scope="col" { "workers" } th scope="col" { "started by" } th scope="col" { "started" }
                    th.r scope="col" { "took" }
                } }
                tbody { @for run in page.runs { (row(run, page.at)) } }
            }
        }
    }
}

fn row(run: &IndexRun, now: Millis) -> Markup {
    let until =
        run.finished_at.unwrap_or(if run.state == PublicRunState::Running { now } else { run.last_at });
    let (sign, class) = run_sign(run.state);
    html! {
        tr {
            th.w scope="row" { a href=(links::run(&run.id)) { code { (run.id) } } }
            td.w { span class=(class) { b { (sign) } " " (run.state.as_str()) } }
            td { (name(&run.plan)) }
            td {
                (run.workers) ": " (run.succeeded) " succeeded"
                @if run.failed > 0 { ", " b.bad { (run.failed) " failed" } }
            }
            td { @if let Some(who) = &run.who { (name(who)) } @else { "-" } }
            td.w { (moment(run.started_at)) }
            td.r { (describe_span(until - run.started_at)) }
        }
    }
}

/// What to type where there is no run yet.
fn nothing() -> Markup {
    html! {
        p { "There is no run in this bucket yet. Begin one, and it is shown here:" }
        pre { "maand plan new reboot --from rolling-reboot\nmaand plan apply reboot.yaml\n" }
    }
}
