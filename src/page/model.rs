//! What a page is made of.

use std::sync::Arc;

use super::forecast::Forecast;
use crate::engine::Millis;
use crate::graph::RolloutGraph;
use crate::report::RunView;
use crate::timeline::Timeline;

/// Everything that the page of a run shows.
pub struct RunPage<'a> {
    /// The view, refreshed.
    pub view: &'a RunView,
    /// What happened when.
    pub timeline: &'a Timeline,
    /// The compiled plan.
    pub graph: &'a Arc<RolloutGraph>,
    /// Who started it, `user@host`.
    pub who: &'a str,
    /// The version of the program that began it.
    pub program: &'a str,
    /// The plan's text.
    pub plan_text: &'a str,
    /// The plan's file, as it was named.
    pub plan_file: &'a str,
    /// Number and hash of the newest fact: the hash covers all facts before it.
    pub record: Option<(u64, &'a str)>,
    /// What failed workers wrote last, by host.
    pub outputs: &'a [FailureOutput],
    /// What to type next, if there is something to be done: a sentence, then commands on indented lines.
    pub next: &'a [String],
    /// When the page was made.
    pub made_at: Millis,
    /// Where the page is served and how it stays up to date; `None`: it is a file.
    pub served: Option<Served<'a>>,
    /// It is no run but a forecast of one.
    pub forecast: Option<&'a Forecast<'a>>,
}

/// What a page of a run says only where it is served.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// The path of its page: `/runs/RUN`. Its events, workers and logs are below.
    pub path: &'a str,
    /// The newest event that is in the page already.
    pub version: &'a str,
}

/// The end of what a step wrote that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureOutput {
    /// The worker.
    pub host: String,
    /// The step's id.
    pub step: String,
    /// Its last lines; it may have written nothing.
    pub text: String,
    /// What shows the whole output, in the form of [`RunPage::next`].
    pub logs: String,
}
