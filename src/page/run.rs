//! The page of one run.

use maud::{Markup, PreEscaped, html};

use super::axis::Axis;
use super::control::CONTROL_MARK;
use super::model::RunPage;
use super::words::{moment, name};
use super::{down, failures, forecast, headline, lanes, live, plan, sections, shell, signs, steps, workers};

/// The page of a run as one HTML document that needs nothing else.
pub fn run_page(page: &RunPage<'_>) -> String {
    shell::document(&title(page), &body(page, &Axis::new(page.timeline)))
}

/// What a browser calls it.
pub(super) fn title(page: &RunPage<'_>) -> String {
    let forecast = page.forecast.map_or("", |_| "Forecast: ");
    format!("{forecast}{} {} ({})", name(&page.view.plan), page.view.state.as_str(), name(&page.view.run))
}

/// A section that is replaced as a whole when something in it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Head,
    Failures,
    Promises,
    Down,
    Steps,
    Waits,
    Approvals,
    Events,
    Graph,
}

impl Section {
    pub(super) const ALL: [Self; 9] = [
        Self::Head,
        Self::Failures,
        Self::Promises,
        Self::Down,
        Self::Steps,
        Self::Waits,
        Self::Approvals,
        Self::Events,
        Self::Graph,
    ];

    fn id(self) -> &'static str {
        match self {
            Self::Head => "part-head",
            Self::Failures => "part-failures",
            Self::Promises => "part-promises",
            Self::Down => "part-down",
            Self::Steps => "part-steps",
            Self::Waits => "part-waits",
            Self::Approvals => "part-approvals",
            Self::Events => "part-events",
            Self::Graph => "part-graph",
        }
    }

    /// Large, or changed by nearly every fact: not worth being sent at once.
    pub(super) fn is_heavy(self) -> bool {
        matches!(self, Self::Promises | Self::Down | Self::Waits | Self::Steps | Self::Graph)
    }

    /// Its element.
    pub(super) fn element(self, page: &RunPage<'_>, axis: &Axis) -> (&'static str, Markup) {
        let inside = match self {
            Self::Head => html! { (headline::headline(page)) (contents(page)) },
            Self::Failures => failures::failures(page),
            Self::Promises => sections::promises(page),
            Self::Down => down::down(page, axis),
            Self::Steps => steps::steps(page),
            Self::Waits => sections::waits(page),
            Self::Approvals => sections::approvals(page),
            Self::Events => sections::marks(page),
            Self::Graph => plan::steps(page),
        };
        let id = self.id();
        (id, html! { div id=(id) data-live[page.served.is_some()] { (inside) } })
    }
}

/// What is inside of the document.
pub(super) fn body(page: &RunPage<'_>, axis: &Axis) -> Markup {
    let section = |section: Section| section.element(page, axis).1;
    html! {
        a.skip href="#workers" { "Skip to the table of workers" }
        (signs::patterns())
        @if let Some(served) = &page.served { (live::bar(page, served)) }
        main {
            @if let Some(forecast) = page.forecast { (forecast::banner(forecast)) }
            (section(Section::Head))
            @if page.served.is_some() { (PreEscaped(CONTROL_MARK)) }
            (section(Section::Failures))
            (section(Section::Promises))
            (lanes::lanes(page, axis))
            (section(Section::Down))
            (section(Section::Steps))
            (section(Section::Waits))
            (section(Section::Approvals))
            (section(Section::Events))
            (workers::workers(page))
            (plan::limits(page))
            (section(Section::Graph))
            (plan::text(page))
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
        nav.contents aria-label="On this page" {
            @if failures::any(page) { a href="#failures" { "What went wrong" } }
            a href="#promises" { "Promises" }
            a href="#timeline-title" { "Timeline" }
            a href="#down" { "Down at the same time" }
            a href="#steps" { "Durations" }
            a href="#events" { "What happened" }
            a href="#workers" { "Workers" }
            a href="#plan" { "Plan" }
        }
    }
}
