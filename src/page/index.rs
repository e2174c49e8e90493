//! The list of runs.

use maud::{Markup, html};

use super::{links, shell};
use crate::engine::Millis;
use crate::plan::visible_line;
use crate::report::{PublicRunState, Time, describe_span};

/// What the list shows.
pub struct IndexPage<'a> {
    /// The bucket's folder.
    pub bucket: &'a str,
    /// Runs, newest first.
    pub runs: &'a [IndexRun],
    /// When it was made.
    pub at: Millis,
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

/// The page.
pub fn index_page(page: &IndexPage<'_>) -> String {
    shell::served("Runs of maand", None, &body(page))
}

fn body(page: &IndexPage<'_>) -> Markup {
    html! {
        main {
            header {
                p.kind { "maand in " code { (visible_line(page.bucket)) } }
                h1 { "Runs" }
            }
            @if page.runs.is_empty() { (nothing()) } @else {
                div.scroll tabindex="0" role="group" aria-label="Runs, scrolls" {
                    table #runs {
                        thead { tr {
                            th scope="col" { "run" } th scope="col" { "plan" } th scope="col" { "state" }
                            th scope="col" { "workers" } th scope="col" { "by" } th scope="col" { "started" }
                            th scope="col" { "took" }
                        } }
                        tbody { @for run in page.runs { (row(run, page.at)) } }
                    }
                }
            }
            footer { "As of " (Time(page.at).to_second()) ". Times are UTC." }
        }
    }
}

fn row(run: &IndexRun, now: Millis) -> Markup {
    let until =
        run.finished_at.unwrap_or(if run.state == PublicRunState::Running { now } else { run.last_at });
    let (sign, class) = super::signs::run_sign(run.state);
    html! {
        tr {
            th scope="row" { a href=(links::run(&run.id)) { code { (run.id) } } }
            td { (visible_line(&run.plan)) }
            td { span class=(class) { (sign) " " (run.state.as_str()) } }
            td {
                (run.workers) ": " (run.succeeded) " succeeded"
                @if run.failed > 0 { ", " (run.failed) " failed" }
            }
            td { (run.who.as_deref().map_or_else(|| "-".to_owned(), visible_line)) }
            td { (Time(run.started_at).to_second()) }
            td { (describe_span(until - run.started_at)) }
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
