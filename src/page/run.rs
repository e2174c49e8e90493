//! The page of one run.

use maud::{Markup, html};

use super::axis::Axis;
use super::model::RunPage;
use super::words::{moment, name};
use super::{down, failures, forecast, headline, lanes, plan, sections, shell, steps, workers};

/// The page of a run as one HTML document.
pub fn run_page(page: &RunPage<'_>) -> String {
    let forecast = page.forecast.map_or("", |_| "Forecast: ");
    let title = format!(
        "{forecast}{} {} ({})",
        name(&page.view.plan),
        page.view.state.as_str(),
        name(&page.view.run)
    );
    shell::document(&title, &body(page))
}

/// What is inside of the document.
fn body(page: &RunPage<'_>) -> Markup {
    let axis = Axis::new(page.timeline);
    let durations = steps::durations(page);
    html! {
        a.skip href="#workers" { "Skip to the table of workers" }
        main {
            @if let Some(forecast) = page.forecast { (forecast::banner(forecast)) }
            (headline::headline(page))
            (contents(page))
            (failures::failures(page))
            (sections::promises(page))
            (lanes::lanes(page, &axis))
            (down::down(page, &axis))
            (steps::steps(page, &durations))
            (sections::waits(page))
            (sections::approvals(page))
            (sections::marks(page))
            (workers::workers(page))
            (plan::plan(page, &durations))
        }
        footer {
            @if page.forecast.is_some() {
                "Made by maand " (env!("CARGO_PKG_VERSION")) ". All times are those of a simulation."
            } @else {
                "Made by maand " (env!("CARGO_PKG_VERSION")) " at " (moment(page.made_at))
                ". All times are UTC, by the clock of the controller."
            }
        }
    }
}

/// Where to find what.
fn contents(page: &RunPage<'_>) -> Markup {
    html! {
        nav aria-label="On this page" {
            @if failures::any(page) { a href="#failures" { "What went wrong" } }
            a href="#promises" { "Promises" }
            a href="#timeline" { "Timeline" }
            a href="#down" { "Down at the same time" }
            a href="#steps" { "Durations" }
            a href="#events" { "What happened" }
            a href="#workers" { "Workers" }
            a href="#plan" { "Plan" }
        }
    }
}
