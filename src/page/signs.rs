//! What colours, patterns and signs mean. Nothing is said by a colour alone.

use maud::{Markup, html};

use super::model::RunPage;
use super::words::{MESSAGE, said};
use crate::engine::PublicWorkerState;
use crate::plan::StepKind;
use crate::report::PublicRunState;
use crate::timeline::{BarKind, HoldKind, Mark, MarkKind, WaitKind};

/// The classes of bars, which each have a colour and a pattern: what they are for.
const BARS: &[(&str, &str)] = &[
    ("drain", "disable, enable, start, stop"),
    ("deploy", "build, deploy"),
    ("reboot", "reboot"),
    ("return", "wait until it is back"),
    ("health", "health and sync checks"),
    ("command", "commands of the plan"),
    ("approval", "waits for an approval"),
    ("idle", "pause, or until the next attempt"),
    ("undo", "undo"),
];

/// The class of a bar, by what its step is for.
pub(super) fn bar_class(kind: BarKind, step: &StepKind) -> &'static str {
    crate::timeline::Activity::of(kind, step).as_str()
}

/// The class of a step where no bar is.
pub(super) fn step_class(step: &StepKind) -> &'static str {
    match step {
        StepKind::Pause { .. } => "idle",
        StepKind::Approve { .. } => "approval",
        step => bar_class(BarKind::Attempt, step),
    }
}

/// A small piece of a bar, for legends and tables.
pub(super) fn swatch(class: &str) -> Markup {
    html! { svg.key aria-hidden="true" { rect class=(class) {} } }
}

/// The patterns of bars. They are parts of the document, and shown nowhere by themselves.
pub(super) fn patterns() -> Markup {
    /// Class, turned by so many degrees, and lines of a tile of 6 x 6.
    const TILES: &[(&str, i32, &str)] = &[
        ("deploy", 0, "M0 1h2M3 4h2"),
        ("reboot", 45, "M0 0v6M3 0v6"),
        ("return", 0, "M1 0v6"),
        ("health", 0, "M0 3h6"),
        ("command", 0, "M0 1h6M1 0v6"),
        ("approval", 45, "M0 0v6M0 0h6"),
        ("idle", 0, "M1 1h1M4 4h1"),
        ("undo", 135, "M1 0v6"),
        ("cut", 45, "M1 0v6"),
        ("held", 135, "M1 0v6"),
        ("gone", 45, "M1 0v6M0 1h6"),
    ];
    html! {
        svg.defs aria-hidden="true" width="0" height="0" {
            defs {
                @for (class, turned, lines) in TILES {
                    pattern id=(format!("p-{class}")) width="6" height="6" patternUnits="userSpaceOnUse"
                        patternTransform=(format!("rotate({turned})")) {
                        rect class=(format!("f-{class}")) width="6" height="6" {}
                        path class=(format!("l-{class}")) d=(lines) {}
                    }
                }
            }
        }
    }
}

/// What is seen on the timeline, in words.
pub(super) fn legend() -> Markup {
    html! {
        details.legend open {
            summary { "What the signs mean" }
            ul {
                @for (class, what) in BARS { li { (swatch(class)) " " (what) } }
                li { (swatch("held")) " no worker was started: soak, pause, stop, halt" }
                li { (swatch("gone")) " nobody carried the run out" }
                li { (swatch("cut")) " time cut out, as nothing happened" }
            }
            ul {
                li { b { "✓" } " succeeded" }
                li { b { "×" } " failed, or this attempt did not end well" }
                li { b { "?" } " in doubt: the answer was lost" }
                li { b { "↺" } " put back as it was" }
                li { b { "–" } " skipped, left alone or cancelled" }
                li { b { "…" } " under way" }
                li { b { "○" } " not started" }
                li { b { "▶" } " run started or resumed" }
                li { b { "⇄" } " taken over by another machine" }
                li { b { "✖" } " controller gone, or aborted" }
                li { b { "■" } " stopped" }
                li { b { "‖" } " paused" }
                li { b { "!" } " halted" }
                li { b { "↻" } " taken up again" }
                li { b { "●" } " run ended" }
            }
        }
    }
}

/// A sign beside a worker.
pub(super) fn state_sign(state: PublicWorkerState) -> &'static str {
    match state {
        PublicWorkerState::Succeeded => "✓",
        PublicWorkerState::Failed => "×",
        PublicWorkerState::InDoubt => "?",
        PublicWorkerState::Skipped | PublicWorkerState::LeftAlone | PublicWorkerState::Cancelled => "–",
        PublicWorkerState::Reverted => "↺",
        PublicWorkerState::Queued => "○",
        _ => "…",
    }
}

/// Sign and class of a run.
pub(super) fn run_sign(state: PublicRunState) -> (&'static str, &'static str) {
    match state {
        PublicRunState::Succeeded => ("✓", "good"),
        PublicRunState::Failed | PublicRunState::Halted | PublicRunState::Aborted => ("×", "bad"),
        PublicRunState::Running => ("▶", "live"),
        PublicRunState::Waiting | PublicRunState::Paused | PublicRunState::Interrupted => ("‖", "hold"),
    }
}

/// Sign and class of a mark.
pub(super) fn mark_sign(kind: &MarkKind) -> (&'static str, &'static str) {
    match kind {
        MarkKind::Started => ("▶", "m"),
        MarkKind::Resumed { from_bundle: false, .. } => ("▶", "m go"),
        MarkKind::Resumed { from_bundle: true, .. } => ("⇄", "m go"),
        MarkKind::ControllerGone | MarkKind::Aborted { .. } => ("✖", "m no"),
        MarkKind::Interrupted { .. } => ("■", "m"),
        MarkKind::Paused { .. } => ("‖", "m"),
        MarkKind::Halted { .. } => ("!", "m no"),
        MarkKind::Approved { .. } | MarkKind::Settled { .. } => ("✓", "m"),
        MarkKind::Retried { .. } => ("↻", "m"),
        MarkKind::Skipped { .. } => ("–", "m"),
        MarkKind::InDoubt { .. } => ("?", "m no"),
        MarkKind::NotSilenced { .. } => ("♪", "m"),
        MarkKind::Finished { .. } => ("●", "m"),
    }
}

/// A mark in one line.
pub(super) fn describe_mark(page: &RunPage<'_>, mark: &Mark) -> String {
    said(&crate::timeline::describe_mark(mark, page.graph, page.who), MESSAGE)
}

/// The class of a time in which no worker was started.
pub(super) fn hold_class(kind: HoldKind) -> &'static str {
    match kind {
        HoldKind::Soak | HoldKind::Paused | HoldKind::Stopped | HoldKind::Halted => "held",
        HoldKind::Nobody => "gone",
    }
}

/// The class of a wait in line.
pub(super) fn wait_class(kind: WaitKind) -> &'static str {
    match kind {
        WaitKind::Concurrency | WaitKind::Wave | WaitKind::Preparation => "idle",
        WaitKind::Spread | WaitKind::Budget => "return",
        WaitKind::Observation => "health",
        WaitKind::Window => "undo",
        WaitKind::Failures | WaitKind::Paused => "held",
    }
}
