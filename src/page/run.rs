//! The page of one run.

use maud::{Markup, html};

use super::axis::Axis;
use super::model::RunPage;
use super::words::{moment, name};
use super::{down, failures, headline, lanes, live, plan, sections, shell, steps, workers};

/// The page of a run as one HTML document that needs nothing else.
pub fn run_page(page: &RunPage<'_>) -> String {
    shell::document(&title(page), &body(page, &Axis::new(page.timeline)))
}

/// What a browser calls it.
pub(super) fn title(page: &RunPage<'_>) -> String {
    format!("{} {} ({})", name(&page.view.plan), page.view.state.as_str(), name(&page.view.run))
}

/// A section that is replaced as a whole when something in it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Head,
    Failures,
    Approvals,
    Events,
    Promises,
    Down,
    Steps,
    Waits,
}

impl Section {
    /// Small, and worth being told at once.
    pub(super) const LIGHT: [Self; 4] = [Self::Head, Self::Failures, Self::Approvals, Self::Events];
    /// Large, or changed by nearly every fact.
    pub(super) const HEAVY: [Self; 4] = [Self::Promises, Self::Down, Self::Steps, Self::Waits];

    /// The id of its element.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Head => "part-head",
            Self::Failures => "part-failures",
            Self::Approvals => "part-approvals",
            Self::Events => "part-events",
            Self::Promises => "part-promises",
            Self::Down => "part-down",
            Self::Steps => "part-steps",
            Self::Waits => "part-waits",
        }
    }

    /// Its element.
    pub(super) fn element(self, page: &RunPage<'_>, axis: &Axis) -> Markup {
        let inside = match self {
            Self::Head => html! { (headline::headline(page)) (contents(page)) },
            Self::Failures => failures::failures(page),
            Self::Approvals => sections::approvals(page),
            Self::Events => sections::marks(page),
            Self::Promises => sections::promises(page),
            Self::Down => down::down(page, axis),
            Self::Steps => steps::steps(page, &steps::durations(page)),
            Self::Waits => sections::waits(page),
        };
        html! { div id=(self.id()) data-live[page.served.is_some()] { (inside) } }
    }
}

/// What is inside of the document.
pub(super) fn body(page: &RunPage<'_>, axis: &Axis) -> Markup {
    let section = |section: Section| section.element(page, axis);
    let durations = steps::durations(page);
    html! {
        a.skip href="#workers" { "Skip to the table of workers" }
        @if let Some(served) = &page.served { (live::bar(page, served)) }
        main {
            (section(Section::Head))
            (section(Section::Failures))
            (section(Section::Promises))
            (lanes::lanes(page, axis))
            (section(Section::Down))
            (section(Section::Steps))
            (section(Section::Waits))
            (section(Section::Approvals))
            (section(Section::Events))
            (workers::workers(page))
            (plan::plan(page, &durations))
        }
        footer {
            "Made by maand " (env!("CARGO_PKG_VERSION")) " at " (moment(page.made_at))
            ". All times are UTC, by the clock of the controller."
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
