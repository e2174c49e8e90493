//! The page of one run.

use maud::{Markup, html};

use super::axis::Axis;
use super::model::RunPage;
use super::{down, lanes, sections, shell, steps};
use crate::plan::visible_line;
use crate::report::Time;

/// The page of a run as one HTML document.
pub fn run_page(page: &RunPage<'_>) -> String {
    let title = format!(
        "{} {} ({})",
        visible_line(&page.view.plan),
        page.view.state.as_str(),
        visible_line(&page.view.run)
    );
    shell::document(&title, &body(page))
}

/// What is inside of the document.
fn body(page: &RunPage<'_>) -> Markup {
    let axis = Axis::new(page.timeline);
    html! {
        a.skip href="#workers" { "Skip to the table of workers" }
        main {
            (sections::headline(page))
            (sections::failures(page))
            (sections::promises(page))
            h2 #timeline-title { "Timeline" }
            (controls())
            (lanes::lanes(page, &axis))
            (legend())
            (down::down(page, &axis))
            (sections::waits(page))
            (steps::steps(page))
            (sections::marks(page))
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
