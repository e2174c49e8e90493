//! What tells a forecast from a run: nothing on its page has happened.

use maud::{Markup, html};

use super::axis::percent;
use super::words::{MESSAGE, said};
use crate::engine::Millis;
use crate::plan::counted;
use crate::report::describe_span;

/// What a forecast was made from; the rest of its page is that of one simulated run.
pub struct Forecast<'a> {
    /// The same seed gives the same page.
    pub seed: u64,
    /// How many runs were simulated in which nothing fails.
    pub runs: u32,
    /// How many of them took how long: from, below, number.
    pub finishes: &'a [(Millis, Millis, u32)],
    /// The run in the middle, which is shown: how long it takes.
    pub expected: Millis,
    /// The slowest.
    pub worst: Millis,
    /// The workers are made up.
    pub synthetic: bool,
    /// In a sentence: where it is from how long steps take.
    pub durations: &'a str,
}

/// The first thing on the page.
pub(super) fn banner(forecast: &Forecast<'_>) -> Markup {
    html! {
        section.next #forecast aria-labelledby="forecast-title" {
            h2 #forecast-title { "A forecast: nothing of this has happened" }
            p {
                (counted(forecast.runs as usize, "run")) " under virtual time (seed " (forecast.seed) ")"
                @if forecast.synthetic { " over workers that are made up" }
                "; no worker was contacted. The page shows the run in the middle, in which nothing fails; "
                (said(forecast.durations, MESSAGE)) "."
            }
            p {
                "Expected: " b { (describe_span(forecast.expected)) }
                ", at worst " (describe_span(forecast.worst)) ". Times of day count from the moment at which the simulation begins."
            }
            (finishes(forecast))
        }
    }
}

/// How many runs take how long.
fn finishes(forecast: &Forecast<'_>) -> Markup {
    let most = forecast.finishes.iter().map(|(.., runs)| *runs).max().unwrap_or(0).max(1);
    html! {
        table {
            caption { "How long the " (counted(forecast.runs as usize, "run")) " take" }
            thead { tr { th scope="col" { "from" } th scope="col" { "runs" } th scope="col" { } } }
            tbody {
                @for (from, below, runs) in forecast.finishes {
                    tr {
                        th scope="row" { (describe_span(*from)) @if (*from..*below).contains(&forecast.expected) { " (expected)" } }
                        td { (runs) }
                        td {
                            svg width="240" height="12" aria-hidden="true" {
                                rect.deploy width=(percent(f64::from(*runs) / f64::from(most) * 100.0)) height="12" {}
                            }
                        }
                    }
                }
            }
        }
    }
}
