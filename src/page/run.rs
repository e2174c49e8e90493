//! The page of one run.

use maud::{Markup, PreEscaped, html};

use super::axis::Axis;
use super::control::CONTROL_MARK;
use super::model::RunPage;
use super::{down, lanes, live, sections, shell, steps};
use crate::plan::visible_line;
use crate::report::Time;

/// The page of a run as one HTML document that needs nothing else.
pub fn run_page(page: &RunPage<'_>) -> String {
    shell::document(&title(page), &body(page, &Axis::new(page.timeline)))
}

/// What a browser calls it.
pub(super) fn title(page: &RunPage<'_>) -> String {
    let view = page.view;
    format!("{} {} ({})", visible_line(&view.plan), view.state.as_str(), visible_line(&view.run))
}

/// A section that is replaced as a whole when something in it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Head,
    Failures,
    Promises,
    Down,
    Waits,
    Steps,
    Events,
}

impl Section {
    pub(super) const ALL: [Self; 7] =
        [Self::Head, Self::Failures, Self::Promises, Self::Down, Self::Waits, Self::Steps, Self::Events];

    fn id(self) -> &'static str {
        match self {
            Self::Head => "part-head",
            Self::Failures => "part-failures",
            Self::Promises => "part-promises",
            Self::Down => "part-down",
            Self::Waits => "part-waits",
            Self::Steps => "part-steps",
            Self::Events => "part-events",
        }
    }

    /// Large, or changed by nearly every fact: not worth being sent at once.
    pub(super) fn is_heavy(self) -> bool {
        matches!(self, Self::Promises | Self::Down | Self::Waits | Self::Steps)
    }

    /// Its element.
    pub(super) fn element(self, page: &RunPage<'_>, axis: &Axis) -> (&'static str, Markup) {
        let inside = match self {
            Self::Head => sections::headline(page),
            Self::Failures => sections::failures(page),
            Self::Promises => sections::promises(page),
            Self::Down => down::down(page, axis),
            Self::Waits => sections::waits(page),
            Self::Steps => steps::steps(page),
            Self::Events => sections::marks(page),
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
        @if let Some(served) = &page.served { (live::bar(page, served)) }
        main {
            (section(Section::Head))
            @if page.served.is_some() { (PreEscaped(CONTROL_MARK)) }
            (section(Section::Failures))
            (section(Section::Promises))
            h2 #timeline-title { "Timeline" }
            (controls())
            (lanes::lanes(page, axis))
            (legend())
            (section(Section::Down))
            (section(Section::Waits))
            (section(Section::Steps))
            (section(Section::Events))
            (sections::workers(page))
            (sections::plan(page))
            footer { "Made by maand " (env!("CARGO_PKG_VERSION")) " at " (Time(page.made_at).to_second()) ". Times are UTC." }
        }
    }
}

/// Filter and zoom; the script shows them where it runs.
fn controls() -> Markup {
    html! {
        form #controls hidden {
            label { "Find " input #find type="search" autocomplete="off" placeholder="host"; }
            label { "State "
                select #state {
                    option value="" { "all" }
                    @for state in ["failed", "in doubt", "running", "queued", "succeeded", "reverted", "skipped"] {
                        option value=(state) { (state) }
                    }
                }
            }
            label { "Zoom " input #zoom type="range" min="1" max="12" step="0.5" value="1"; }
            output #found aria-live="polite" {}
        }
    }
}

fn legend() -> Markup {
    let all = [
        ("drain", "disable, enable, job control"),
        ("deploy", "build, deploy"),
        ("reboot", "reboot"),
        ("return", "wait for SSH"),
        ("health", "health"),
        ("command", "commands"),
        ("approval", "waits for an approval"),
        ("idle", "pause, next attempt"),
        ("undo", "undo"),
    ];
    html! {
        ul.legend aria-label="Colours of the timeline" {
            @for (class, what) in all {
                li { svg.key width="12" height="12" aria-hidden="true" { rect class=(class) width="12" height="12" {} } " " (what) }
            }
            li { "× did not end well" }
            li { "✖ controller gone, ■ stopped, ‖ paused, ▶ started or resumed, ! halted" }
        }
    }
}
