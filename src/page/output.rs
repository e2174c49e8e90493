//! What an attempt has written.

use maud::html;

use super::words::{MESSAGE, moment, name, said};
use super::{links, live, shell};
use crate::engine::Millis;
use crate::plan::{counted, visible_line};
use crate::report::describe_elapsed;

/// A browser loads the output of an attempt that is under way again after so many seconds.
const RELOAD_SECONDS: u32 = 1;

/// An attempt and its output.
pub struct OutputPage<'a> {
    /// The run.
    pub run: &'a str,
    /// The number of the attempt.
    pub attempt: u64,
    /// The worker, or `before` or `after`.
    pub whose: &'a str,
    /// It is a worker's.
    pub is_worker: bool,
    /// The step.
    pub step: &'a str,
    /// When it was begun.
    pub started_at: Millis,
    /// When it ended, whether well, and how; `None`: it has not.
    pub ended: Option<(Millis, bool, String)>,
    /// What was written, by host; no host: on the controller.
    pub outputs: &'a [HostOutput],
    /// So many hosts more have written something.
    pub more: usize,
    /// Somebody may be at work on it.
    pub is_live: bool,
    /// When the page was made.
    pub at: Millis,
}

/// What one host has written.
#[derive(Clone, Debug)]
pub struct HostOutput {
    /// The host.
    pub host: String,
    /// Beginning and end.
    pub text: String,
    /// How many bytes it were.
    pub bytes: u64,
}

/// The page.
pub fn output_page(page: &OutputPage<'_>) -> String {
    let path = links::run(page.run);
    let is_open = page.ended.is_none() && page.is_live;
    let bar = html! {
        a href=(path) { "Run " (name(page.run)) }
        @if page.is_worker { a href=(links::worker_of_run(&path, page.whose)) { (name(page.whose)) } }
    };
    let body = html! {
        (live::polled_bar(is_open.then_some(RELOAD_SECONDS), page.at, &bar))
        main {
            p.kind { "attempt " (page.attempt) " of run " code { (name(page.run)) } }
            h1 { (name(page.step)) " on " (name(page.whose)) }
            div #output data-live {
                p.outcome {
                    "Begun " (moment(page.started_at)) "; "
                    @if let Some((at, is_well, how)) = &page.ended {
                        @if *is_well { (said(how, MESSAGE)) } @else { b.bad { "× " (said(how, MESSAGE)) } }
                        " after " (describe_elapsed(at - page.started_at))
                    } @else { "it has not ended" }
                }
                @if page.outputs.is_empty() { p { "Nothing was written." } }
                @for output in page.outputs {
                    h2 {
                        @if output.host.is_empty() { "On the controller" } @else { (name(&output.host)) }
                        ": " (counted(usize::try_from(output.bytes).unwrap_or(usize::MAX), "byte"))
                    }
                    pre tabindex="0" { @for line in output.text.lines() { (visible_line(line)) "\n" } }
                }
                @if page.more > 0 {
                    p { (counted(page.more, "host")) " more have written something; all of it is shown by:" }
                    pre { "maand plan logs " (name(page.run)) " --step " (visible_line(page.step)) }
                }
            }
        }
        footer { "All times are UTC." }
    };
    let refresh = is_open.then_some(RELOAD_SECONDS * 5);
    shell::served(&format!("{} on {}", name(page.step), name(page.whose)), refresh, &body)
}
